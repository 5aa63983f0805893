package treemodel

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	freshet "github.com/freshet-ml/freshet"
)

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
		h.sizes = 0
		for range strings.FieldsSeq(sizes) {
			h.sizes++
		}
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
	var names []string
	seen := make(map[string]bool)
	for name := range strings.FieldsSeq(values["feature_names"]) {
		if len(names) == want {
			return nil, invalid("feature_names has more names than the %d that max_feature_idx promises", want)
		}
		if seen[name] {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, name, "feature_names has %q twice", name)
		}
		if !utf8.ValidString(name) {
			return nil, invalid("feature_names: %q is no UTF-8", name)
		}
		seen[name] = true
		names = append(names, name)
	}
	if len(names) != want {
		return nil, invalid("feature_names has %d names and max_feature_idx promises %d", len(names), want)
	}
	return names, nil
}
