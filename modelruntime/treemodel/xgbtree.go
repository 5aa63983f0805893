package treemodel

import (
	"math"

	freshet "github.com/freshet-ml/freshet"
)

const (
	maxCategory = 1 << 24 // XGBoost's own bound for codes
	maxSetWords = 1 << 22 // of all sets of one model, as bits: 16 MB
)

// addXGBoost appends t and checks that it is a tree: every node but the deleted ones is reached once from the root, and
// everything named is there. weight multiplies the leaves.
func (b *builder) addXGBoost(t *xgbTree, weight float32) error {
	count, err := t.nodes()
	if err != nil {
		return err
	}
	if vector, err := number(t.parameters, "size_leaf_vector", 1, 0, math.MaxInt32); err != nil || vector > 1 {
		if err != nil {
			return err
		}
		return freshet.Errorf(freshet.Unsupported, "size_leaf_vector is %d: trees whose leaves are vectors (multi_strategy=multi_output_tree) are not read; "+
			"train with multi_strategy=one_output_per_tree", vector)
	}
	deleted, err := number(t.parameters, "num_deleted", 0, 0, count)
	if err != nil {
		return err
	}
	if n, err := number(t.parameters, "num_nodes", count, count, count); err != nil || n != count {
		return err
	}
	sets, err := t.sets()
	if err != nil {
		return err
	}
	b.splitsAt = cleared(b.splitsAt, count)
	b.queue = append(b.queue[:0], placement{0, uint32(len(b.nodes))})
	b.roots = append(b.roots, uint32(len(b.nodes)))
	b.nodes = append(b.nodes, node{})
	for i := 0; i < len(b.queue); i++ {
		if err := b.placeXGBoost(t, sets, weight, b.queue[i]); err != nil {
			return err
		}
	}
	if len(b.queue)+deleted != count {
		return invalid("left_children and right_children reach %d of %d nodes, and %d were deleted", len(b.queue), count, deleted)
	}
	return nil
}

func (b *builder) placeXGBoost(t *xgbTree, sets map[int32][]int32, weight float32, p placement) error {
	if b.splitsAt[p.child] {
		return invalid("left_children and right_children name node %d twice: it is no tree", p.child)
	}
	b.splitsAt[p.child] = true
	if t.left[p.child] == -1 {
		if t.right[p.child] != -1 {
			return invalid("right_children of leaf %d is %d: expected −1", p.child, t.right[p.child])
		}
		leaf := t.thresholds[p.child]
		if !finite(leaf) {
			return invalid("split_conditions of leaf %d is %v: expected a finite number", p.child, leaf)
		}
		b.nodes[p.at] = node{threshold: float64(leaf * weight), child: p.at}
		return nil
	}
	slot, threshold, err := b.splitXGBoost(t, sets, p.child)
	if err != nil {
		return err
	}
	at := uint32(len(b.nodes))
	for side, children := range [][]int32{t.left, t.right} {
		child := children[p.child]
		if child < 0 || int(child) >= len(t.left) {
			return invalid("%s of node %d is %d: expected 0 … %d", []string{"left_children", "right_children"}[side], p.child, child, len(t.left)-1)
		}
		b.nodes = append(b.nodes, node{})
		b.queue = append(b.queue, placement{int(child), at + uint32(side)})
	}
	b.nodes[p.at] = node{threshold: threshold, slot: slot, child: at}
	return nil
}

func finite(v float32) bool { return !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) }

// splitXGBoost is the slot that split i compares, and with what: x < c is x ≤ the float32 before c.
func (b *builder) splitXGBoost(t *xgbTree, sets map[int32][]int32, i int) (slot uint32, threshold float64, err error) {
	feature, left := t.features[i], t.defaultLeft[i] != 0
	if feature < 0 || int(feature) >= b.width {
		return 0, 0, invalid("split_indices of node %d is %d, and num_feature says 0 … %d", i, feature, b.width-1)
	}
	if t.kinds[i] == 0 {
		condition := t.thresholds[i]
		if !finite(condition) {
			return 0, 0, invalid("split_conditions of node %d is %v: expected a finite number", i, condition)
		}
		p := nanGoesRight
		if left {
			p = nanGoesLeft
		}
		slot, err = b.numericSlot(numericSlot{uint32(feature), p})
		return slot, float64(math.Nextafter32(condition, float32(math.Inf(-1)))), err
	}
	codes, ok := sets[int32(i)]
	if !ok {
		return 0, 0, invalid("categories_nodes does not name node %d, whose split_type is categorical", i)
	}
	words, err := b.setWords(codes)
	if err != nil {
		return 0, 0, err
	}
	p := othersLeft
	if left {
		p = othersAndNaNLeft
	}
	slot, err = b.categorySlot(numericSlot{uint32(feature), p}, words)
	return slot, 0, err
}

// sets are the codes of each categorical node.
func (t *xgbTree) sets() (map[int32][]int32, error) {
	if len(t.segments) != len(t.categoryNodes) || len(t.sizes) != len(t.categoryNodes) {
		return nil, invalid("categories_nodes, categories_segments and categories_sizes have %d, %d and %d entries: expected the same number",
			len(t.categoryNodes), len(t.segments), len(t.sizes))
	}
	sets := make(map[int32][]int32, len(t.categoryNodes))
	for i, n := range t.categoryNodes {
		from, size := int(t.segments[i]), int(t.sizes[i])
		if from < 0 || size < 0 || from+size > len(t.categories) {
			return nil, invalid("categories_segments and categories_sizes of node %d are %d and %d, and categories has %d entries", n, from, size, len(t.categories))
		}
		if _, twice := sets[n]; twice {
			return nil, invalid("categories_nodes has node %d twice", n)
		}
		sets[n] = t.categories[from : from+size]
	}
	return sets, nil
}

// setWords is a set of codes as bits.
func (b *builder) setWords(codes []int32) ([]uint32, error) {
	largest := int32(-1)
	for _, c := range codes {
		if c < 0 || c >= maxCategory {
			return nil, invalid("categories has the code %d: expected 0 … %d", c, maxCategory-1)
		}
		largest = max(largest, c)
	}
	words := int(largest+32) / 32
	if b.setSize += words; b.setSize > maxSetWords {
		return nil, freshet.Errorf(freshet.TooLarge, "the sets of categories take more than %d bytes: use smaller codes", 4*maxSetWords)
	}
	set := make([]uint32, words)
	for _, c := range codes {
		set[c/32] |= 1 << (c % 32)
	}
	return set, nil
}
