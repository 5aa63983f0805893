package onnxmodel

import (
	"math"
	"slices"
)

// columnsOf is the length of the last axis, which the operators of ai.onnx.ml take for the columns.
func columnsOf(t *tensor) int {
	if len(t.shape) == 0 {
		return 1
	}
	return t.shape[len(t.shape)-1]
}

// perColumn checks a list that has one number for each column, or one for all.
func perColumn(name string, list []float32, columns int) error {
	if len(list) != 1 && len(list) != columns {
		return invalid("attribute %s has %d numbers: expected 1 or %d", name, len(list), columns)
	}
	return nil
}

// columnwise is the step of an operator on the lines along the last axis of float32 values, other numbers converted.
func (c *call) columnwise(f func(z []float64)) (bind, error) {
	in, converted, err := c.floatInput(0)
	if err != nil {
		return nil, err
	}
	out, err := c.output(0, typeFloat, in.shape)
	if err != nil {
		return nil, err
	}
	columns := columnsOf(in)
	step, err := alongLines(in, out, lines{in.count / columns, columns, 1}, f)
	return inOrder(converted, step), err
}

func scaler(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	offset, err := c.floats("offset")
	if err != nil {
		return nil, err
	}
	scale, err := c.floats("scale")
	if err != nil {
		return nil, err
	}
	columns := columnsOf(c.inputs[0])
	if err := perColumn("offset", offset, columns); err != nil {
		return nil, err
	}
	if err := perColumn("scale", scale, columns); err != nil {
		return nil, err
	}
	return c.columnwise(func(z []float64) {
		for i, v := range z {
			z[i] = float64(float32(v-float64(offset[i%len(offset)]))) * float64(scale[i%len(scale)])
		}
	})
}

func normalizer(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	norm, err := c.textAttr("norm", "MAX", "L1", "L2")
	if err != nil {
		return nil, err
	}
	return c.columnwise(func(z []float64) {
		if d := norms[norm](z); d != 0 { // nothing but zeros stays as it is
			for i := range z {
				z[i] /= d
			}
		}
	})
}

// norms are what a row is divided by. MAX is the largest value, not the largest magnitude, and passes over NaN, as in ONNX
// Runtime.
var norms = map[string]func(z []float64) float64{
	"MAX": func(z []float64) float64 {
		high := -math.MaxFloat32
		for _, v := range z {
			if v > high {
				high = v
			}
		}
		return high
	},
	"L1": func(z []float64) (sum float64) {
		for _, v := range z {
			sum += math.Abs(v)
		}
		return sum
	},
	"L2": func(z []float64) (sum float64) {
		for _, v := range z {
			sum += float64(v * v)
		}
		return math.Sqrt(sum)
	},
}

func imputer(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	in, err := c.input(0, func(d dtype) bool { return d == typeFloat })
	if err != nil {
		return nil, err
	}
	put, err := c.floats("imputed_value_floats")
	if err != nil {
		return nil, err
	}
	replaced, err := c.floatAttr("replaced_value_float", 0)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"imputed_value_int64s", "replaced_value_int64"} { // about integer inputs
		if a := c.node.attribute(name); a != nil {
			a.used = true
		}
	}
	if err := perColumn("imputed_value_floats", put, columnsOf(in)); err != nil {
		return nil, err
	}
	return c.columnwise(func(z []float64) {
		for i, v := range z {
			if v == replaced || v != v && replaced != replaced {
				z[i] = float64(put[i%len(put)])
			}
		}
	})
}

func binarizer(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	threshold, err := c.floatAttr("threshold", 0)
	if err != nil {
		return nil, err
	}
	return c.columnwise(func(z []float64) {
		for i, v := range z {
			z[i] = float64(bit(v > threshold))
		}
	})
}

// featureVectorizer joins columns.
func featureVectorizer(c *call) (bind, error) {
	if err := c.count(1, maxItems); err != nil {
		return nil, err
	}
	widths, err := c.ints("inputdimensions")
	if err != nil {
		return nil, err
	}
	if widths != nil && len(widths) != len(c.inputs) {
		return nil, invalid("inputdimensions has %d numbers for %d inputs", len(widths), len(c.inputs))
	}
	var steps []bind
	for i := range c.inputs {
		if c.inputs[i] == nil {
			return nil, invalid("input %d is left out", i)
		}
		t, converted, err := c.floatInput(i)
		if err != nil {
			return nil, err
		}
		if len(t.shape) != 2 || widths != nil && int64(t.shape[1]) != widths[i] {
			return nil, invalid("input %.60q has shape %v: expected [1, the number that inputdimensions says]", t.name, t.shape)
		}
		c.inputs[i] = t
		steps = append(steps, converted)
	}
	step, err := c.join(1)
	return inOrder(append(steps, step)...), err
}

// arrayFeatureExtractor picks columns.
func arrayFeatureExtractor(c *call) (bind, error) {
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
	columns := columnsOf(in)
	g := gathering{in: in, positions: positions, outer: in.count / columns, length: columns, inner: 1}
	shape := []int{1, positions.count}
	if len(in.shape) > 1 {
		shape = slices.Concat(in.shape[:len(in.shape)-1], []int{positions.count})
	}
	if g.out, err = c.output(0, in.kind, shape); err != nil {
		return nil, err
	}
	return g.step()
}

// zipMap gives scores the names of their classes. The values stay where they are.
func zipMap(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	in, err := c.input(0, dtype.floating)
	if err != nil {
		return nil, err
	}
	names, numbers, err := c.labels("classlabels_strings", "classlabels_int64s")
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		names = append(names, labelText(n))
	}
	if len(names) != in.count {
		return nil, invalid("%d class labels for scores of shape %v", len(names), in.shape)
	}
	c.alias(0, in, in.shape).classes = names
	return nil, nil
}

// labels are the classes of a node: texts or integers.
func (c *call) labels(texts, integers string) ([]string, []int64, error) {
	names, err := c.texts(texts)
	if err != nil {
		return nil, nil, err
	}
	numbers, err := c.ints(integers)
	if err != nil {
		return nil, nil, err
	}
	if (len(names) > 0) == (len(numbers) > 0) {
		return nil, nil, invalid("it has %d %s and %d %s: expected one of them", len(names), texts, len(numbers), integers)
	}
	return names, numbers, nil
}
