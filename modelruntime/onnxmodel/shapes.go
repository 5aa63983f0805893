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

func transpose(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	in, err := c.input(0, numeric)
	if err != nil {
		return nil, err
	}
	list, err := c.ints("perm")
	if err != nil {
		return nil, err
	}
	order := toInts(list)
	if order == nil {
		for i := range in.shape {
			order = append(order, len(in.shape)-1-i)
		}
	}
	if sorted, err := axes(order, len(in.shape)); err != nil || len(sorted) != len(in.shape) {
		return nil, invalid("perm %v is no order of the axes of shape %v", order[:min(len(order), maxRank)], in.shape)
	}
	from := strides(in.shape)
	var shape, step []int
	for _, a := range order {
		if a < 0 {
			a += len(in.shape)
		}
		shape, step = append(shape, in.shape[a]), append(step, from[a])
	}
	return c.view(0, in, shape, step, 0)
}

// view is the step that copies elements of in: those from the first on whose neighbours are step apart.
func (c *call) view(i int, in *tensor, shape, step []int, first int) (bind, error) {
	out, err := c.output(i, in.kind, shape)
	if err != nil {
		return nil, err
	}
	index, err := c.walk(shape, step, first)
	if err != nil {
		return nil, err
	}
	return pick(in, out, index), nil
}

func expand(c *call) (bind, error) {
	if err := c.count(2, 2); err != nil {
		return nil, err
	}
	in, err := c.input(0, numeric)
	if err != nil {
		return nil, err
	}
	want, err := c.integers(c.inputs[1], "the shape")
	if err != nil {
		return nil, err
	}
	shape, err := broadcast(in.shape, want)
	if err != nil {
		return nil, err
	}
	out, err := c.output(0, in.kind, shape)
	if err != nil {
		return nil, err
	}
	index, err := c.spread(in.shape, shape)
	if err != nil {
		return nil, err
	}
	return pick(in, out, index), nil
}

func tile(c *call) (bind, error) {
	if err := c.count(2, 2); err != nil {
		return nil, err
	}
	in, err := c.input(0, numeric)
	if err != nil {
		return nil, err
	}
	times, err := c.integers(c.inputs[1], "repeats")
	if err != nil {
		return nil, err
	}
	if len(times) != len(in.shape) {
		return nil, invalid("%d repeats for shape %v", len(times), in.shape)
	}
	// Each axis is two: which copy, and where in it.
	var shape, pairs, step []int
	from := strides(in.shape)
	for i, n := range times {
		if n < 1 || n > maxElements {
			return nil, invalid("axis %d is repeated %d times", i, n)
		}
		shape = append(shape, n*in.shape[i])
		pairs, step = append(pairs, n, in.shape[i]), append(step, 0, from[i])
	}
	out, err := c.output(0, in.kind, shape)
	if err != nil {
		return nil, err
	}
	index, err := c.walk(pairs, step, 0)
	if err != nil {
		return nil, err
	}
	return pick(in, out, index), nil
}

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

func split(c *call) (bind, error) {
	if err := c.count(1, 2); err != nil {
		return nil, err
	}
	in, err := c.input(0, numeric)
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
	sizes, err := c.splitSizes(in.shape[a])
	if err != nil {
		return nil, err
	}
	var steps []bind
	first, from := 0, strides(in.shape)
	for i, n := range sizes {
		shape := slices.Clone(in.shape)
		shape[a] = n
		step, err := c.view(i, in, shape, from, first*from[a])
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
		first += n
	}
	return inOrder(steps...), nil
}

func (c *call) splitSizes(length int) ([]int, error) {
	var sizes []int
	var err error
	if t := c.optional(1); t != nil {
		sizes, err = c.integers(t, "the sizes")
	} else if c.version < 13 {
		var list []int64
		list, err = c.ints("split")
		sizes = toInts(list)
	}
	if err != nil {
		return nil, err
	}
	parts := len(c.node.outputs)
	if n, err := c.intAttr("num_outputs", int64(parts)); err != nil || n != int64(parts) {
		return nil, invalid("num_outputs is %d and it has %d outputs", n, parts)
	}
	if sizes == nil && parts > 0 && parts <= length {
		each := (length + parts - 1) / parts
		for left := length; left > 0; left -= each {
			sizes = append(sizes, min(each, left))
		}
	}
	sum := 0
	for _, n := range sizes {
		if n < 1 || n > length {
			return nil, invalid("parts %v of an axis of %d", sizes[:min(8, len(sizes))], length)
		}
		sum += n
	}
	if sum != length || len(sizes) != parts {
		return nil, invalid("%d parts of %d elements for %d outputs of an axis of %d", len(sizes), sum, parts, length)
	}
	return sizes, nil
}

// inOrder makes one step of several.
func inOrder(all ...bind) bind {
	return func(m *machine) func() {
		var steps []func()
		for _, b := range all {
			if b != nil {
				steps = append(steps, b(m))
			}
		}
		return func() {
			for _, step := range steps {
				step()
			}
		}
	}
}

