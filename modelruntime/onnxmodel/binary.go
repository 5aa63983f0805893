package onnxmodel

import "math"

// binaryOperators are the operators of two (some of any number of) tensors, element by element.
func binaryOperators() map[operator]build {
	all := make(map[operator]build)
	for name, f := range map[string]arithmetic{
		"Add": {func(a, b float64) float64 { return a + b }, func(a, b int64) int64 { return a + b }},
		"Sub": {func(a, b float64) float64 { return a - b }, func(a, b int64) int64 { return a - b }},
		"Mul": {func(a, b float64) float64 { return a * b }, func(a, b int64) int64 { return a * b }},
		"Div": {func(a, b float64) float64 { return a / b }, func(a, b int64) int64 { return a / b }},
		"Pow": {math.Pow, nil},
	} {
		all[operator{"", name}] = func(c *call) (bind, error) { return c.pairs(name, f) }
	}
	for name, f := range map[string]arithmetic{
		"Max":  {func(a, b float64) float64 { return max(a, b) }, func(a, b int64) int64 { return max(a, b) }},
		"Min":  {func(a, b float64) float64 { return min(a, b) }, func(a, b int64) int64 { return min(a, b) }},
		"Sum":  {func(a, b float64) float64 { return a + b }, nil},
		"Mean": {func(a, b float64) float64 { return a + b }, nil},
	} {
		all[operator{"", name}] = func(c *call) (bind, error) { return c.fold(f, name == "Mean") }
	}
	for name, f := range map[string]comparison{
		"Greater":        {func(a, b float64) bool { return a > b }, func(a, b int64) bool { return a > b }},
		"GreaterOrEqual": {func(a, b float64) bool { return a >= b }, func(a, b int64) bool { return a >= b }},
		"Less":           {func(a, b float64) bool { return a < b }, func(a, b int64) bool { return a < b }},
		"LessOrEqual":    {func(a, b float64) bool { return a <= b }, func(a, b int64) bool { return a <= b }},
		"Equal":          {func(a, b float64) bool { return a == b }, func(a, b int64) bool { return a == b }},
		"And":            {nil, func(a, b int64) bool { return a&b == 1 }},
		"Or":             {nil, func(a, b int64) bool { return a|b == 1 }},
		"Xor":            {nil, func(a, b int64) bool { return a^b == 1 }},
	} {
		all[operator{"", name}] = func(c *call) (bind, error) { return c.compare(f) }
	}
	return all
}

// arithmetic is an operator of two numbers; whole is nil if integers are not read.
type arithmetic struct {
	floating func(a, b float64) float64
	whole    func(a, b int64) int64
}

type comparison struct {
	floating func(a, b float64) bool
	whole    func(a, b int64) bool
}

// two are the operands, the places of their elements and the shape of the result.
func (c *call) two() (a, b *tensor, ia, ib []int32, shape []int, err error) {
	if err = c.count(2, 2); err != nil {
		return
	}
	if a, err = c.input(0, numeric); err != nil {
		return
	}
	if b, err = c.input(1, numeric); err != nil {
		return
	}
	if c.node.op == "Pow" && b.kind != a.kind && b.constant {
		b = b.converted(a.kind)
	}
	if a.kind != b.kind {
		err = invalid("inputs %.60q and %.60q are of types %s and %s: expected the same", a.name, b.name, a.kind, b.kind)
		return
	}
	if shape, err = broadcast(a.shape, b.shape); err != nil {
		return
	}
	if elements(shape) < 0 {
		err = invalid("shapes %v and %v make too many elements", a.shape, b.shape)
		return
	}
	if ia, err = c.spread(a.shape, shape); err != nil {
		return
	}
	ib, err = c.spread(b.shape, shape)
	return
}

// converted is a constant of another type.
func (t *tensor) converted(kind dtype) *tensor {
	same := *t
	same.kind, same.slab = kind, slab{}
	for i := range t.count {
		v := t.number(i)
		switch {
		case kind == typeFloat:
			same.f32 = append(same.f32, float32(v))
		case kind == typeDouble:
			same.f64 = append(same.f64, v)
		default:
			same.i64 = append(same.i64, kind.wrap(truncate(v)))
		}
	}
	return &same
}

func (c *call) pairs(name string, f arithmetic) (bind, error) {
	a, b, ia, ib, shape, err := c.two()
	if err != nil {
		return nil, err
	}
	out, err := c.output(0, a.kind, shape)
	if err != nil {
		return nil, err
	}
	if !a.kind.floating() {
		return c.wholePairs(name, f, a, b, out, ia, ib)
	}
	if a.kind == typeDouble {
		return pairsOf[float64](a, b, out, ia, ib, f.floating), nil
	}
	if name == "Add" && ia == nil && ib == nil { // the bias of a layer
		return addSame(a, b, out), nil
	}
	return pairsOf[float32](a, b, out, ia, ib, f.floating), nil
}

