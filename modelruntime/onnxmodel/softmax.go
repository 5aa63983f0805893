package onnxmodel

import (
	"math"
)

// softmaxOf and logSoftmaxOf turn one line of scores into what the operator says, in place.

func softmaxOf(z []float64) {
	high := math.Inf(-1)
	for _, v := range z {
		high = max(high, v)
	}
	var sum float64
	for i, v := range z {
		z[i] = math.Exp(v - high)
		sum += z[i]
	}
	for i := range z {
		z[i] /= sum
	}
}

func logSoftmaxOf(z []float64) {
	high := math.Inf(-1)
	for _, v := range z {
		high = max(high, v)
	}
	var sum float64
	for _, v := range z {
		sum += math.Exp(v - high)
	}
	shift := high + math.Log(sum)
	for i := range z {
		z[i] -= shift
	}
}

// softmax is an operator on the lines along an axis. Before version 13 a line is everything from the axis on, which is 1 if
// it is not said; since then it is one axis, the last if it is not said.
func softmax(f func(z []float64)) build {
	return func(c *call) (bind, error) {
		in, out, err := c.sameOut()
		if err != nil {
			return nil, err
		}
		usual := int64(-1)
		if c.version < 13 {
			usual = 1
		}
		given, err := c.intAttr("axis", usual)
		if err != nil {
			return nil, err
		}
		limit := len(in.shape)
		if c.version < 13 {
			limit++
		}
		a, err := axis(given, len(in.shape), limit)
		if err != nil {
			return nil, err
		}
		if err := c.spend(0, 0, 16*in.count); err != nil {
			return nil, err
		}
		var l lines
		if c.version < 13 {
			l = lines{size(in.shape[:a]), size(in.shape[a:]), 1}
		} else {
			l = linesOf(in.shape, a)
		}
		return alongLines(in, out, l, f)
	}
}

// alongLines is the step that applies f to each line.
func alongLines(in, out *tensor, l lines, f func(z []float64)) (bind, error) {
	switch {
	case in.kind == typeFloat:
		return alongLinesOf[float32](in, out, l, f), nil
	case in.kind == typeDouble:
		return alongLinesOf[float64](in, out, l, f), nil
	}
	return nil, unsupported("input %.60q is of type %s: float and double are read", in.name, in.kind)
}

func alongLinesOf[T float32 | float64](in, out *tensor, l lines, f func(z []float64)) bind {
	return func(m *machine) func() {
		x, y, z := values[T](m, in), values[T](m, out), make([]float64, l.length)
		return func() {
			for i := range l.outer * l.inner {
				from := i/l.inner*l.length*l.inner + i%l.inner
				for k := range z {
					z[k] = float64(x[from+k*l.inner])
				}
				f(z)
				for k, v := range z {
					y[from+k*l.inner] = T(v)
				}
			}
		}
	}
}

// layerNormalization makes mean 0 and deviation 1 of everything from an axis on, then scales and shifts.
func layerNormalization(c *call) (bind, error) {
	if err := c.count(2, 3); err != nil {
		return nil, err
	}
	in, err := c.input(0, dtype.floating)
	if err != nil {
		return nil, err
	}
	given, err := c.intAttr("axis", -1)
	if err != nil {
		return nil, err
	}
	epsilon, err := c.floatAttr("epsilon", 1e-5)
	if err != nil {
		return nil, err
	}
	if stash, err := c.intAttr("stash_type", 1); err != nil || stash != 1 {
		return nil, unsupported("stash_type %d is not read", stash)
	}
	a, err := axis(given, len(in.shape), len(in.shape))
	if err != nil {
		return nil, err
	}
	l := lines{size(in.shape[:a]), size(in.shape[a:]), 1}
	for i, t := range c.inputs[1:] {
		if t != nil && (!t.constant || t.kind != in.kind || t.count != l.length && t.count != 1) {
			return nil, unsupported("input %d (%.60q, shape %v): expected constants of type %s, one for each of %d elements", i+1, t.name, t.shape, in.kind, l.length)
		}
	}
	out, err := c.output(0, in.kind, in.shape)
	if err != nil {
		return nil, err
	}
	scale, shift := c.inputs[1], c.optional(2)
	return alongLines(in, out, l, func(z []float64) {
		var mean, variance float64
		for _, v := range z {
			mean += v
		}
		mean /= float64(len(z))
		for _, v := range z {
			variance += float64((v - mean) * (v - mean))
		}
		deviation := math.Sqrt(variance/float64(len(z)) + epsilon)
		for i, v := range z {
			z[i] = (v - mean) / deviation * scale.number(i%scale.count)
			if shift != nil {
				z[i] += shift.number(i % shift.count)
			}
		}
	})
}

// batchNormalization is for inference: with the means and variances that training has left.
func batchNormalization(c *call) (bind, error) {
	if err := c.count(5, 5); err != nil {
		return nil, err
	}
	in, err := c.input(0, dtype.floating)
	if err != nil {
		return nil, err
	}
	epsilon, err := c.floatAttr("epsilon", 1e-5)
	if err != nil {
		return nil, err
	}
	if _, err := c.floatAttr("momentum", 0); err != nil { // of training
		return nil, err
	}
	if training, err := c.flag("training_mode", false); err != nil || training {
		return nil, unsupported("training_mode is on: export the model for inference")
	}
	if spatial, err := c.flag("spatial", true); err != nil || !spatial {
		return nil, unsupported("spatial 0 is not read")
	}
	if len(in.shape) < 2 {
		return nil, invalid("input %.60q has shape %v: expected [batch, channels, …]", in.name, in.shape)
	}
	channels := in.shape[1]
	for i, t := range c.inputs[1:] {
		if !t.constant || !t.kind.floating() || t.count != channels {
			return nil, unsupported("input %d (%.60q, shape %v): expected %d constants", i+1, t.name, t.shape, channels)
		}
	}
	out, err := c.output(0, in.kind, in.shape)
	if err != nil {
		return nil, err
	}
	factor, shift := make([]float64, channels), make([]float64, channels)
	for i := range channels {
		factor[i] = c.inputs[1].number(i) / math.Sqrt(c.inputs[4].number(i)+epsilon)
		shift[i] = c.inputs[2].number(i) - float64(c.inputs[3].number(i)*factor[i])
	}
	// A line is the channels at one place.
	return alongLines(in, out, linesOf(in.shape, 1), func(z []float64) {
		for i, v := range z {
			z[i] = float64(v*factor[i]) + shift[i]
		}
	})
}
