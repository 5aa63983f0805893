package onnxmodel

import (
	"slices"
)

// treeAttributes are the trees of a TreeEnsembleRegressor or TreeEnsembleClassifier as the node has them: parallel lists, with
// an entry for each node of each tree, and for each number that a leaf adds to a target.
type treeAttributes struct {
	trees, ids, features, yes, no, tracks []int64
	thresholds                            []float64
	modes                                 []string
	weightTrees, weightNodes, weightIDs   []int64
	weights                               []float64
	base                                  []float64
	prefix                                string // of the names about weights: target or class
}

func (c *call) treeAttributes(prefix string) (*treeAttributes, error) {
	a := &treeAttributes{prefix: prefix}
	for name, list := range map[string]*[]int64{
		"nodes_treeids": &a.trees, "nodes_nodeids": &a.ids, "nodes_featureids": &a.features, "nodes_truenodeids": &a.yes,
		"nodes_falsenodeids": &a.no, "nodes_missing_value_tracks_true": &a.tracks,
		prefix + "_treeids": &a.weightTrees, prefix + "_nodeids": &a.weightNodes, prefix + "_ids": &a.weightIDs,
	} {
		var err error
		if *list, err = c.ints(name); err != nil {
			return nil, err
		}
	}
	for name, list := range map[string]*[]float64{"nodes_values": &a.thresholds, prefix + "_weights": &a.weights, "base_values": &a.base} {
		var err error
		if *list, err = c.numbers(name); err != nil {
			return nil, err
		}
	}
	var err error
	if a.modes, err = c.texts("nodes_modes"); err != nil {
		return nil, err
	}
	for _, name := range []string{"nodes_hitrates", "nodes_hitrates_as_tensor"} { // how often training came by
		if hit := c.node.attribute(name); hit != nil {
			hit.used = true
		}
	}
	return a, a.check()
}

// numbers are a list of floats, or the same as a tensor.
func (c *call) numbers(name string) ([]float64, error) {
	floats, err := c.floats(name)
	if err != nil {
		return nil, err
	}
	t, err := c.tensorAttr(name + "_as_tensor")
	if err != nil {
		return nil, err
	}
	if t != nil && (len(floats) > 0 || !t.kind.floating()) {
		return nil, invalid("%s_as_tensor is of type %s, or stands beside %s", name, t.kind, name)
	}
	var list []float64
	for _, v := range floats {
		list = append(list, float64(v))
	}
	if t != nil {
		for i := range t.count {
			list = append(list, t.number(i))
		}
	}
	return list, nil
}

func (a *treeAttributes) check() error {
	n := len(a.trees)
	if n == 0 {
		return invalid("nodes_treeids is empty: there is no tree")
	}
	for _, list := range []struct {
		name string
		size int
	}{
		{"nodes_nodeids", len(a.ids)}, {"nodes_featureids", len(a.features)}, {"nodes_truenodeids", len(a.yes)},
		{"nodes_falsenodeids", len(a.no)}, {"nodes_values", len(a.thresholds)}, {"nodes_modes", len(a.modes)},
	} {
		if list.size != n {
			return invalid("%s has %d entries and nodes_treeids %d", list.name, list.size, n)
		}
	}
	if len(a.tracks) != 0 && len(a.tracks) != n {
		return invalid("nodes_missing_value_tracks_true has %d entries and nodes_treeids %d", len(a.tracks), n)
	}
	m := len(a.weights)
	if len(a.weightTrees) != m || len(a.weightNodes) != m || len(a.weightIDs) != m {
		return invalid("%s_treeids, %s_nodeids, %s_ids and %s_weights have %d, %d, %d and %d entries", a.prefix, a.prefix, a.prefix, a.prefix,
			len(a.weightTrees), len(a.weightNodes), len(a.weightIDs), m)
	}
	return nil
}

// checkTargets returns an error if a weight is for a target that there is not.
func (a *treeAttributes) checkTargets(targets int) error {
	i := slices.IndexFunc(a.weightIDs, func(id int64) bool { return id < 0 || id >= int64(targets) })
	if i >= 0 {
		return invalid("%s_ids has target %d of %d", a.prefix, a.weightIDs[i], targets)
	}
	return nil
}

// nodeKey names a node.
type nodeKey struct{ tree, id int64 }

// linked is where the nodes are in the lists, and which begin a tree.
type linked struct {
	yes, no []uint32 // of each branch
	roots   []uint32 // in the order of the lists
}

// link finds the children, and checks that all nodes are in one tree each, and once.
func (a *treeAttributes) link() (map[nodeKey]uint32, *linked, error) {
	n := len(a.trees)
	index := make(map[nodeKey]uint32, n)
	for i := range n {
		k := nodeKey{a.trees[i], a.ids[i]}
		if _, ok := index[k]; ok {
			return nil, nil, invalid("tree %d has node %d twice", k.tree, k.id)
		}
		index[k] = uint32(i)
	}
	l := &linked{yes: make([]uint32, n), no: make([]uint32, n)}
	isChild := make([]bool, n)
	for i, mode := range a.modes {
		if mode == "LEAF" {
			continue
		}
		for _, side := range []struct {
			name string
			ids  []int64
			to   []uint32
		}{{"nodes_truenodeids", a.yes, l.yes}, {"nodes_falsenodeids", a.no, l.no}} {
			child, ok := index[nodeKey{a.trees[i], side.ids[i]}]
			if !ok {
				return nil, nil, invalid("%s names node %d of tree %d, which is not there", side.name, side.ids[i], a.trees[i])
			}
			if isChild[child] {
				return nil, nil, invalid("node %d of tree %d is the child of two nodes, or in a cycle: it is no tree", side.ids[i], a.trees[i])
			}
			isChild[child] = true
			side.to[i] = child
		}
	}
	begun := make(map[int64]bool)
	for i := range n {
		if isChild[i] {
			continue
		}
		if begun[a.trees[i]] {
			return nil, nil, invalid("node %d of tree %d is not reached from the root", a.ids[i], a.trees[i])
		}
		begun[a.trees[i]] = true
		l.roots = append(l.roots, uint32(i))
	}
	return index, l, a.reached(l)
}

// reached returns an error if nodes go round in a cycle: nobody's root leads there.
func (a *treeAttributes) reached(l *linked) error {
	seen, stack := 0, slices.Clone(l.roots)
	for len(stack) > 0 { // ends: every node is the child of one at most
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		seen++
		if a.modes[i] != "LEAF" {
			stack = append(stack, l.yes[i], l.no[i])
		}
	}
	if seen != len(a.trees) {
		return invalid("the nodes of a tree go round in a cycle: %d of %d are reached from the roots", seen, len(a.trees))
	}
	return nil
}