func (c *call) wholePairs(name string, f arithmetic, a, b, out *tensor, ia, ib []int32) (bind, error) {
	if f.whole == nil || a.kind == typeBool {
		return nil, unsupported("input %.60q is of type %s: float and double are read", a.name, a.kind)
	}
	if name == "Div" {
		if !b.constant {
			return nil, unsupported("it divides integers by %.60q, which depends on the inputs: cast to float first", b.name)
		}
		for _, v := range b.i64 {
			if v == 0 {
				return nil, invalid("it divides integers by 0")
			}
		}
	}
	return func(m *machine) func() {
		x, y, z := values[int64](m, a), values[int64](m, b), values[int64](m, out)
		return func() {
			for i := range z {
				z[i] = a.kind.wrap(f.whole(x[at(ia, i)], y[at(ib, i)]))
			}
		}
	}, nil
}

func pairsOf[T float32 | float64](a, b, out *tensor, ia, ib []int32, f func(a, b float64) float64) bind {
	return func(m *machine) func() {
		x, y, z := values[T](m, a), values[T](m, b), values[T](m, out)
		return func() {
			for i := range z {
				z[i] = T(f(float64(x[at(ia, i)]), float64(y[at(ib, i)])))
			}
		}
	}
}

func addSame(a, b, out *tensor) bind {
	return func(m *machine) func() {
		x, y, z := values[float32](m, a), values[float32](m, b), values[float32](m, out)
		return func() {
			for i := range z {
				z[i] = x[i] + y[i]
			}
		}
	}
}

func (c *call) compare(f comparison) (bind, error) {
	a, b, ia, ib, shape, err := c.two()
	if err != nil {
		return nil, err
	}
	if a.kind.floating() && f.floating == nil || f.floating == nil && a.kind != typeBool {
		return nil, unsupported("inputs are of type %s: expected bool", a.kind)
	}
	out, err := c.output(0, typeBool, shape)
	if err != nil {
		return nil, err
	}
	switch {
	case a.kind == typeFloat:
		return compareOf[float32](a, b, out, ia, ib, f.floating), nil
	case a.kind == typeDouble:
		return compareOf[float64](a, b, out, ia, ib, f.floating), nil
	}
	return func(m *machine) func() {
		x, y, z := values[int64](m, a), values[int64](m, b), values[int64](m, out)
		return func() {
			for i := range z {
				z[i] = bit(f.whole(x[at(ia, i)], y[at(ib, i)]))
			}
		}
	}, nil
}

func compareOf[T float32 | float64](a, b, out *tensor, ia, ib []int32, f func(a, b float64) bool) bind {
	return func(m *machine) func() {
		x, y, z := values[T](m, a), values[T](m, b), values[int64](m, out)
		return func() {
			for i := range z {
				z[i] = bit(f(float64(x[at(ia, i)]), float64(y[at(ib, i)])))
			}
		}
	}
}

// fold is the step of an operator of any number of tensors.
func (c *call) fold(f arithmetic, mean bool) (bind, error) {
	if err := c.count(1, maxItems); err != nil {
		return nil, err
	}
	var shape []int
	for i := range c.inputs {
		if c.inputs[i] == nil {
			return nil, invalid("input %d is left out", i)
		}
		t, err := c.input(i, numeric)
		if err != nil {
			return nil, err
		}
		if t.kind != c.inputs[0].kind || f.whole == nil && !t.kind.floating() || t.kind == typeBool {
			return nil, unsupported("input %.60q is of type %s beside %s", t.name, t.kind, c.inputs[0].kind)
		}
		if shape, err = broadcast(shape, t.shape); err != nil {
			return nil, err
		}
	}
	out, err := c.output(0, c.inputs[0].kind, shape)
	if err != nil {
		return nil, err
	}
	index := make([][]int32, len(c.inputs))
	for i, t := range c.inputs {
		if index[i], err = c.spread(t.shape, shape); err != nil {
			return nil, err
		}
		if err := c.spend(0, 0, out.count); err != nil {
			return nil, err
		}
	}
	divisor := 1.0
	if mean {
		divisor = float64(len(c.inputs))
	}
	switch {
	case out.kind == typeFloat:
		return foldOf(c.inputs, out, index, floatFold[float32](f.floating, divisor)), nil
	case out.kind == typeDouble:
		return foldOf(c.inputs, out, index, floatFold[float64](f.floating, divisor)), nil
	}
	return foldOf(c.inputs, out, index, folding[int64]{f.whole, func(x int64) int64 { return x }}), nil
}

// folding combines numbers one after the other; last is applied to the result.
type folding[T number] struct {
	both func(a, b T) T
	last func(a T) T
}

func floatFold[T float32 | float64](f func(a, b float64) float64, divisor float64) folding[T] {
	return folding[T]{
		func(a, b T) T { return T(f(float64(a), float64(b))) },
		func(a T) T { return T(float64(a) / divisor) },
	}
}

func foldOf[T number](inputs []*tensor, out *tensor, index [][]int32, f folding[T]) bind {
	return func(m *machine) func() {
		z := values[T](m, out)
		var all [][]T
		for _, t := range inputs {
			all = append(all, values[T](m, t))
		}
		return func() {
			for i := range z {
				v := all[0][at(index[0], i)]
				for k, x := range all[1:] {
					v = f.both(v, x[at(index[k+1], i)])
				}
				z[i] = f.last(v)
			}
		}
	}
}
