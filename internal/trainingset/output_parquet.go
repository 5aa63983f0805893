package trainingset

import (
	"os"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/freshet-ml/freshet/feature/expression"
)

// parquetOutput writes columns that may all be null. Numbers are doubles or 64-bit integers, times are in UTC, lists and
// vectors are lists, a map is its JSON.
type parquetOutput struct {
	w      *parquet.GenericWriter[any]
	inputs []cellKind
	types  []expression.Type
	rows   []parquet.Row
	group  int // rows in the row group at hand
}

const (
	outputRows      = 256       // handed over at a time
	outputGroupRows = 128 << 10 // of a row group
)

func newParquetOutput(f *os.File, p *plan, inputs []cellKind) *parquetOutput {
	o := &parquetOutput{inputs: inputs}
	root := columnsInOrder{Group: parquet.Group{}, names: p.names()}
	for i, name := range p.input {
		root.Group[name] = parquet.Optional(inputNode(inputs[i]))
	}
	for _, c := range p.columns {
		o.types = append(o.types, c.typ)
		root.Group[c.name] = parquet.Optional(featureNode(c.typ))
	}
	o.w = parquet.NewGenericWriter[any](f, parquet.NewSchema("training_set", root),
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}), parquet.CreatedBy("freshet", "", ""))
	return o
}

// columnsInOrder is a group whose columns are not sorted by name.
type columnsInOrder struct {
	parquet.Group
	names []string
}

func (g columnsInOrder) Fields() []parquet.Field {
	fields := g.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int {
		return slices.Index(g.names, a.Name()) - slices.Index(g.names, b.Name())
	})
	return fields
}

func inputNode(kind cellKind) parquet.Node {
	switch kind {
	case intCell:
		return parquet.Int(64)
	case floatCell:
		return parquet.Leaf(parquet.DoubleType)
	case boolCell:
		return parquet.Leaf(parquet.BooleanType)
	case timeCell:
		return parquet.Timestamp(parquet.Microsecond)
	case dateCell:
		return parquet.Date()
	}
	return parquet.String()
}

func featureNode(t expression.Type) parquet.Node {
	switch t.Kind {
	case expression.List:
		return parquet.List(featureNode(expression.Type{Kind: t.Elem}))
	case expression.Vector:
		return parquet.List(parquet.Leaf(parquet.DoubleType))
	case expression.Number:
		if t.Int {
			return parquet.Int(64)
		}
		return parquet.Leaf(parquet.DoubleType)
	case expression.Bool:
		return parquet.Leaf(parquet.BooleanType)
	case expression.Time:
		return parquet.Timestamp(parquet.Millisecond)
	}
	return parquet.String()
}

func (o *parquetOutput) write(cells []cell, values []expression.Value) error {
	row := make(parquet.Row, 0, len(cells)+len(values))
	for i, c := range cells {
		row = append(row, inputValue(c.as(o.inputs[i])).Level(0, present(c.as(o.inputs[i]).null), i))
	}
	for i := range values {
		row = appendFeature(row, &values[i], o.types[i], len(cells)+i)
	}
	o.rows = append(o.rows, row)
	if len(o.rows) == outputRows {
		return o.handOver()
	}
	return nil
}

func present(null bool) int {
	if null {
		return 0
	}
	return 1
}

func inputValue(c cell) parquet.Value {
	switch {
	case c.null:
		return parquet.NullValue()
	case c.kind == intCell, c.kind == timeCell:
		return parquet.Int64Value(c.whole)
	case c.kind == floatCell:
		return parquet.DoubleValue(c.float)
	case c.kind == boolCell:
		return parquet.BooleanValue(c.whole != 0)
	case c.kind == dateCell:
		return parquet.Int32Value(int32(c.whole))
	}
	return parquet.ByteArrayValue([]byte(c.text))
}

// appendFeature appends the value of a feature: of a list each element, of which the first begins the row.
func appendFeature(row parquet.Row, v *expression.Value, t expression.Type, column int) parquet.Row {
	if v.Kind == expression.Null {
		return append(row, parquet.NullValue().Level(0, 0, column))
	}
	if t.Kind != expression.List && t.Kind != expression.Vector {
		return append(row, featureValue(v, t).Level(0, 1, column))
	}
	n := 0
	element := func(x parquet.Value) {
		repetition := 0
		if n > 0 {
			repetition = 1
		}
		row = append(row, x.Level(repetition, 2, column))
		n++
	}
	for i := range v.List {
		element(featureValue(&v.List[i], expression.Type{Kind: t.Elem}))
	}
	for _, x := range v.Vec {
		element(parquet.DoubleValue(x))
	}
	if n == 0 {
		row = append(row, parquet.NullValue().Level(0, 1, column))
	}
	return row
}

func featureValue(v *expression.Value, t expression.Type) parquet.Value {
	switch t.Kind {
	case expression.Number:
		if t.Int {
			return parquet.Int64Value(v.Int64())
		}
		return parquet.DoubleValue(v.Num)
	case expression.Bool:
		return parquet.BooleanValue(v.Num != 0)
	case expression.Time:
		return parquet.Int64Value(int64(v.Num))
	case expression.String:
		return parquet.ByteArrayValue([]byte(v.Str))
	}
	return parquet.ByteArrayValue(v.AppendJSON(nil))
}

func (o *parquetOutput) handOver() error {
	if _, err := o.w.WriteRows(o.rows); err != nil {
		return err
	}
	if o.group += len(o.rows); o.group >= outputGroupRows {
		o.group = 0
		if err := o.w.Flush(); err != nil {
			return err
		}
	}
	o.rows = o.rows[:0]
	return nil
}

func (o *parquetOutput) end() error {
	if err := o.handOver(); err != nil {
		return err
	}
	return o.w.Close()
}
