package modelruntime

import (
	"context"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	freshet "github.com/freshet-ml/freshet"
)

// mlflowColumn is one entry of an MLflow signature: a named column, an unnamed one, or a tensor.
type mlflowColumn struct {
	Type     json.RawMessage `json:"type"`
	Name     *string         `json:"name"`
	Required *bool           `json:"required"`
	Tensor   *tensorSpec     `json:"tensor-spec"`
}

type tensorSpec struct {
	Type  string `json:"dtype"`
	Shape []int  `json:"shape"`
}

// parseSignature reads signature.inputs. nil without an error means that it says nothing about columns.
func parseSignature(text string) ([]Column, error) {
	if text == "" {
		return nil, nil
	}
	var entries []mlflowColumn
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		return nil, freshet.Errorf(freshet.InvalidArgument, "expected a JSON list of columns: %w", err)
	}
	if len(entries) > 0 && entries[0].Tensor != nil {
		return tensorColumns(entries)
	}
	columns := make([]Column, len(entries))
	seen := make(map[string]bool, len(entries))
	for i, e := range entries {
		c, err := e.column(i)
		if err != nil {
			return nil, err
		}
		if c.Name != "" && seen[c.Name] {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, c.Name, "column %q stands in it twice", c.Name)
		}
		seen[c.Name] = true
		columns[i] = c
	}
	return columns, nil
}

// tensorColumns are the columns of tensors of shape [-1, n]; nothing is required of them. Those of a single tensor are
// unnamed: they are the model's by position. Of several, the columns of x are x_0, x_1, …, or x if it has one.
func tensorColumns(entries []mlflowColumn) ([]Column, error) {
	var columns []Column
	for i, e := range entries {
		if e.Tensor == nil {
			return nil, freshet.Errorf(freshet.Unsupported, "entry %d is a column among tensors: expected one or the other", i)
		}
		n, err := e.Tensor.columns()
		if err != nil {
			return nil, err
		}
		if n > maxColumns-len(columns) {
			return nil, freshet.Errorf(freshet.TooLarge, "more than %d columns", maxColumns)
		}
		names := make([]string, n)
		if len(entries) > 1 {
			if e.Name == nil || *e.Name == "" {
				return nil, freshet.Errorf(freshet.InvalidArgument, "tensor %d has no name: several tensors are told apart by their names", i)
			}
			names = TensorColumns(*e.Name, n)
		}
		for _, name := range names {
			columns = append(columns, Column{Name: name, Type: tensorTypes[e.Tensor.Type]})
		}
	}
	return columns, nil
}

// TensorColumns are the names of the n columns of an input that is a tensor: x_0, x_1, … of a tensor x, or x if there is
// only one.
func TensorColumns(name string, n int) []string {
	if n == 1 {
		return []string{name}
	}
	names := make([]string, n)
	for i := range names {
		names[i] = name + "_" + strconv.Itoa(i)
	}
	return names
}

// tensorTypes are the types of columns by those of tensors; float64 is the usual one and needs no word.
var tensorTypes = map[string]string{"float32": "float", "int64": "long", "int32": "integer", "bool": "boolean"}

// columns is how many numbers a row has: the product of all dimensions but the first.
func (t *tensorSpec) columns() (int, error) {
	n := 1
	for i, d := range t.Shape {
		if i > 0 && (d < 1 || d > maxColumns/n) {
			return 0, freshet.Errorf(freshet.Unsupported, "a tensor of shape %v: expected [-1, number of columns]", t.Shape[:min(len(t.Shape), 8)])
		}
		if i > 0 {
			n *= d
		}
	}
	if len(t.Shape) == 0 {
		return 0, freshet.Errorf(freshet.Unsupported, "a tensor without a shape: expected [-1, number of columns]")
	}
	return n, nil
}

const maxColumns = 1 << 20

