package onnxmodel

import (
	"slices"
	"strings"

	freshet "github.com/freshet-ml/freshet"
)

// operator names one kind of node.
type operator struct{ domain, name string }

// build checks a node, declares its outputs and gives the step that computes them; nil if there is nothing to compute.
type build func(c *call) (bind, error)

// call is a node that is being compiled.
type call struct {
	*compiler
	node     *nodeProto
	version  int64
	inputs   []*tensor // nil: left out
	variable bool      // it depends on the inputs of the graph
}

// count checks how many inputs the node has.
func (c *call) count(least, most int) error {
	if len(c.inputs) < least || len(c.inputs) > most {
		return invalid("it has %d inputs: expected %d to %d", len(c.inputs), least, most)
	}
	for i := range least {
		if c.inputs[i] == nil {
			return invalid("input %d is left out", i)
		}
	}
	return nil
}

// input is input i, of one of the kinds given and with elements. The node has it: count has been asked.
func (c *call) input(i int, is func(dtype) bool) (*tensor, error) {
	t := c.inputs[i]
	if !is(t.kind) {
		return nil, unsupported("input %.60q is of type %s, which is not read here", t.name, t.kind)
	}
	if t.count == 0 {
		return nil, invalid("input %.60q has no elements (shape %v)", t.name, t.shape)
	}
	return t, nil
}

func numeric(d dtype) bool { return d.width() > 0 }

// optional is input i; nil if it is left out.
func (c *call) optional(i int) *tensor {
	if i >= len(c.inputs) {
		return nil
	}
	return c.inputs[i]
}

// output declares output i. It is computed by the step that the build returns.
func (c *call) output(i int, kind dtype, shape []int) (*tensor, error) {
	count := elements(shape)
	if count == 0 {
		return nil, unsupported("its output has no elements (shape %v)", shape)
	}
	if count < 0 || len(shape) > maxRank {
		return nil, freshet.Errorf(freshet.TooLarge, "its output has shape %v: at most %d elements are computed for one row", shape[:min(8, len(shape))], maxElements)
	}
	if kind == typeString {
		return c.name(i, &tensor{kind: kind, shape: shape, count: count}), nil
	}
	memory := count
	if !c.variable {
		memory, c.folded = 0, c.folded+count
	}
	if err := c.spend(memory, 0, count); err != nil {
		return nil, err
	}
	t := &tensor{kind: kind, shape: shape, count: count, constant: !c.variable}
	c.place(t)
	return c.name(i, t), nil
}

// scratch declares a tensor that only this node uses.
func (c *call) scratch(kind dtype, shape []int) (*tensor, error) { return c.output(-1, kind, shape) }

// alias declares that output i is the same values in another shape.
func (c *call) alias(i int, t *tensor, shape []int) *tensor {
	same := *t
	same.shape = slices.Clone(shape)
	return c.name(i, &same)
}

func (c *call) name(i int, t *tensor) *tensor {
	if i >= 0 && i < len(c.node.outputs) && c.node.outputs[i] != "" {
		t.name = c.node.outputs[i]
		c.tensors[t.name] = t
	}
	return t
}

// attribute is a setting of the right kind; nil if the node has none of that name.
func (c *call) attribute(name string, kind int64) (*attributeProto, error) {
	a := c.node.attribute(name)
	if a == nil {
		return nil, nil
	}
	a.used = true
	if a.kind != kind && a.kind != 0 {
		return nil, invalid("attribute %s is of kind %d: expected %d", name, a.kind, kind)
	}
	return a, nil
}

func (c *call) intAttr(name string, absent int64) (int64, error) {
	a, err := c.attribute(name, attrInt)
	if a == nil {
		return absent, err
	}
	return a.i, nil
}

// flag is an integer attribute that is 0 or 1.
func (c *call) flag(name string, absent bool) (bool, error) {
	given := int64(0)
	if absent {
		given = 1
	}
	v, err := c.intAttr(name, given)
	if err == nil && v != 0 && v != 1 {
		err = invalid("attribute %s is %d: expected 0 or 1", name, v)
	}
	return v == 1, err
}

