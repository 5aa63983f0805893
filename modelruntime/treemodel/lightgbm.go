package treemodel

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

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

// header is what stands before the first tree.
type header struct {
	names     []string
	classes   int
	objective string
	average   bool
	sizes     int // how many trees tree_sizes lists; −1 if it is not there
}

// header reads up to and including the first "Tree=" line or "end of trees".
func (p *parser) header() (*header, error) {
	values := make(map[string]string)
	if line, _ := p.next(); string(line) != "tree" {
		return nil, invalid("line 1: expected the word tree, with which a LightGBM text model begins")
	}
	for {
		line, ok := p.next()
		if !ok {
			return nil, invalid("the file ends at line %d, before the first tree: it was cut off", p.lines.number)
		}
		if isTree, err := p.treeLine(line); isTree || err != nil {
			if err != nil {
				return nil, p.at(err)
			}
			break
		}
		if len(line) == 0 {
			continue
		}
		key, value, _ := strings.Cut(string(line), "=")
		if !slices.Contains(headerKeys, key) {
			return nil, p.at(freshet.Errorf(freshet.Unsupported, "the header has the unknown key %.60q", key))
		}
		if _, twice := values[key]; twice {
			return nil, p.at(invalid("%s stands twice in the header", key))
		}
		values[key] = value
	}
	return readHeader(values)
}

// headerKeys are all that LightGBM writes before the trees. average_output stands alone, without "=".
var headerKeys = []string{"version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective",
	"average_output", "feature_names", "monotone_constraints", "feature_infos", "tree_sizes"}

// treeLine takes the two lines that end a section: "Tree=N" and "end of trees".
func (p *parser) treeLine(line []byte) (bool, error) {
	if string(line) == "end of trees" {
		p.ended = true
		return true, nil
	}
	rest, ok := bytes.CutPrefix(line, []byte("Tree="))
	if !ok {
		return false, nil
	}
	n, err := strconv.Atoi(string(rest))
	if err != nil || n != p.number {
		return true, invalid("Tree=%.40s: expected Tree=%d", rest, p.number)
	}
	p.number++
	return true, nil
}

func readHeader(values map[string]string) (*header, error) {
	switch v := values["version"]; v {
	case "v2", "v3", "v4":
	default:
		return nil, freshet.Errorf(freshet.Unsupported, "version is %.40q: v2, v3 and v4 are read", v)
	}
	h := &header{objective: values["objective"], sizes: -1}
	_, h.average = values["average_output"]
	if sizes, ok := values["tree_sizes"]; ok {
		h.sizes = len(strings.Fields(sizes))
	}
	features, err := headerNumber(values, "max_feature_idx", 0, maxFeatures-1)
	if err != nil {
		return nil, err
	}
	if h.names, err = featureNames(values, features+1); err != nil {
		return nil, err
	}
	classes, err := headerNumber(values, "num_class", 1, maxFeatures)
	if err != nil {
		return nil, err
	}
	if h.classes, err = headerNumber(values, "num_tree_per_iteration", 1, maxFeatures); err != nil {
		return nil, err
	}
	if h.classes != classes {
		return nil, freshet.Errorf(freshet.Unsupported, "num_class is %d and num_tree_per_iteration %d: expected the same", classes, h.classes)
	}
	return h, nil
}

func headerNumber(values map[string]string, key string, least, most int) (int, error) {
	v, ok := values[key]
	if !ok {
		return 0, invalid("the header has no %s", key)
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		return 0, invalid("%s is %.40q: expected a whole number, %d … %d", key, v, least, most)
	}
	return n, nil
}

func featureNames(values map[string]string, want int) ([]string, error) {
	names := strings.Fields(values["feature_names"])
	if len(names) != want {
		return nil, invalid("feature_names has %d names and max_feature_idx promises %d", len(names), want)
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if seen[name] {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, name, "feature_names has %q twice", name)
		}
		if !utf8.ValidString(name) {
			return nil, invalid("feature_names: %q is no UTF-8", name)
		}
		seen[name] = true
	}
	return names, nil
}

