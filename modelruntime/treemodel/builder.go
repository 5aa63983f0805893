package treemodel

import (
	"encoding/binary"
	"slices"

	freshet "github.com/freshet-ml/freshet"
)

// tree is one tree as the file has it: leaves and splits have numbers of their own, a child ≥ 0 is a split, a negative one
// the leaf −child−1.
type tree struct {
	leafValues  []float64
	features    []int
	thresholds  []float64
	decisions   []int
	left, right []int
	boundaries  []int // set i of categories is words[boundaries[i]:boundaries[i+1]]
	words       []uint32

	linear       bool
	constants    []float64 // of the linear model of each leaf
	terms        []int     // the terms of leaf i are terms[i] … terms[i+1]−1
	termFeatures []int
	coefficients []float64
}

// Bits of a decision type.
const (
	decisionCategorical = 1
	decisionDefaultLeft = 2
	missingShift        = 2
	missingNone         = 0
	missingZero         = 1
	missingNaN          = 2
	decisionLimit       = missingNaN<<missingShift | decisionDefaultLeft | decisionCategorical
)

// maxSlots bounds the memory of a row: 8 MB.
const maxSlots = 1 << 20

// builder makes an ensemble from trees, one after the other.
type builder struct {
	width    int // number of features
	nodes    []node
	roots    []uint32
	numeric  map[numericSlot]uint32 // slots in the order of first use; finish puts them in theirs
	sets     map[string]uint32      // by feature and set of categories
	keys     []slotKey              // of each slot so far, without slot 0
	linear   linearLeaves
	isLinear bool
	setSize  int // words of all sets of categories so far

	// of the tree that is being added
	queue    []placement
	splitsAt []bool
	leavesAt []bool
}

type numericSlot struct {
	feature uint32
	policy  policy
}

// slotKey is what a slot holds.
type slotKey struct {
	numericSlot
	set []uint32 // of a categorySet and what comes after it
}

// placement is a child that has a place among the nodes and is to be filled in.
type placement struct {
	child int
	at    uint32
}

func newBuilder(width int) *builder {
	return &builder{width: width, numeric: make(map[numericSlot]uint32), sets: make(map[string]uint32)}
}

// add appends t, whose arrays have the right lengths, and checks that it is a tree: every split and every leaf is reached
// once from the root, and everything named is there.
func (b *builder) add(t *tree) error {
	leaves, splits := len(t.leafValues), len(t.features)
	b.splitsAt, b.leavesAt = cleared(b.splitsAt, splits), cleared(b.leavesAt, leaves)
	root := uint32(len(b.nodes))
	b.roots = append(b.roots, root)
	b.nodes = append(b.nodes, node{})
	first := 0
	if splits == 0 {
		first = -1
	}
	b.queue = append(b.queue[:0], placement{first, root})
	for i := 0; i < len(b.queue); i++ {
		if err := b.place(t, b.queue[i]); err != nil {
			return err
		}
	}
	// Every split adds two places, so if none is there twice and one is missing, there are fewer places than nodes.
	if len(b.queue) != splits+leaves {
		return freshet.Errorf(freshet.InvalidArgument, "left_child and right_child reach %d of %d nodes", len(b.queue), splits+leaves)
	}
	return nil
}

func cleared(flags []bool, n int) []bool {
	flags = slices.Grow(flags[:0], n)[:n]
	clear(flags)
	return flags
}

func (b *builder) place(t *tree, p placement) error {
	if p.child < 0 {
		return b.placeLeaf(t, -p.child-1, p.at)
	}
	if b.splitsAt[p.child] {
		return freshet.Errorf(freshet.InvalidArgument, "left_child and right_child name node %d twice: it is no tree", p.child)
	}
	b.splitsAt[p.child] = true
	slot, threshold, err := b.split(t, p.child)
	if err != nil {
		return err
	}
	left, right := t.left[p.child], t.right[p.child]
	if err := checkChild("left_child", left, t); err != nil {
		return err
	}
	if err := checkChild("right_child", right, t); err != nil {
		return err
	}
	at := uint32(len(b.nodes))
	b.nodes = append(b.nodes, node{}, node{})
	b.nodes[p.at] = node{threshold: threshold, slot: slot, child: at}
	b.queue = append(b.queue, placement{left, at}, placement{right, at + 1})
	return nil
}

func checkChild(key string, child int, t *tree) error {
	if child >= len(t.features) || -child > len(t.leafValues) {
		return freshet.Errorf(freshet.InvalidArgument, "%s is %d: expected a node 0 … %d or a leaf −1 … −%d",
			key, child, len(t.features)-1, len(t.leafValues))
	}
	return nil
}

func (b *builder) placeLeaf(t *tree, leaf int, at uint32) error {
	if b.leavesAt[leaf] {
		return freshet.Errorf(freshet.InvalidArgument, "left_child and right_child name leaf %d twice: it is no tree", leaf)
	}
	b.leavesAt[leaf] = true
	b.nodes[at] = node{threshold: t.leafValues[leaf], child: at}
	if t.linear {
		b.placeLinear(t, leaf, at)
	}
	return nil
}