func (e mlflowColumn) column(i int) (Column, error) {
	c := Column{Required: e.Required == nil || *e.Required} // absent means true, as in MLflow
	if e.Name != nil {
		c.Name = *e.Name
	}
	if e.Tensor != nil {
		return c, freshet.FieldErrorf(freshet.Unsupported, c.Name, "entry %d (%q) is a tensor among columns: expected one or the other", i, c.Name)
	}
	if err := json.Unmarshal(e.Type, &c.Type); err != nil {
		return c, freshet.FieldErrorf(freshet.InvalidArgument, c.Name, "column %d (%q) has no type: expected a text such as \"double\"", i, c.Name)
	}
	switch c.Type {
	case "double", "float", "long", "integer", "boolean":
		return c, nil
	case "string", "binary", "datetime", "object", "array", "map", "any":
		return c, freshet.FieldErrorf(freshet.Unsupported, c.Name,
			"column %d (%q) has type %s: only numbers and booleans are read; encode it as a number before training", i, c.Name, c.Type)
	}
	return c, freshet.FieldErrorf(freshet.InvalidArgument, c.Name,
		"column %d (%q) has unknown type %.40q: expected double, float, long, integer or boolean", i, c.Name, c.Type)
}

// signedModel is a model whose artifact has an MLflow signature.
type signedModel struct {
	Model
	signature Signature
	required  []int // columns that must not be missing
}

// sign gives m the columns of an MLflow signature. They must be the model's, by name; the order is the model's. Columns
// without names on either side are matched by position.
func sign(m Model, columns []Column) (Model, error) {
	s := m.Signature()
	if len(columns) != len(s.Inputs) {
		return nil, freshet.Errorf(freshet.InvalidArgument, "it has %d columns and the model file %d: %s",
			len(columns), len(s.Inputs), difference(columns, s.Inputs))
	}
	inputs := make([]Column, len(columns))
	byName := make(map[string]Column, len(columns))
	for _, c := range columns {
		byName[c.Name] = c
	}
	for i, own := range s.Inputs {
		c, ok := byName[own.Name]
		if s.Positional || columns[i].Name == "" {
			c, ok = columns[i], true
		}
		if !ok {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, own.Name, "it differs from the model file: %s", difference(columns, s.Inputs))
		}
		if c.Name == "" {
			c.Name = own.Name
		}
		if c.Type == "" {
			c.Type = own.Type
		}
		c.Required = c.Required || own.Required
		inputs[i] = c
	}
	signed := &signedModel{Model: m, signature: Signature{Inputs: inputs, Outputs: s.Outputs, Positional: s.Positional}}
	for i, c := range inputs {
		if c.Required {
			signed.required = append(signed.required, i)
		}
	}
	return signed, nil
}

// difference names the columns that only one side has.
func difference(signature, file []Column) string {
	only := func(a, b []Column) string {
		has := make(map[string]bool, len(b))
		for _, c := range b {
			has[c.Name] = true
		}
		var names []string
		for _, c := range a {
			if !has[c.Name] && len(names) < 5 {
				names = append(names, c.Name)
			}
		}
		return strings.Join(names, ", ")
	}
	return "only in the signature: [" + only(signature, file) + "], only in the model file: [" + only(file, signature) + "]"
}

func (m *signedModel) Signature() Signature { return m.signature }

func (m *signedModel) Predict(ctx context.Context, inputs, outputs []float64) error {
	rows, err := m.signature.Rows(inputs, outputs)
	if err != nil {
		return err
	}
	width := len(m.signature.Inputs)
	for row := range rows {
		for _, i := range m.required {
			if math.IsNaN(inputs[row*width+i]) {
				return MissingColumn(row, m.signature.Inputs[i].Name)
			}
		}
	}
	return m.Model.Predict(ctx, inputs, outputs)
}

// MissingColumn is the error of a row that lacks a required value.
func MissingColumn(row int, column string) error {
	return freshet.FieldErrorf(freshet.InvalidArgument, column, "row %d: column %q is missing and the model requires it", row, column)
}