// tree reads the tree whose "Tree=" line was the last, up to and including the next such line, and adds it to b.
func (p *parser) tree(b *builder) error {
	number, first := p.number-1, p.lines.number
	err := p.readTree(b.width)
	if err == nil {
		err = b.add(&p.scratch)
	}
	if err != nil {
		return freshet.Errorf("", "tree %d (line %d): %w", number, first, err)
	}
	return nil
}

// The keys of a tree that are read, and those that only inform.
const (
	numLeaves = iota
	numCat
	splitFeature
	threshold
	decisionType
	leftChild
	rightChild
	leafValue
	catBoundaries
	catThreshold
	isLinear
	leafConst
	numFeatures
	leafFeatures
	leafCoeff
	informs // from here on
)

var treeKeys = []string{"num_leaves", "num_cat", "split_feature", "threshold", "decision_type", "left_child", "right_child",
	"leaf_value", "cat_boundaries", "cat_threshold", "is_linear", "leaf_const", "num_features", "leaf_features", "leaf_coeff",
	"split_gain", "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count", "shrinkage", "leaf_parent"}

func (p *parser) readTree(width int) error {
	var raw [informs][]byte
	p.given = append(p.given[:0], make([]bool, len(treeKeys))...)
	for {
		line, ok := p.next()
		if !ok {
			return invalid("the file ends here: it was cut off (\"end of trees\" is missing)")
		}
		if isTree, err := p.treeLine(line); isTree || err != nil {
			if err != nil {
				return p.at(err)
			}
			return p.fillTree(&raw, width)
		}
		if len(line) == 0 {
			continue
		}
		key, value, _ := bytes.Cut(line, []byte("="))
		k := slices.Index(treeKeys, string(key))
		if k < 0 {
			return p.at(freshet.Errorf(freshet.Unsupported, "the unknown key %.60q", key))
		}
		if p.given[k] {
			return p.at(invalid("%s stands twice in one tree", treeKeys[k]))
		}
		p.given[k] = true
		if k < informs {
			raw[k] = value
		}
	}
}

// fillTree turns the lines of one tree into arrays of the right lengths.
func (p *parser) fillTree(raw *[informs][]byte, width int) error {
	t := &p.scratch
	leaves, err := p.whole(raw, numLeaves, 1, maxLeaves)
	if err != nil {
		return err
	}
	if t.leafValues, err = floats(t.leafValues, raw, leafValue, leaves); err != nil {
		return err
	}
	splits := leaves - 1
	if t.features, err = ints(t.features, raw, splitFeature, splits); err != nil {
		return err
	}
	if t.thresholds, err = floats(t.thresholds, raw, threshold, splits); err != nil {
		return err
	}
	if t.decisions, err = ints(t.decisions, raw, decisionType, splits); err != nil {
		return err
	}
	if t.left, err = ints(t.left, raw, leftChild, splits); err != nil {
		return err
	}
	if t.right, err = ints(t.right, raw, rightChild, splits); err != nil {
		return err
	}
	if err := p.fillCategories(raw); err != nil {
		return err
	}
	return p.fillLinear(raw, leaves, width)
}

func (p *parser) fillCategories(raw *[informs][]byte) error {
	t := &p.scratch
	t.boundaries, t.words = t.boundaries[:0], t.words[:0]
	if !p.given[numCat] {
		return nil
	}
	// A set takes two bytes at least, so its number is bounded by the text that follows.
	sets, err := p.whole(raw, numCat, 0, len(raw[catBoundaries]))
	if err != nil || sets == 0 {
		return err
	}
	if t.boundaries, err = ints(t.boundaries, raw, catBoundaries, sets+1); err != nil {
		return err
	}
	if t.words, err = bitWords(t.words, raw[catThreshold]); err != nil {
		return err
	}
	if t.boundaries[0] != 0 || !slices.IsSorted(t.boundaries) || t.boundaries[sets] > len(t.words) {
		return invalid("cat_boundaries: expected ascending numbers from 0 to at most %d, the length of cat_threshold", len(t.words))
	}
	return nil
}

