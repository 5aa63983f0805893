package onnxmodel

import "slices"

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