func (b *builder) placeLinear(t *tree, leaf int, at uint32) {
	from, to := t.terms[leaf], t.terms[leaf+1]
	l := linearLeaf{constant: t.constants[leaf], coefficients: slices.Clone(t.coefficients[from:to])}
	for _, f := range t.termFeatures[from:to] {
		l.features = append(l.features, uint32(f))
	}
	b.isLinear = true
	for len(b.linear.of) <= int(at) {
		b.linear.of = append(b.linear.of, -1)
	}
	b.linear.of[at] = int32(len(b.linear.leaves))
	b.linear.leaves = append(b.linear.leaves, l)
}

// split is the slot that split i compares, and with what.
func (b *builder) split(t *tree, i int) (slot uint32, threshold float64, err error) {
	feature, decision := t.features[i], t.decisions[i]
	if feature < 0 || feature >= b.width {
		return 0, 0, freshet.Errorf(freshet.InvalidArgument, "split_feature is %d: expected 0 … %d", feature, b.width-1)
	}
	if decision < 0 || decision > decisionLimit {
		return 0, 0, freshet.Errorf(freshet.Unsupported, "decision_type %d is not known", decision)
	}
	if decision&decisionCategorical == 0 {
		slot, err = b.numericSlot(numericSlot{uint32(feature), policyOf(decision)})
		return slot, t.thresholds[i], err
	}
	set, err := t.categories(i)
	if err != nil {
		return 0, 0, err
	}
	slot, err = b.categorySlot(numericSlot{uint32(feature), categorySet}, set)
	return slot, 0, err // any finite threshold is between the two values of the slot
}

func policyOf(decision int) policy {
	left := decision&decisionDefaultLeft != 0
	switch missing := decision >> missingShift; {
	case missing == missingZero && left:
		return zeroGoesLeft
	case missing == missingZero:
		return zeroGoesRight
	case missing == missingNaN && left:
		return nanGoesLeft
	case missing == missingNaN:
		return nanGoesRight
	}
	return missingIsZero
}

// categories is the set of codes that go left at categorical split i, without trailing zero words.
func (t *tree) categories(i int) ([]uint32, error) {
	sets := len(t.boundaries) - 1
	number := t.thresholds[i]
	if sets < 1 {
		return nil, freshet.Errorf(freshet.InvalidArgument, "decision_type says categorical, but num_cat is 0: there is no set of categories")
	}
	if number < 0 || number >= float64(sets) || number != float64(int(number)) {
		return nil, freshet.Errorf(freshet.InvalidArgument, "threshold %v of a categorical split: expected the number of a set, 0 … %d", number, sets-1)
	}
	words := t.words[t.boundaries[int(number)]:t.boundaries[int(number)+1]]
	for len(words) > 0 && words[len(words)-1] == 0 {
		words = words[:len(words)-1]
	}
	return words, nil
}

func (b *builder) numericSlot(key numericSlot) (uint32, error) {
	slot, ok := b.numeric[key]
	if ok {
		return slot, nil
	}
	slot, err := b.newSlot(slotKey{numericSlot: key})
	b.numeric[key] = slot
	return slot, err
}

// categorySlot finds the slot of a set that another split on the feature has as well: trees repeat themselves.
func (b *builder) categorySlot(key numericSlot, set []uint32) (uint32, error) {
	name := binary.LittleEndian.AppendUint32(make([]byte, 0, 5+4*len(set)), key.feature)
	name = append(name, byte(key.policy))
	for _, w := range set {
		name = binary.LittleEndian.AppendUint32(name, w)
	}
	slot, ok := b.sets[string(name)]
	if ok {
		return slot, nil
	}
	slot, err := b.newSlot(slotKey{key, slices.Clone(set)})
	b.sets[string(name)] = slot
	return slot, err
}

func (b *builder) newSlot(key slotKey) (uint32, error) {
	if len(b.keys) >= maxSlots {
		return 0, freshet.Errorf(freshet.TooLarge, "more than %d different splits by category and kind of missing value", maxSlots)
	}
	b.keys = append(b.keys, key)
	return uint32(len(b.keys)), nil
}

// finish puts the slots in the order in which they are filled (policy, feature) and gives the ensemble.
func (b *builder) finish(classes int) *ensemble {
	e := &ensemble{nodes: b.nodes, roots: b.roots, classes: classes}
	order := make([]uint32, len(b.keys))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortStableFunc(order, func(i, j uint32) int {
		a, c := b.keys[i].numericSlot, b.keys[j].numericSlot
		if a.policy != c.policy {
			return int(a.policy) - int(c.policy)
		}
		return int(a.feature) - int(c.feature)
	})
	place := make([]uint32, len(b.keys)+1) // slot 0 stays
	for at, i := range order {
		place[i+1] = uint32(at + 1)
		e.slots.append(b.keys[i])
	}
	e.slots.count = len(place)
	for i := range e.nodes {
		e.nodes[i].slot = place[e.nodes[i].slot]
	}
	if b.isLinear {
		for len(b.linear.of) < len(e.nodes) {
			b.linear.of = append(b.linear.of, -1)
		}
		e.linear = &b.linear
	}
	return e
}

func (s *slots) append(key slotKey) {
	if key.policy < categorySet {
		s.features[key.policy] = append(s.features[key.policy], key.feature)
		return
	}
	if n := len(s.sets); n == 0 || s.sets[n-1].feature != key.feature || s.sets[n-1].policy != key.policy {
		s.sets = append(s.sets, categorySlots{feature: key.feature, policy: key.policy})
	}
	last := &s.sets[len(s.sets)-1]
	last.sets = append(last.sets, key.set)
}
