package onnxmodel

import "slices"

func concat(c *call) (bind, error) {
	if err := c.count(1, maxItems); err != nil {
		return nil, err
	}
	given, err := c.intAttr("axis", 0)
	if err != nil {
		return nil, err
	}
	return c.join(int(given))
}

// join puts the inputs one after the other along an axis.
func (c *call) join(along int) (bind, error) {
	first := c.inputs[0]
	a, err := axis(int64(along), len(first.shape), len(first.shape))
	if err != nil {
		return nil, err
	}
	var parts []*tensor
	total := 0
	for i, t := range c.inputs {
		if t == nil {
			return nil, invalid("input %d is left out", i)
		}
		if t.kind != first.kind || !numeric(t.kind) || len(t.shape) != len(first.shape) {
			return nil, invalid("input %.60q is of type %s and shape %v, and %.60q of type %s and shape %v: they do not fit together",
				t.name, t.kind, t.shape, first.name, first.kind, first.shape)
		}
		for d := range t.shape {
			if d != a && t.shape[d] != first.shape[d] {
				return nil, invalid("shapes %v and %v do not fit together along axis %d", first.shape, t.shape, a)
			}
		}
		if t.count > 0 {
			parts = append(parts, t)
		}
		total += t.shape[a]
	}
	shape := slices.Clone(first.shape)
	shape[a] = total
	out, err := c.output(0, first.kind, shape)
	if err != nil {
		return nil, err
	}
	outer := size(shape[:a])
	switch {
	case first.kind == typeFloat:
		return joinOf[float32](parts, out, outer), nil
	case first.kind == typeDouble:
		return joinOf[float64](parts, out, outer), nil
	}
	return joinOf[int64](parts, out, outer), nil
}

func joinOf[T number](parts []*tensor, out *tensor, outer int) bind {
	return func(m *machine) func() {
		y := values[T](m, out)
		var all [][]T
		for _, t := range parts {
			all = append(all, values[T](m, t))
		}
		return func() {
			to := 0
			for i := range outer {
				for _, x := range all {
					n := len(x) / outer
					to += copy(y[to:], x[i*n:(i+1)*n])
				}
			}
		}
	}
}

// gather picks along an axis what a tensor of positions says.
func gather(c *call) (bind, error) {
	if err := c.count(2, 2); err != nil {
		return nil, err
	}
	in, err := c.input(0, numeric)
	if err != nil {
		return nil, err
	}
	positions, err := c.input(1, dtype.whole)
	if err != nil {
		return nil, err
	}
	given, err := c.intAttr("axis", 0)
	if err != nil {
		return nil, err
	}
	a, err := axis(given, len(in.shape), len(in.shape))
	if err != nil {
		return nil, err
	}
	shape := slices.Concat(in.shape[:a], positions.shape, in.shape[a+1:])
	out, err := c.output(0, in.kind, shape)
	if err != nil {
		return nil, err
	}
	g := gathering{in: in, out: out, positions: positions, outer: size(in.shape[:a]), length: in.shape[a], inner: size(in.shape[a+1:])}
	return g.step()
}

// gathering copies pieces of inner elements: for each of outer blocks of length pieces those at the positions.
type gathering struct {
	in, out, positions   *tensor
	outer, length, inner int
}

func (g gathering) step() (bind, error) {
	if g.positions.constant {
		for _, p := range g.positions.i64 {
			if p < -int64(g.length) || p >= int64(g.length) {
				return nil, invalid("position %d of %d", p, g.length)
			}
		}
	}
	switch {
	case g.in.kind == typeFloat:
		return gatherOf[float32](g), nil
	case g.in.kind == typeDouble:
		return gatherOf[float64](g), nil
	}
	return gatherOf[int64](g), nil
}

func gatherOf[T number](g gathering) bind {
	return func(m *machine) func() {
		x, y, at := values[T](m, g.in), values[T](m, g.out), values[int64](m, g.positions)
		return func() {
			to := 0
			for i := range g.outer {
				block := x[i*g.length*g.inner:]
				for _, p := range at {
					if p < 0 {
						p += int64(g.length)
					}
					if p < 0 || p >= int64(g.length) {
						m.err = invalid("%q is %d: the model knows 0 to %d", g.positions.name, p, g.length-1)
						p = 0
					}
					to += copy(y[to:to+g.inner], block[int(p)*g.inner:])
				}
			}
		}
	}
}
