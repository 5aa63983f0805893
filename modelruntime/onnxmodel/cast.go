package onnxmodel

import "math"

// cast changes the type of the elements.
func cast(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	in, err := c.input(0, anyKind)
	if err != nil {
		return nil, err
	}
	to, err := c.intAttr("to", 0)
	if err != nil {
		return nil, err
	}
	if a := c.node.attribute("saturate"); a != nil { // about float8 only
		a.used = true
	}
	if a := c.node.attribute("round_mode"); a != nil {
		a.used = true
	}
	kind := dtype(to)
	if !numeric(kind) || !numeric(in.kind) {
		return nil, unsupported("from type %s to %s: only numbers are converted", in.kind, kind)
	}
	if kind == in.kind {
		c.alias(0, in, in.shape)
		return nil, nil
	}
	out, err := c.output(0, kind, in.shape)
	if err != nil {
		return nil, err
	}
	return convert(in, out), nil
}

// convert is the step that changes the type of all elements of in.
func convert(in, out *tensor) bind {
	switch {
	case in.kind == typeFloat:
		return convertFrom[float32](in, out)
	case in.kind == typeDouble:
		return convertFrom[float64](in, out)
	}
	return convertFrom[int64](in, out)
}

func convertFrom[T number](in, out *tensor) bind {
	switch {
	case out.kind == typeFloat:
		return convertOf(in, out, func(v T) float32 { return float32(v) })
	case out.kind == typeDouble:
		return convertOf(in, out, func(v T) float64 { return float64(v) })
	case out.kind == typeBool:
		return convertOf(in, out, func(v T) int64 { return bit(v != 0) })
	case in.kind.whole():
		return convertOf(in, out, func(v T) int64 { return out.kind.wrap(int64(v)) })
	}
	return convertOf(in, out, func(v T) int64 { return out.kind.wrap(truncate(float64(v))) })
}

func convertOf[T, U number](in, out *tensor, f func(T) U) bind {
	return func(m *machine) func() {
		x, y := values[T](m, in), values[U](m, out)
		return func() {
			for i, v := range x {
				y[i] = f(v)
			}
		}
	}
}

// truncate is x without its fraction; NaN is 0 and what is beyond an int64 its bound, on every machine.
func truncate(x float64) int64 {
	switch {
	case x != x:
		return 0
	case x >= 1<<63:
		return math.MaxInt64
	case x < -1<<63:
		return math.MinInt64
	}
	return int64(x)
}

// floatInput is input i as float32, converted where it is another kind of number, and the step that converts it.
func (c *call) floatInput(i int) (*tensor, bind, error) {
	in, err := c.input(i, numeric)
	if err != nil || in.kind == typeFloat {
		return in, nil, err
	}
	out, err := c.scratch(typeFloat, in.shape)
	if err != nil {
		return nil, nil, err
	}
	return out, convert(in, out), nil
}
