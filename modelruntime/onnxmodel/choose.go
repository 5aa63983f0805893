package onnxmodel

import "math"

// where chooses between two tensors.
func where(c *call) (bind, error) {
	if err := c.count(3, 3); err != nil {
		return nil, err
	}
	condition, err := c.input(0, func(d dtype) bool { return d == typeBool })
	if err != nil {
		return nil, err
	}
	a, err := c.input(1, numeric)
	if err != nil {
		return nil, err
	}
	b, err := c.input(2, func(d dtype) bool { return d == a.kind })
	if err != nil {
		return nil, err
	}
	shape, err := broadcast(condition.shape, a.shape, b.shape)
	if err != nil {
		return nil, err
	}
	out, err := c.output(0, a.kind, shape)
	if err != nil {
		return nil, err
	}
	var index [3][]int32
	for i, t := range []*tensor{condition, a, b} {
		if index[i], err = c.spread(t.shape, shape); err != nil {
			return nil, err
		}
	}
	switch {
	case a.kind == typeFloat:
		return whereOf[float32](condition, a, b, out, index), nil
	case a.kind == typeDouble:
		return whereOf[float64](condition, a, b, out, index), nil
	}
	return whereOf[int64](condition, a, b, out, index), nil
}

func whereOf[T number](condition, a, b, out *tensor, index [3][]int32) bind {
	return func(m *machine) func() {
		is, x, y, z := values[int64](m, condition), values[T](m, a), values[T](m, b), values[T](m, out)
		return func() {
			for i := range z {
				if is[at(index[0], i)] != 0 {
					z[i] = x[at(index[1], i)]
				} else {
					z[i] = y[at(index[2], i)]
				}
			}
		}
	}
}

// prelu is LeakyRelu with a slope for each element.
func prelu(c *call) (bind, error) {
	return c.pairs("PRelu", arithmetic{floating: func(x, slope float64) float64 {
		if x < 0 {
			return slope * x
		}
		return x
	}})
}

// clip keeps elements within bounds that are known when the model is opened.
func clip(c *call) (bind, error) {
	if c.version < 11 {
		low, err := c.floatAttr("min", -math.MaxFloat32)
		if err != nil {
			return nil, err
		}
		high, err := c.floatAttr("max", math.MaxFloat32)
		if err != nil {
			return nil, err
		}
		return c.each(clamp(low, high), nil)
	}
	if err := c.count(1, 3); err != nil {
		return nil, err
	}
	bounds := [2]float64{math.Inf(-1), math.Inf(1)}
	whole := [2]int64{math.MinInt64, math.MaxInt64}
	for i := range bounds {
		t := c.optional(i + 1)
		if t == nil {
			continue
		}
		if !t.constant || t.count != 1 || t.kind != c.inputs[0].kind {
			return nil, unsupported("bound %.60q is no single number of type %s that is known when the model is opened", t.name, c.inputs[0].kind)
		}
		if bounds[i] = t.number(0); t.kind.whole() {
			whole[i] = t.i64[0]
		}
	}
	c.inputs = c.inputs[:1]
	return c.each(clamp(bounds[0], bounds[1]), func(x int64) int64 { return min(whole[1], max(whole[0], x)) })
}

func clamp(low, high float64) function {
	return func(x float64) float64 { return min(high, max(low, x)) }
}
