package onnxmodel

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
