package onnxmodel

import (
	"math"
	"strconv"
)

func labelText(n int64) string { return strconv.FormatInt(n, 10) }

// oneHotEncoder makes a column of each category: 1 where the value is that category.
func oneHotEncoder(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	if texts, err := c.texts("cats_strings"); err != nil || len(texts) > 0 {
		return nil, unsupported("categories that are texts (cats_strings): only numbers are read; encode them before the model")
	}
	list, err := c.ints("cats_int64s")
	if err != nil {
		return nil, err
	}
	zeros, err := c.flag("zeros", true)
	if err != nil {
		return nil, err
	}
	in, err := c.input(0, numeric)
	if err != nil {
		return nil, err
	}
	positions := make(map[int64]int, len(list))
	for i, v := range list {
		positions[v] = i
	}
	if len(positions) != len(list) || len(list) == 0 {
		return nil, invalid("cats_int64s has %d categories, and some twice, or none", len(list))
	}
	out, err := c.output(0, typeFloat, append(append([]int{}, in.shape...), len(list)))
	if err != nil {
		return nil, err
	}
	e := encoding{in: in, out: out, name: in.name, positions: positions, width: len(list), zeros: zeros}
	switch {
	case in.kind == typeFloat:
		return oneHotOf[float32](e), nil
	case in.kind == typeDouble:
		return oneHotOf[float64](e), nil
	}
	return oneHotOf[int64](e), nil
}

type encoding struct {
	in, out   *tensor
	name      string
	positions map[int64]int
	width     int
	zeros     bool // an unknown category is a row of zeros; otherwise it is refused
}

func oneHotOf[T number](e encoding) bind {
	return func(m *machine) func() {
		x, y := values[T](m, e.in), values[float32](m, e.out)
		return func() {
			clear(y)
			for i, v := range x {
				k, ok := e.positions[truncate(float64(v))]
				if ok {
					y[i*e.width+k] = 1
				} else if !e.zeros {
					m.err = invalid("%q is %v: it is none of the categories that the model knows", e.name, v)
				}
			}
		}
	}
}

// labelEncoder replaces numbers by numbers.
func labelEncoder(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	in, err := c.input(0, numeric)
	if err != nil {
		return nil, err
	}
	keys, err := c.encoderSide("keys")
	if err != nil {
		return nil, err
	}
	results, err := c.encoderSide("values")
	if err != nil {
		return nil, err
	}
	if keys.count != results.count || keys.count == 0 {
		return nil, invalid("%d keys and %d values", keys.count, results.count)
	}
	if keys.kind != in.kind {
		return nil, invalid("keys are of type %s and the input %.60q of type %s", keys.kind, in.name, in.kind)
	}
	absent, err := c.encoderDefault(results.kind)
	if err != nil {
		return nil, err
	}
	to := make(map[float64]float64, keys.count)
	for i := range keys.count {
		k := keys.number(i)
		if _, ok := to[k]; !ok { // the first counts
			to[k] = results.number(i)
		}
		if k != k {
			absent.nan, absent.hasNaN = results.number(i), true
		}
	}
	out, err := c.output(0, results.kind, in.shape)
	if err != nil {
		return nil, err
	}
	f := func(x float64) float64 {
		if v, ok := to[x]; ok {
			return v
		}
		if x != x && absent.hasNaN {
			return absent.nan
		}
		return absent.value
	}
	return encode(in, out, f), nil
}

// absentKey is what a LabelEncoder gives for a key that it does not know, and for NaN if that is a key.
type absentKey struct {
	value, nan float64
	hasNaN     bool
}

// encoderSide is the keys or the values of a LabelEncoder.
func (c *call) encoderSide(side string) (*tensor, error) {
	if texts, err := c.texts(side + "_strings"); err != nil || len(texts) > 0 {
		return nil, unsupported("%s_strings: only numbers are read; encode texts before the model", side)
	}
	if t, err := c.tensorAttr(side + "_tensor"); t != nil || err != nil {
		if err == nil && !numeric(t.kind) {
			err = unsupported("%s_tensor is of type %s: only numbers are read", side, t.kind)
		}
		return t, err
	}
	floats, err := c.floats(side + "_floats")
	if err != nil {
		return nil, err
	}
	if floats != nil {
		return &tensor{kind: typeFloat, count: len(floats), constant: true, slab: slab{f32: floats}}, nil
	}
	list, err := c.ints(side + "_int64s")
	return &tensor{kind: typeInt64, count: len(list), constant: true, slab: slab{i64: list}}, err
}

func (c *call) encoderDefault(kind dtype) (absentKey, error) {
	for _, name := range []string{"default_string"} {
		if a := c.node.attribute(name); a != nil {
			a.used = true
		}
	}
	float, err := c.floatAttr("default_float", float32(math.Copysign(0, -1)))
	if err != nil {
		return absentKey{}, err
	}
	whole, err := c.intAttr("default_int64", -1)
	if err != nil {
		return absentKey{}, err
	}
	t, err := c.tensorAttr("default_tensor")
	switch {
	case err != nil:
		return absentKey{}, err
	case t != nil && (t.count != 1 || !numeric(t.kind)):
		return absentKey{}, invalid("default_tensor has %d elements of type %s: expected one number", t.count, t.kind)
	case t != nil:
		return absentKey{value: t.number(0)}, nil
	case kind.floating():
		return absentKey{value: float}, nil
	}
	return absentKey{value: float64(whole)}, nil
}

// encode is the step that sets each element of out to f of that of in.
func encode(in, out *tensor, f function) bind {
	switch {
	case in.kind == typeFloat:
		return encodeFrom[float32](in, out, f)
	case in.kind == typeDouble:
		return encodeFrom[float64](in, out, f)
	}
	return encodeFrom[int64](in, out, f)
}

func encodeFrom[T number](in, out *tensor, f function) bind {
	switch {
	case out.kind == typeFloat:
		return convertOf(in, out, func(v T) float32 { return float32(f(float64(v))) })
	case out.kind == typeDouble:
		return convertOf(in, out, func(v T) float64 { return f(float64(v)) })
	}
	return convertOf(in, out, func(v T) int64 { return out.kind.wrap(truncate(f(float64(v)))) })
}
