package treemodel

import (
	"bytes"
	"encoding/json"
	"strconv"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Limits of a file. LightGBM itself allows no more leaves.
const (
	maxFeatures = 1 << 20
	maxLeaves   = 131_072
)

// parse reads the text of a model: a header, trees, and after "end of trees" what only informs, with one exception,
// pandas_categorical. All memory it takes is in proportion to the text.
func parse(text []byte) (*model, error) {
	p := &parser{lines: lines{rest: text}}
	h, err := p.header()
	if err != nil {
		return nil, err
	}
	b := newBuilder(len(h.names))
	for !p.ended {
		if err := p.tree(b); err != nil {
			return nil, err
		}
	}
	if err := p.footer(); err != nil {
		return nil, err
	}
	return h.model(b)
}

// model checks the whole against the header.
func (h *header) model(b *builder) (*model, error) {
	trees := len(b.roots)
	if trees == 0 || trees%h.classes != 0 {
		return nil, invalid("num_tree_per_iteration is %d and there are %d trees: expected a multiple", h.classes, trees)
	}
	if h.sizes >= 0 && h.sizes != trees {
		return nil, invalid("tree_sizes lists %d trees and the file holds %d", h.sizes, trees)
	}
	answer, err := parseObjective(h.objective, h.classes)
	if err != nil {
		return nil, err
	}
	m := &model{trees: b.finish(h.classes), link: answer, divisor: 1}
	if h.average {
		m.divisor = float64(trees / h.classes)
	}
	m.signature.Outputs = modelruntime.OutputNames(h.classes)
	m.signature.Positional = true
	for i, name := range h.names {
		m.signature.Inputs = append(m.signature.Inputs, modelruntime.Column{Name: name})
		m.signature.Positional = m.signature.Positional && name == "Column_"+strconv.Itoa(i)
	}
	return m, nil
}

func invalid(format string, args ...any) error {
	return freshet.Errorf(freshet.InvalidArgument, format, args...)
}

// lines walks over the lines of a text of any length.
type lines struct {
	rest   []byte
	number int // of the line that next gave last, from 1
}

func (l *lines) next() (line []byte, ok bool) {
	if len(l.rest) == 0 {
		return nil, false
	}
	line, l.rest, _ = bytes.Cut(l.rest, []byte("\n"))
	l.number++
	return bytes.TrimSuffix(line, []byte("\r")), true
}

// parser holds what the parts of a file share.
type parser struct {
	lines
	number  int    // of the tree whose "Tree=" line was read last
	ended   bool   // "end of trees" was read
	scratch tree   // the tree that is being read; its slices are used again for the next
	given   []bool // by key: it stood in the tree
}

// at adds the line to an error.
func (p *parser) at(err error) error {
	if err == nil {
		return nil
	}
	return freshet.Errorf("", "line %d: %w", p.lines.number, err)
}

// footer looks behind the trees for categories of pandas.
func (p *parser) footer() error {
	for {
		line, ok := p.next()
		if !ok {
			return nil
		}
		if value, found := bytes.CutPrefix(line, []byte("pandas_categorical:")); found {
			return p.at(checkCategories(value))
		}
	}
}

// checkCategories refuses categories that are numbers other than their own codes: an input of 20 could then mean the
// category 20 or the twentieth category. Texts cannot be given as inputs, so there a number can only be the code.
func checkCategories(value []byte) error {
	var columns [][]any
	if err := json.Unmarshal(value, &columns); err != nil {
		return invalid("pandas_categorical: expected JSON, a list for each categorical column: %w", err)
	}
	for _, categories := range columns {
		for code, c := range categories {
			if number, ok := c.(float64); ok && number != float64(code) {
				return freshet.Errorf(freshet.Unsupported, "pandas_categorical: a column has the category %v with the code %d, so that a number may mean "+
					"either; train on codes 0, 1, 2, … instead", number, code)
			}
		}
	}
	return nil
}
