package api

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/lenientjson"
	"github.com/freshet-ml/freshet/modelruntime"
)

// schemaError is an error of rows that could be read and that the signature refuses.
type schemaError struct{ error }

func (e *schemaError) Unwrap() error { return e.error }

// frameReader reads rows of named columns into a matrix in the signature's order. Columns that the model does not have are
// dropped.
type frameReader struct {
	columns []modelruntime.Column
	x       *matrix
	seen    []bool // by any row
}

func newFrameReader(s modelruntime.Signature, x *matrix) *frameReader {
	x.inputs = x.inputs[:0]
	return &frameReader{columns: s.Inputs, x: x, seen: make([]bool, len(s.Inputs))}
}

// row appends a row without values.
func (f *frameReader) row() ([]float64, error) {
	if err := checkValues(len(f.x.inputs) + len(f.columns)); err != nil {
		return nil, err
	}
	first := len(f.x.inputs)
	for range f.columns {
		f.x.inputs = append(f.x.inputs, math.NaN())
	}
	return f.x.inputs[first:], nil
}

// done checks that there are rows, and that no column is missing.
func (f *frameReader) done() error {
	if len(f.x.inputs) == 0 {
		return freshet.Errorf(freshet.InvalidArgument, "there are no rows; send one or more")
	}
	var required, optional []string
	for j, c := range f.columns {
		switch {
		case f.seen[j]:
		case c.Required:
			required = append(required, c.Name)
		default:
			optional = append(optional, c.Name)
		}
	}
	if required != nil {
		return &schemaError{freshet.FieldErrorf(freshet.InvalidArgument, required[0], "Model is missing inputs [%s].", columnList(required))}
	}
	if optional != nil {
		return freshet.FieldErrorf(freshet.InvalidArgument, optional[0], "column %s is missing; a missing value is sent as null in it", columnList(optional))
	}
	for i, v := range f.x.inputs {
		if math.IsNaN(v) {
			if _, err := missingCell(&f.columns[i%len(f.columns)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// order finds the columns of the model among names: for each name the index of its column, −1 for one to drop. Without
// names the columns are the model's own.
func (f *frameReader) order(names []string) ([]int, error) {
	finder := columnFinder{columns: f.columns}
	order := make([]int, len(names))
	for i, name := range names {
		order[i] = finder.find([]byte(name))
		if order[i] < 0 {
			continue
		}
		if f.seen[order[i]] {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, name, "column %.64q stands there twice", name)
		}
		f.seen[order[i]] = true
	}
	return order, nil
}

// positional are all columns in the signature's order.
func (f *frameReader) positional() []int {
	order := make([]int, len(f.columns))
	for j := range order {
		order[j], f.seen[j] = j, true
	}
	return order
}

// mlflowForms are the keys of which a body has exactly one.
var mlflowForms = []string{"dataframe_split", "dataframe_records", "instances", "inputs"}

// readMLflowJSON reads the four forms of JSON that MLflow's scoring server takes.
func readMLflowJSON(text []byte, s modelruntime.Signature, x *matrix, maxDepth int) error {
	text = lenientjson.Clean(text)
	if err := checkDepth(text, 0, maxDepth); err != nil {
		return err
	}
	if err := checkSyntax(text); err != nil {
		return err
	}
	if first := bytes.TrimLeft(text, spaces); first[0] != '{' {
		return freshet.Errorf(freshet.InvalidArgument, "expected a JSON object with one of the keys %s", columnList(mlflowForms))
	}
	found, err := membersOf(text, "the body")
	if err != nil {
		return err
	}
	for _, key := range []string{"messages", "prompt", "input"} {
		if found[key] != nil {
			return freshet.FieldErrorf(freshet.InvalidArgument, key, "%s is for language models, and this is none; expected one of the keys %s", key, columnList(mlflowForms))
		}
	}
	form := ""
	for _, key := range mlflowForms {
		if found[key] != nil && form != "" {
			return freshet.Errorf(freshet.InvalidArgument, "the body has both %s and %s; expected exactly one of the keys %s", form, key, columnList(mlflowForms))
		}
		if found[key] != nil {
			form = key
		}
	}
	f := newFrameReader(s, x)
	switch form {
	case "":
		return freshet.Errorf(freshet.InvalidArgument, "expected a JSON object with one of the keys %s", columnList(mlflowForms))
	case "dataframe_split":
		err = f.split(found[form])
	case "dataframe_records":
		err = f.records(found[form], form, false)
	case "instances":
		err = f.instances(found[form])
	default:
		err = f.inputs(found[form])
	}
	if err != nil {
		return jsonError(text, err)
	}
	return f.done()
}

// membersOf gives the text of each member of an object.
func membersOf(text []byte, what string) (map[string][]byte, error) {
	members := map[string][]byte{}
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	err := objectOf(d, what, func(name []byte) error {
		key := string(name)
		raw, err := d.ReadValue()
		if err != nil {
			return err
		}
		end := int(d.InputOffset())
		if len(members) < 64 { // none of ours has as many
			members[key] = text[end-len(raw) : end]
		}
		return nil
	})
	return members, err
}

// split reads columns and rows of lists.
func (f *frameReader) split(text []byte) error {
	if text[0] != '{' {
		return invalid("dataframe_split", "expected an object with columns and data")
	}
	members, err := membersOf(text, "dataframe_split")
	if err != nil {
		return err
	}
	for key := range members {
		if !slices.Contains([]string{"columns", "index", "data"}, key) {
			return invalid("dataframe_split", "unknown key %.64q; expected columns, index and data", key)
		}
	}
	if members["data"] == nil {
		return invalid("dataframe_split.data", "missing; expected a list of rows")
	}
	var order []int
	if members["columns"] == nil {
		order = f.positional()
	} else {
		var names []string
		d := jsontext.NewDecoder(bytes.NewBuffer(members["columns"]))
		err := listOf(d, "dataframe_split.columns", func() error {
			name, err := stringOf(d, "dataframe_split.columns")
			names = append(names, name)
			return err
		})
		if err != nil {
			return err
		}
		if order, err = f.order(names); err != nil {
			return err
		}
	}
	return f.lists(members["data"], "dataframe_split.data", order, false)
}

// lists reads rows that are lists of cells, in order. In a tensor there is no null.
func (f *frameReader) lists(text []byte, what string, order []int, tensor bool) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	return listOf(d, what, func() error {
		row, err := f.row()
		if err != nil {
			return err
		}
		if tensor && d.PeekKind() != '[' && len(order) == 1 { // [1, 2] is a column
			raw, err := d.ReadValue()
			if err != nil {
				return err
			}
			return f.tensorCell(row, 0, raw)
		}
		n := 0
		err = listOf(d, what, func() error {
			raw, err := d.ReadValue()
			if err != nil {
				return err
			}
			n++
			if n > len(order) || order[n-1] < 0 {
				return nil
			}
			if tensor {
				return f.tensorCell(row, order[n-1], raw)
			}
			row[order[n-1]], err = jsonCell(&f.columns[order[n-1]], raw)
			return err
		})
		if err == nil && n != len(order) {
			err = invalid(what, "%d columns passed, passed data had %d columns", len(order), n)
		}
		return err
	})
}

func (f *frameReader) tensorCell(row []float64, j int, raw []byte) (err error) {
	if raw[0] == 'n' {
		return freshet.FieldErrorf(freshet.InvalidArgument, f.columns[j].Name, "column %s is null in a list of lists, which holds numbers; send named columns to leave values out", f.columns[j].Name)
	}
	row[j], err = jsonCell(&f.columns[j], raw)
	return err
}

// records reads rows that are objects; if same, all must have the same keys.
func (f *frameReader) records(text []byte, what string, same bool) error {
	if text[0] != '[' {
		return invalid(what, "expected a list of rows")
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	first := -1
	return listOf(d, what, func() error {
		if d.PeekKind() != '{' {
			return invalid(what, "expected each row to be an object with the columns of the model")
		}
		row, err := f.row()
		if err != nil {
			return err
		}
		n := 0
		finder := columnFinder{columns: f.columns}
		err = objectOf(d, what, func(name []byte) error {
			n++
			j := finder.find(name)
			raw, err := d.ReadValue()
			if err != nil || j < 0 {
				return err
			}
			f.seen[j] = true
			row[j], err = jsonCell(&f.columns[j], raw)
			return err
		})
		if err == nil && same && first >= 0 && n != first {
			err = invalid(what, "the rows have %d and %d columns; expected the same in all", first, n)
		}
		first = n
		return err
	})
}

// instances reads rows of named values, or of lists.
func (f *frameReader) instances(text []byte) error {
	if text[0] != '[' {
		return invalid("instances", "expected a list of rows")
	}
	if element := bytes.TrimLeft(text[1:], spaces); element[0] == '{' {
		return f.records(text, "instances", true)
	}
	return f.lists(text, "instances", f.positional(), true)
}

// inputs reads columns, one row of scalars, or rows of lists.
func (f *frameReader) inputs(text []byte) error {
	if text[0] == '[' {
		return f.lists(text, "inputs", f.positional(), true)
	}
	if text[0] != '{' {
		return invalid("inputs", "expected an object with the columns of the model, or a list of rows")
	}
	rows := -1
	var column []float64
	finder := columnFinder{columns: f.columns}
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	return objectOf(d, "inputs", func(name []byte) error {
		j := finder.find(name)
		if j < 0 {
			return d.SkipValue()
		}
		column = column[:0]
		cell := func() error {
			raw, err := d.ReadValue()
			if err != nil {
				return err
			}
			if err := checkValues((len(column) + 1) * len(f.columns)); err != nil {
				return err
			}
			v, err := jsonCell(&f.columns[j], raw)
			column = append(column, v)
			return err
		}
		var err error
		if d.PeekKind() == '[' {
			err = listOf(d, f.columns[j].Name, cell)
		} else {
			err = cell()
		}
		if err != nil {
			return err
		}
		if rows < 0 {
			rows = len(column)
			for range rows {
				if _, err := f.row(); err != nil {
					return err
				}
			}
		}
		if len(column) != rows {
			return freshet.FieldErrorf(freshet.InvalidArgument, f.columns[j].Name, "column %s has %d values and another has %d; expected the same number", f.columns[j].Name, len(column), rows)
		}
		f.seen[j] = true
		for i, v := range column {
			f.x.inputs[i*len(f.columns)+j] = v
		}
		return nil
	})
}

// readModelCSV reads rows of CSV. Its first row names the columns if header is true, or if it is unknown and the names are
// the model's; else all rows are in the signature's order.
func readModelCSV(text []byte, s modelruntime.Signature, x *matrix, header bool) error {
	f := newFrameReader(s, x)
	r := csv.NewReader(bytes.NewReader(text))
	r.ReuseRecord = true
	var order []int
	for {
		cells, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return csvError(err)
		}
		if order == nil {
			if header || sameNames(cells, f.columns) {
				if order, err = f.order(cells); err != nil {
					return err
				}
				continue
			}
			order = f.positional()
			if len(cells) != len(order) {
				return freshet.Errorf(freshet.InvalidArgument, "the CSV has %d columns and the model %d, in the order %s", len(cells), len(order), columnList(columnNamesOf(s)))
			}
		}
		row, err := f.row()
		if err != nil {
			return err
		}
		for i, j := range order {
			if j < 0 {
				continue
			}
			if row[j], err = csvCell(&f.columns[j], cells[i]); err != nil {
				return err
			}
		}
	}
	return f.done()
}

func csvError(err error) error {
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		return freshet.Errorf(freshet.InvalidArgument, "the CSV cannot be read: line %d: %w", e.Line, e.Err)
	}
	return freshet.Errorf(freshet.InvalidArgument, "the CSV cannot be read: %w", err)
}

// sameNames tells whether cells are the names of all columns, in any order.
func sameNames(cells []string, columns []modelruntime.Column) bool {
	if len(cells) != len(columns) {
		return false
	}
	finder := columnFinder{columns: columns}
	for _, name := range cells {
		if finder.find([]byte(name)) < 0 {
			return false
		}
	}
	return true
}