func (c *call) floatAttr(name string, absent float32) (float64, error) {
	a, err := c.attribute(name, attrFloat)
	if a == nil {
		return float64(absent), err
	}
	return float64(a.f), nil
}

// textAttr is a text attribute, one of those allowed; the first is meant if it is absent.
func (c *call) textAttr(name string, allowed ...string) (string, error) {
	a, err := c.attribute(name, attrString)
	if a == nil {
		return allowed[0], err
	}
	if !slices.Contains(allowed, a.s) {
		return "", unsupported("attribute %s is %.60q: expected %s", name, a.s, strings.Join(allowed, ", "))
	}
	return a.s, nil
}

// ints, floats and texts are list attributes; nil if the node has none.

func (c *call) ints(name string) ([]int64, error) {
	a, err := c.attribute(name, attrInts)
	if a == nil {
		return nil, err
	}
	return a.ints, nil
}

func (c *call) floats(name string) ([]float32, error) {
	a, err := c.attribute(name, attrFloats)
	if a == nil {
		return nil, err
	}
	return a.floats, nil
}

func (c *call) texts(name string) ([]string, error) {
	a, err := c.attribute(name, attrStrings)
	if a == nil {
		return nil, err
	}
	return a.strings, nil
}

// tensorAttr is a tensor attribute; nil if the node has none.
func (c *call) tensorAttr(name string) (*tensor, error) {
	a, err := c.attribute(name, attrTensor)
	if a == nil {
		return nil, err
	}
	if a.t == nil {
		return nil, invalid("attribute %s holds no tensor", name)
	}
	return a.t.constant(&c.files)
}

// integers are the values of an input that must not depend on the inputs of the graph: shapes, axes, positions.
func (c *call) integers(t *tensor, what string) ([]int, error) {
	if !t.constant {
		return nil, unsupported("%s (%.60q) depends on the values of the inputs: only what is known when the model is opened is read", what, t.name)
	}
	if !t.kind.whole() || len(t.shape) > 1 {
		return nil, invalid("%s (%.60q) is of type %s and shape %v: expected a list of integers", what, t.name, t.kind, t.shape)
	}
	if t.count > maxElements {
		return nil, invalid("%s (%.60q) has %d elements", what, t.name, t.count)
	}
	list := make([]int, t.count)
	for i, v := range t.i64 {
		list[i] = int(v)
	}
	return list, nil
}

// axis makes an axis that may count from the end one that counts from the beginning. limit is the rank, or one more where
// the axis is a place between axes.
func axis(v int64, rank, limit int) (int, error) {
	if v < -int64(rank) || v >= int64(limit) {
		return 0, invalid("axis %d of %d dimensions", v, rank)
	}
	if v < 0 {
		v += int64(rank)
	}
	return int(v), nil
}

// axes are axes of a tensor of that rank, in ascending order.
func axes(list []int, rank int) ([]int, error) {
	var sorted []int
	for _, v := range list {
		a, err := axis(int64(v), rank, rank)
		if err != nil {
			return nil, err
		}
		if slices.Contains(sorted, a) {
			return nil, invalid("axis %d is named twice", v)
		}
		sorted = append(sorted, a)
	}
	slices.Sort(sorted)
	return sorted, nil
}

// axesOf are the axes of a node: an attribute up to some version, input i from then on; nil if none is given.
func (c *call) axesOf(inputSince int64, i int) ([]int, error) {
	if c.version < inputSince {
		list, err := c.ints("axes")
		return toInts(list), err
	}
	t := c.optional(i)
	if t == nil {
		return nil, nil
	}
	return c.integers(t, "axes")
}

func toInts(list []int64) []int {
	var out []int
	for _, v := range list {
		out = append(out, int(v))
	}
	return out
}
