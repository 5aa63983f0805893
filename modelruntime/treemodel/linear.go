package treemodel

import "math"

// linearLeaves are the models in the leaves of linear trees (linear_tree=true): constant + Σ coefficient·x, or the leaf's
// plain value if one of these x is missing.
type linearLeaves struct {
	of     []int32 // by node: the index of its model, −1 for a node without
	leaves []linearLeaf
}

type linearLeaf struct {
	constant     float64
	features     []uint32
	coefficients []float64
}

// sumLinear is sum for models with linear trees. Their leaves cost more than the walk, so it is a plain loop.
func (e *ensemble) sumLinear(inputs, outputs, x []float64, rows int) {
	width := len(inputs) / rows
	for row := range rows {
		input, slots := inputs[row*width:(row+1)*width], x[row*e.slots.count:(row+1)*e.slots.count]
		for t := range e.roots {
			i := e.leaf(t, slots)
			value := e.nodes[i].threshold
			if m := e.linear.of[i]; m >= 0 {
				value = e.linear.leaves[m].value(input, value)
			}
			outputs[row*e.classes+t%e.classes] += value
		}
	}
}

func (l *linearLeaf) value(input []float64, fallback float64) float64 {
	sum := l.constant
	for i, f := range l.features {
		v := input[f]
		if v != v {
			return fallback
		}
		if math.Abs(v) <= zeroBound {
			v = 0
		}
		sum += float64(l.coefficients[i] * v) // the conversion forbids a fused multiply-add: same bits on every machine
	}
	return sum
}