func (p *parser) fillLinear(raw *[informs][]byte, leaves, width int) error {
	t := &p.scratch
	t.linear = false
	if !p.given[isLinear] {
		return nil
	}
	linear, err := p.whole(raw, isLinear, 0, 1)
	if err != nil || linear == 0 {
		return err
	}
	if !p.given[leafConst] || !p.given[numFeatures] {
		return invalid("is_linear is 1, but leaf_const or num_features is missing: the models of a linear tree's leaves are not there")
	}
	if t.constants, err = floats(t.constants, raw, leafConst, leaves); err != nil {
		return err
	}
	counts, err := ints(nil, raw, numFeatures, leaves)
	if err != nil {
		return err
	}
	t.linear, t.terms = true, append(t.terms[:0], 0)
	total := 0
	for _, n := range counts {
		if n < 0 || n > width {
			return invalid("num_features is %d for a leaf: expected 0 … %d", n, width)
		}
		total += n
		t.terms = append(t.terms, total)
	}
	if t.termFeatures, err = ints(t.termFeatures, raw, leafFeatures, total); err != nil {
		return err
	}
	for _, f := range t.termFeatures {
		if f < 0 || f >= width {
			return invalid("leaf_features names feature %d: expected 0 … %d", f, width-1)
		}
	}
	t.coefficients, err = floats(t.coefficients, raw, leafCoeff, total)
	return err
}

// whole reads a line that holds one whole number.
func (p *parser) whole(raw *[informs][]byte, key, least, most int) (int, error) {
	if !p.given[key] {
		return 0, invalid("%s is missing", treeKeys[key])
	}
	n, err := strconv.Atoi(string(raw[key]))
	if err != nil || n < least || n > most {
		return 0, invalid("%s is %.40q: expected a whole number, %d … %d", treeKeys[key], raw[key], least, most)
	}
	return n, nil
}

// word cuts the next word off a line; its words are separated by one or more spaces.
func word(line []byte) (w, rest []byte) {
	line = bytes.TrimLeft(line, " ")
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		return line[:i], line[i+1:]
	}
	return line, nil
}

// ints reads exactly want whole numbers of 32 bits into dst.
func ints(dst []int, raw *[informs][]byte, key, want int) ([]int, error) {
	dst = dst[:0]
	for w, rest := word(raw[key]); len(w) > 0; w, rest = word(rest) {
		v, err := strconv.ParseInt(string(w), 10, 32)
		if err != nil {
			return dst, invalid("%s[%d] is %.40q: expected a whole number", treeKeys[key], len(dst), w)
		}
		dst = append(dst, int(v))
	}
	return dst, checkLength(key, len(dst), want)
}

// floats reads exactly want finite numbers into dst.
func floats(dst []float64, raw *[informs][]byte, key, want int) ([]float64, error) {
	dst = dst[:0]
	for w, rest := word(raw[key]); len(w) > 0; w, rest = word(rest) {
		v, err := strconv.ParseFloat(string(w), 64)
		// A threshold of inf is real: it parts the missing values from all others. LightGBM writes no other infinity.
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) && key != threshold {
			return dst, invalid("%s[%d] is %.40q: expected a finite number", treeKeys[key], len(dst), w)
		}
		dst = append(dst, v)
	}
	return dst, checkLength(key, len(dst), want)
}

func checkLength(key, have, want int) error {
	if have == want {
		return nil
	}
	return invalid("%s has %d numbers: expected %d", treeKeys[key], have, want)
}

// bitWords reads the words of the sets of categories.
func bitWords(dst []uint32, line []byte) ([]uint32, error) {
	for w, rest := word(line); len(w) > 0; w, rest = word(rest) {
		v, err := strconv.ParseUint(string(w), 10, 32)
		if err != nil {
			return dst, invalid("cat_threshold[%d] is %.40q: expected a whole number of 32 bits", len(dst), w)
		}
		dst = append(dst, uint32(v))
	}
	return dst, nil
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
