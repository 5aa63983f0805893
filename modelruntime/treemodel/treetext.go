package treemodel

import (
	"bytes"
	"slices"
	"strconv"

	freshet "github.com/freshet-ml/freshet"
)

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
	if t.boundaries[0] != 0 || !slices.IsSorted(t.boundaries) || t.boundaries[sets] != len(t.words) {
		return invalid("cat_boundaries: expected ascending numbers from 0 to %d, the length of cat_threshold", len(t.words))
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