func slice(c *call) (bind, error) {
	if err := c.count(1, 5); err != nil {
		return nil, err
	}
	in, err := c.input(0, numeric)
	if err != nil {
		return nil, err
	}
	starts, ends, along, steps, err := c.sliceBounds(len(in.shape))
	if err != nil {
		return nil, err
	}
	shape, step := slices.Clone(in.shape), strides(in.shape)
	first := 0
	for i, given := range along {
		a, err := axis(int64(given), len(in.shape), len(in.shape))
		if err != nil {
			return nil, err
		}
		start, n, err := sliceAxis(in.shape[a], starts[i], ends[i], steps[i])
		if err != nil {
			return nil, err
		}
		first += start * step[a]
		shape[a] = n
		step[a] *= steps[i]
	}
	return c.view(0, in, shape, step, first)
}

// sliceAxis is where a slice of an axis begins and how many elements it has.
func sliceAxis(length, start, end, step int) (first, n int, err error) {
	if step == 0 || step > maxElements || step < -maxElements {
		return 0, 0, invalid("a step of %d", step)
	}
	if start < 0 {
		start += length
	}
	if end < 0 {
		end += length
	}
	if step > 0 {
		start, end = max(0, min(start, length)), max(0, min(end, length))
		return start, max(0, (end-start+step-1)/step), nil
	}
	start, end = max(0, min(start, length-1)), max(-1, min(end, length-1))
	return start, max(0, (start-end-step-1)/-step), nil
}

func (c *call) sliceBounds(rank int) (starts, ends, along, steps []int, err error) {
	lists := [4][]int{}
	names := [4]string{"starts", "ends", "axes", "steps"}
	for i, name := range names {
		if c.version < 10 {
			if name == "steps" {
				continue
			}
			var list []int64
			if list, err = c.ints(name); err != nil {
				return
			}
			lists[i] = toInts(list)
		} else if t := c.optional(i + 1); t != nil {
			if lists[i], err = c.integers(t, name); err != nil {
				return
			}
		}
	}
	n := len(lists[0])
	if lists[2] == nil {
		for i := range min(n, maxRank) {
			lists[2] = append(lists[2], i)
		}
	}
	if lists[3] == nil {
		lists[3] = slices.Repeat([]int{1}, min(n, maxRank))
	}
	for i, list := range lists {
		if len(list) != n || n > rank {
			return nil, nil, nil, nil, invalid("%s has %d elements and starts %d, of %d dimensions", names[i], len(list), n, rank)
		}
	}
	if _, err = axes(lists[2], rank); err != nil {
		return
	}
	return lists[0], lists[1], lists[2], lists[3], nil
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

// shapeOf gives a shape as a constant: the program is for one row.
func shapeOf(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	shape := c.inputs[0].shape
	start, err := c.intAttr("start", 0)
	if err != nil {
		return nil, err
	}
	end, err := c.intAttr("end", int64(len(shape)))
	if err != nil {
		return nil, err
	}
	from, n, err := sliceAxis(len(shape), int(max(start, -maxRank)), int(min(end, maxRank)), 1)
	if err != nil {
		return nil, err
	}
	t := &tensor{kind: typeInt64, shape: []int{n}, count: n, constant: true, slab: slab{i64: []int64{}}}
	for _, d := range shape[from : from+n] {
		t.i64 = append(t.i64, int64(d))
	}
	c.name(0, t)
	return nil, nil
}

func constantNode(c *call) (bind, error) {
	if err := c.count(0, 0); err != nil {
		return nil, err
	}
	t, err := c.tensorAttr("value")
	if err != nil {
		return nil, err
	}
	if t == nil {
		t, err = c.plainConstant()
	}
	if err != nil {
		return nil, err
	}
	c.name(0, t)
	return nil, nil
}

// plainConstant is a constant that is given by numbers and not by a tensor.
func (c *call) plainConstant() (*tensor, error) {
	for _, a := range c.node.attributes {
		a.used = true
		t := &tensor{constant: true, shape: []int{}, count: 1}
		switch a.name {
		case "value_float":
			t.kind, t.f32 = typeFloat, []float32{a.f}
		case "value_int":
			t.kind, t.i64 = typeInt64, []int64{a.i}
		case "value_floats":
			t.kind, t.f32, t.count, t.shape = typeFloat, a.floats, len(a.floats), []int{len(a.floats)}
		case "value_ints":
			t.kind, t.i64, t.count, t.shape = typeInt64, a.ints, len(a.ints), []int{len(a.ints)}
		default:
			a.used = false
			continue
		}
		return t, nil
	}
	return nil, unsupported("it has no value, value_float, value_floats, value_int or value_ints")
}

func constantOfShape(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	shape, err := c.integers(c.inputs[0], "the shape")
	if err != nil {
		return nil, err
	}
	value, err := c.tensorAttr("value")
	if err != nil {
		return nil, err
	}
	if value == nil {
		value = &tensor{kind: typeFloat, count: 1, constant: true, slab: slab{f32: []float32{0}}}
	}
	if value.count != 1 || !numeric(value.kind) {
		return nil, invalid("value has %d elements of type %s: expected one number", value.count, value.kind)
	}
	if shape == nil {
		shape = []int{}
	}
	out, err := c.output(0, value.kind, shape)
	if err != nil {
		return nil, err
	}
	index, err := c.spread(nil, shape)
	if err != nil {
		return nil, err
	}
	return pick(value, out, index), nil
}
