package onnxmodel

import (
	"math"
	"slices"
)

// forest are the trees of a node, laid out for walking.
type forest struct {
	nodes   []treeNode
	roots   []uint32
	slots   []treeSlot // from slot 1 on
	plain   []plainNode
	columns int
	weights []leafWeight
	spans   []span // of weights, by node; nil if every leaf has one weight and it is the threshold
}

// treeNode is a branch or a leaf. Whatever the mode, the values of a row have been put into slots so that one comparison
// decides: slot ≤ threshold goes to child, all else, NaN included, to child+1.
type treeNode struct {
	threshold float64 // of a leaf: its weight, or 0 if it has spans
	slot      uint32  // 0 of a leaf: slot 0 is −Inf in every row, so a leaf always goes to its child, which is itself
	child     uint32
}

// treeSlot is a column of the input, and where its NaN go.
type treeSlot struct {
	column  uint32
	nanLeft bool
}

// plainNode is a node of a forest that has comparisons of other kinds.
type plainNode struct {
	mode    string
	value   float64
	column  uint32
	tracks  bool
	yes, no uint32
}

// leafWeight is what a leaf gives a target.
type leafWeight struct {
	target uint32
	value  float64
}

type span struct{ from, to uint32 }

// branches are the modes.
var branches = []string{"LEAF", "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"}

// plant lays out the trees.
func plant(a *treeAttributes, columns int) (*forest, error) {
	for i, mode := range a.modes {
		if !slices.Contains(branches, mode) {
			return nil, unsupported("nodes_modes has %.60q: expected LEAF or BRANCH_ with LEQ, LT, GTE, GT, EQ or NEQ", mode)
		}
		if f := a.features[i]; mode != "LEAF" && (f < 0 || f >= int64(columns)) {
			return nil, invalid("nodes_featureids splits on feature %d of %d", f, columns)
		}
	}
	index, l, err := a.link()
	if err != nil {
		return nil, err
	}
	f := &forest{columns: columns}
	places, ok := f.layOut(a, l)
	if !ok {
		places = f.layOutPlain(a, l)
	}
	return f, f.hang(a, index, places)
}

// layOut puts the two children of a branch side by side. It reports false if a branch is no single comparison with ≤. The
// places are those of the nodes in the lists.
func (f *forest) layOut(a *treeAttributes, l *linked) (places []uint32, ok bool) {
	places = make([]uint32, len(a.trees))
	slots := make(map[treeSlot]uint32)
	var queue []uint32
	for _, root := range l.roots {
		places[root] = uint32(len(f.nodes))
		f.roots = append(f.roots, places[root])
		f.nodes = append(f.nodes, treeNode{})
		queue = append(queue[:0], root)
		for k := 0; k < len(queue); k++ {
			i := queue[k]
			at := places[i]
			if a.modes[i] == "LEAF" {
				f.nodes[at] = treeNode{child: at}
				continue
			}
			s, ok := a.split(i, l)
			if !ok {
				*f = forest{columns: f.columns}
				return places, false
			}
			slot, known := slots[s.slot]
			if !known {
				f.slots = append(f.slots, s.slot)
				slot = uint32(len(f.slots))
				slots[s.slot] = slot
			}
			child := uint32(len(f.nodes))
			f.nodes[at] = treeNode{threshold: s.threshold, slot: slot, child: child}
			f.nodes = append(f.nodes, treeNode{}, treeNode{})
			places[s.left], places[s.right] = child, child+1
			queue = append(queue, s.left, s.right)
		}
	}
	return places, true
}

// treeSplit is a branch as one comparison with ≤.
type treeSplit struct {
	threshold   float64
	slot        treeSlot
	left, right uint32
}

func (a *treeAttributes) split(i uint32, l *linked) (treeSplit, bool) {
	v, tracks := a.thresholds[i], len(a.tracks) > 0 && a.tracks[i] != 0
	mode := a.modes[i]
	s := treeSplit{threshold: v, slot: treeSlot{uint32(a.features[i]), tracks}, left: l.yes[i], right: l.no[i]}
	if v != v || mode == "BRANCH_EQ" || mode == "BRANCH_NEQ" {
		return s, false
	}
	if mode == "BRANCH_LT" || mode == "BRANCH_GTE" { // x < v is x ≤ the number before v
		if math.IsInf(v, -1) {
			return s, false
		}
		s.threshold = math.Nextafter(v, math.Inf(-1))
	}
	if mode == "BRANCH_GT" || mode == "BRANCH_GTE" {
		s.left, s.right, s.slot.nanLeft = s.right, s.left, !tracks
	}
	return s, true
}

func (f *forest) layOutPlain(a *treeAttributes, l *linked) (places []uint32) {
	f.roots = l.roots
	places = make([]uint32, len(a.trees))
	for i, mode := range a.modes {
		places[i] = uint32(i)
		f.plain = append(f.plain, plainNode{
			mode: mode, value: a.thresholds[i], column: uint32(a.features[i]), tracks: len(a.tracks) > 0 && a.tracks[i] != 0,
			yes: l.yes[i], no: l.no[i],
		})
	}
	return places
}

// hang gives the leaves their weights.
func (f *forest) hang(a *treeAttributes, index map[nodeKey]uint32, places []uint32) error {
	order := make([]uint32, 0, len(a.weights)) // weights of leaves, in the order of the file
	count := make([]uint32, max(len(f.nodes), len(f.plain))+1)
	simple := f.plain == nil
	for k := range a.weights {
		key := nodeKey{a.weightTrees[k], a.weightNodes[k]}
		i, ok := index[key]
		if !ok {
			return invalid("%s_nodeids has node %d of tree %d, which is not there", a.prefix, key.id, key.tree)
		}
		if a.modes[i] != "LEAF" {
			continue // nothing ends there
		}
		at := places[i]
		count[at+1]++
		simple = simple && count[at+1] == 1 && a.weightIDs[k] == 0 && a.weights[k] == a.weights[k]
		order = append(order, uint32(k))
	}
	if simple {
		for _, k := range order {
			f.nodes[places[index[nodeKey{a.weightTrees[k], a.weightNodes[k]}]]].threshold = a.weights[k]
		}
		return nil
	}
	for i := 1; i < len(count); i++ {
		count[i] += count[i-1]
	}
	f.spans = make([]span, len(count)-1)
	for i := range f.spans {
		f.spans[i] = span{count[i], count[i]}
	}
	f.weights = make([]leafWeight, len(order))
	for _, k := range order {
		s := &f.spans[places[index[nodeKey{a.weightTrees[k], a.weightNodes[k]}]]]
		f.weights[s.to] = leafWeight{uint32(a.weightIDs[k]), a.weights[k]}
		s.to++
	}
	return nil
}
