package onnxmodel

import (
	"slices"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// maxColumns bounds the inputs and outputs of a model.
const maxColumns = 1 << 20

// addInputs makes the columns of the model. The first dimension of an input is the batch, which is 1 for the program; the
// others give its columns: x_0, x_1, … of an input x, or x alone if it is one number.
func (c *compiler) addInputs(m *model) error {
	for _, v := range c.graph.inputs {
		if c.tensors[v.name] != nil { // old files name the initializers among the inputs
			continue
		}
		if c.makers[v.name] != nil {
			return invalid("tensor %.60q is an input and the output of a node", v.name)
		}
		shape, err := v.row()
		if err != nil {
			return err
		}
		t := &tensor{name: v.name, kind: v.kind, shape: shape, count: elements(shape)}
		if err := c.spend(t.count, 0, t.count); err != nil {
			return err
		}
		c.place(t)
		c.tensors[v.name] = t
		m.inputs = append(m.inputs, t)
		for i, name := range modelruntime.TensorColumns(v.name, t.count) {
			m.columns = append(m.columns, column{place{t, i}, t.kind})
			m.signature.Inputs = append(m.signature.Inputs, modelruntime.Column{Name: name, Required: t.kind.whole(), Type: columnTypes[t.kind]})
		}
	}
	if len(m.columns) == 0 || len(m.columns) > maxColumns {
		return invalid("the graph has %d input columns: expected 1 to %d", len(m.columns), maxColumns)
	}
	m.signature.Positional = len(m.inputs) == 1 && len(m.columns) > 1
	return checkNames("input", m.signature.Inputs, func(c modelruntime.Column) string { return c.Name })
}

// columnTypes are the types of inputs in MLflow's words.
var columnTypes = map[dtype]string{
	typeFloat: "float", typeDouble: "double", typeInt64: "long", typeUint32: "long", typeBool: "boolean",
	typeInt32: "integer", typeInt16: "integer", typeInt8: "integer", typeUint16: "integer", typeUint8: "integer",
}

// row is the shape of an input for one row.
func (v valueProto) row() ([]int, error) {
	if v.kind == typeString {
		return nil, unsupported("input %.60q is of type string: only numbers are read; encode it as a number before the model", v.name)
	}
	if v.list || v.kind.width() == 0 {
		return nil, unsupported("input %.60q is no tensor of a type that is read (%s): export it as float32", v.name, v.kind)
	}
	if !v.shown || len(v.shape) == 0 {
		return nil, unsupported("input %.60q has no shape: export it as [batch, number of columns]", v.name)
	}
	if v.shape[0] > 1 || v.shape[0] == 0 {
		return nil, unsupported("input %.60q has shape %v: the first dimension is the batch; export it free, or 1", v.name, v.shape)
	}
	shape := slices.Clone(v.shape)
	shape[0] = 1
	for _, d := range shape[1:] {
		if d < 1 {
			return nil, unsupported("input %.60q has shape %v: all dimensions but the first must be said; export it as [batch, number of columns]", v.name, v.shape)
		}
	}
	if elements(shape) < 0 {
		return nil, freshet.Errorf(freshet.TooLarge, "input %.60q has shape %v: at most %d numbers are read for one row", v.name, v.shape, maxElements)
	}
	return shape, nil
}

func checkNames[T any](what string, list []T, name func(T) string) error {
	seen := make(map[string]bool, len(list))
	for _, v := range list {
		n := name(v)
		if n == "" || seen[n] {
			return invalid("the graph has the %s %.60q twice, or one without a name", what, n)
		}
		seen[n] = true
	}
	return nil
}

// scores are the outputs of the graph that the model gives: those of floating-point numbers, or if there are none all
// others. Labels beside scores are left out: they say less, and are often texts.
func (c *compiler) scores() ([]valueProto, error) {
	isScore := func(v valueProto) bool { return v.list || v.kind == 0 || v.kind.floating() }
	scores := slices.DeleteFunc(slices.Clone(c.graph.outputs), func(v valueProto) bool { return !isScore(v) })
	if len(scores) == 0 {
		scores = slices.DeleteFunc(slices.Clone(c.graph.outputs), func(v valueProto) bool { return v.kind == typeString })
	}
	if len(scores) == 0 {
		return nil, unsupported("the graph gives no numbers: it needs an output such as scores or probabilities")
	}
	for _, o := range c.graph.outputs {
		if c.tensors[o.name] == nil && c.makers[o.name] == nil {
			return nil, invalid("output %.60q is made by no node", o.name)
		}
	}
	return scores, nil
}

// addOutputs makes the outputs of the model: those of one tensor together, in the order of the graph. In a classifier of two
// classes, which has a label beside two scores, the second comes first: it is what the model is asked for.
func (c *compiler) addOutputs(m *model, outputs []valueProto) error {
	for _, o := range outputs {
		t := c.tensors[o.name]
		if !numeric(t.kind) {
			return unsupported("output %.60q is of type %s: expected numbers", o.name, t.kind)
		}
		if t.count == 0 || len(t.shape) > 1 && t.shape[0] != 1 || t.count+len(m.outputs) > maxColumns {
			return unsupported("output %.60q has shape %v for one row: expected [1, number of outputs]", o.name, t.shape)
		}
		names := modelruntime.TensorColumns(o.name, t.count)
		if len(t.classes) == t.count {
			for i, class := range t.classes {
				names[i] = o.name + "_" + class
			}
		}
		order := []int{1, 0}
		if t.count != 2 || len(outputs) == len(c.graph.outputs) {
			order = nil
			for i := range names {
				order = append(order, i)
			}
		}
		for _, i := range order {
			m.outputs = append(m.outputs, place{t, i})
			m.signature.Outputs = append(m.signature.Outputs, names[i])
		}
	}
	return checkNames("output", m.signature.Outputs, func(name string) string { return name })
}
