package onnxmodel

import (
	freshet "github.com/freshet-ml/freshet"
)

// broadcast is the shape that all the shapes extend to.
func broadcast(shapes ...[]int) ([]int, error) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	if rank > maxRank {
		return nil, invalid("a shape of %d dimensions: at most %d are read", rank, maxRank)
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = 1
	}
	for _, s := range shapes {
		for i, d := range s {
			at := &out[rank-len(s)+i]
			if d != 1 && *at != 1 && d != *at {
				return nil, invalid("shapes %v do not fit together", shapes)
			}
			if d != 1 {
				*at = d
			}
		}
	}
	return out, nil
}

// spread is for each element of the shape out the element of a tensor of a shape that extends to it; nil if they are the
// same elements.
func (c *call) spread(shape, out []int) ([]int32, error) {
	own := elements(shape)
	if own == elements(out) {
		return nil, nil
	}
	shift, from := len(out)-len(shape), strides(shape)
	step := make([]int, len(out))
	for i, d := range shape {
		if d != 1 {
			step[shift+i] = from[i]
		}
	}
	return c.walk(out, step, 0)
}

// walk lists the places of the elements of a shape whose neighbours along each axis are step apart, from the first on.
func (c *call) walk(shape, step []int, first int) ([]int32, error) {
	count := elements(shape)
	if count < 0 {
		return nil, freshet.Errorf(freshet.TooLarge, "shape %v has more than %d elements", shape, maxElements)
	}
	if err := c.spend(0, count, 0); err != nil {
		return nil, err
	}
	index := make([]int32, count)
	position := make([]int, len(shape))
	at := first
	for i := range index {
		index[i] = int32(at)
		for d := len(shape) - 1; d >= 0; d-- {
			position[d]++
			at += step[d]
			if position[d] < shape[d] {
				break
			}
			at -= step[d] * shape[d]
			position[d] = 0
		}
	}
	return index, nil
}

// at is the element that stands for element i.
func at(index []int32, i int) int {
	if index == nil {
		return i
	}
	return int(index[i])
}

// pick is the step that copies element index[i] of in to element i of out; both are of the same kind.
func pick(in, out *tensor, index []int32) bind {
	switch {
	case in.kind == typeFloat:
		return pickOf[float32](in, out, index)
	case in.kind == typeDouble:
		return pickOf[float64](in, out, index)
	}
	return pickOf[int64](in, out, index)
}

func pickOf[T number](in, out *tensor, index []int32) bind {
	return func(m *machine) func() {
		x, y := values[T](m, in), values[T](m, out)
		if index == nil {
			return func() { copy(y, x) }
		}
		return func() {
			for i, from := range index {
				y[i] = x[from]
			}
		}
	}
}
