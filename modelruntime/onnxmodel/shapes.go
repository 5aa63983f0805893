package onnxmodel

import (
	"slices"
)

// anyKind reads texts, too: labels pass through some operators on their way to being left out.
func anyKind(d dtype) bool { return d.read() }

func identity(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	c.alias(0, c.inputs[0], c.inputs[0].shape)
	return nil, nil
}

// dropout does nothing when a model answers.
func dropout(c *call) (bind, error) {
	if err := c.count(1, 3); err != nil {
		return nil, err
	}
	if t := c.optional(2); t != nil && !(t.constant && t.count == 1 && t.kind == typeBool && t.i64[0] == 0) {
		return nil, unsupported("training_mode is on: export the model for inference")
	}
	for _, name := range []string{"ratio", "seed"} {
		if a := c.node.attribute(name); a != nil {
			a.used = true
		}
	}
	c.alias(0, c.inputs[0], c.inputs[0].shape)
	return nil, nil
}

func reshape(c *call) (bind, error) {
	if err := c.count(2, 2); err != nil {
		return nil, err
	}
	in, err := c.input(0, anyKind)
	if err != nil {
		return nil, err
	}
	keepZero, err := c.flag("allowzero", false)
	if err != nil {
		return nil, err
	}
	shape, err := c.integers(c.inputs[1], "the shape")
	if err != nil {
		return nil, err
	}
	free, known := -1, 1
	for i, d := range shape {
		switch {
		case d == 0 && !keepZero && i < len(in.shape):
			shape[i] = in.shape[i]
		case d == -1 && free < 0:
			free = i
			continue
		case d < 1 || d > in.count:
			return nil, invalid("%d elements of shape %v do not fit into a shape whose dimension %d is %d", in.count, in.shape, i, d)
		}
		known *= shape[i]
		if len(shape) > maxRank || known > in.count {
			return nil, invalid("%d elements of shape %v do not fit into shape %v", in.count, in.shape, shape[:min(8, len(shape))])
		}
	}
	if free >= 0 {
		shape[free] = in.count / known
		known *= shape[free]
	}
	if known != in.count {
		return nil, invalid("%d elements of shape %v do not fit into shape %v", in.count, in.shape, shape)
	}
	c.alias(0, in, shape)
	return nil, nil
}

func flatten(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	in, err := c.input(0, anyKind)
	if err != nil {
		return nil, err
	}
	given, err := c.intAttr("axis", 1)
	if err != nil {
		return nil, err
	}
	a, err := axis(given, len(in.shape), len(in.shape)+1)
	if err != nil {
		return nil, err
	}
	outer := size(in.shape[:a])
	c.alias(0, in, []int{outer, in.count / outer})
	return nil, nil
}

func squeeze(c *call) (bind, error) {
	if err := c.count(1, 2); err != nil {
		return nil, err
	}
	in, err := c.input(0, anyKind)
	if err != nil {
		return nil, err
	}
	given, err := c.axesOf(13, 1)
	if err != nil {
		return nil, err
	}
	drop, err := axes(given, len(in.shape))
	if err != nil {
		return nil, err
	}
	shape := []int{}
	for i, d := range in.shape {
		gone := slices.Contains(drop, i) || given == nil && d == 1
		if gone && d != 1 {
			return nil, invalid("axis %d has %d elements (shape %v): only 1 can be left out", i, d, in.shape)
		}
		if !gone {
			shape = append(shape, d)
		}
	}
	c.alias(0, in, shape)
	return nil, nil
}

func unsqueeze(c *call) (bind, error) {
	if err := c.count(1, 2); err != nil {
		return nil, err
	}
	in, err := c.input(0, anyKind)
	if err != nil {
		return nil, err
	}
	given, err := c.axesOf(13, 1)
	if err != nil {
		return nil, err
	}
	rank := len(in.shape) + len(given)
	if rank > maxRank {
		return nil, invalid("%d dimensions: at most %d are read", rank, maxRank)
	}
	add, err := axes(given, rank)
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(in.shape)
	for _, a := range add {
		shape = slices.Insert(shape, a, 1)
	}
	c.alias(0, in, shape)
	return nil, nil
}
