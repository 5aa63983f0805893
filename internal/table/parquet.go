package table

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/parquetfile"
)

// ReadParquet reads a table from a Parquet file of size bytes. Key fields and columns are found by their names, other columns are
// not read, whatever they hold. Beside the table it needs memory for a page of each column.
//
// A key field is a column of texts or whole numbers, which stand for their decimal text, and is never null. A string is a column of texts; int
// and float one of whole numbers or floats, of which NaN is null; bool one of booleans; time one of timestamps, dates, whole numbers
// (milliseconds since 1970) or texts as in CSV. Bounds are those of CSV, and so is the empty text, which is null.
//
// Returns InvalidArgument, naming the column and, where it is about a value, the row (the first is 1), for a column that is
// missing or of another type, a value that the column cannot have, a missing or overlong key, a key that is there twice
// and a broken file; TooLarge over MaxRows.
func ReadParquet(r io.ReaderAt, size int64, spec Spec) (t *Table, err error) {
	defer func() {
		if p := recover(); p != nil { // the library panics on some broken files
			t, err = nil, parquetfile.Broken(fmt.Errorf("%v", p))
		}
	}()
	b, err := newBuilder(spec)
	if err != nil {
		return nil, err
	}
	f, err := parquetfile.Open(r, size)
	if err != nil {
		return nil, err
	}
	if f.NumRows() > MaxRows {
		return nil, freshet.Errorf(freshet.TooLarge, "%d rows: a table has at most %d", f.NumRows(), MaxRows)
	}
	l := parquetLoader{builder: b, file: f}
	if err := l.find(); err != nil {
		return nil, err
	}
	for group := range f.RowGroups() {
		if err := l.group(group); err != nil {
			return nil, err
		}
	}
	return l.finish(func(row int) string { return "row " + strconv.Itoa(row+1) })
}

// parquetLoader fills a table from a Parquet file.
type parquetLoader struct {
	builder
	file   *parquetfile.File
	keys   []*parquetColumn // of the key fields
	values []*parquetColumn // of the columns
}

// find finds the columns that the table has in the file.
func (l *parquetLoader) find() error {
	for _, name := range l.spec.KeyFields {
		c, err := l.column(name, "a text or a whole number", keyReader)
		if err != nil {
			return err
		}
		l.keys = append(l.keys, c)
	}
	for _, column := range l.spec.Columns {
		reader := func(c *parquet.Column) readValue { return columnReader(c, column) }
		if isKeyText(l.spec, column) {
			reader = keyReader
		}
		c, err := l.column(column.Name, words(column), reader)
		if err != nil {
			return err
		}
		l.values = append(l.values, c)
	}
	return nil
}

// column finds one column; reader gives nil for one whose values are not what is expected.
func (l *parquetLoader) column(name, expected string, reader func(*parquet.Column) readValue) (*parquetColumn, error) {
	var found *parquet.Column
	columns := l.file.Root().Columns()
	for _, c := range columns {
		if c.Name() != name {
			continue
		}
		if found != nil {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, name, "column %q is in the file twice", name)
		}
		found = c
	}
	if found == nil {
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = c.Name()
		}
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, name, "the file has no column %q; it has %.200q", name, names)
	}
	if !found.Leaf() || found.Repeated() {
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, name, "column %q holds lists or groups; expected %s in each row", name, expected)
	}
	read := reader(found)
	if read == nil {
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, name, "column %q holds values of type %s; expected %s: convert it, or declare the column with its type",
			name, found.Type(), expected)
	}
	return &parquetColumn{name: name, column: found, read: read}, nil
}

// group adds the rows of a row group.
func (l *parquetLoader) group(at int) error {
	group := l.file.RowGroups()[at]
	all := append(append([]*parquetColumn{}, l.keys...), l.values...)
	defer func() {
		for _, c := range all {
			c.close()
		}
	}()
	for _, c := range all {
		if err := l.file.Check(at, c.column); err != nil {
			return err
		}
		c.open(group.ColumnChunks()[c.column.Index()])
	}
	for range group.NumRows() {
		if err := l.row(); err != nil {
			return err
		}
	}
	for _, c := range all {
		if _, err := c.next(); !errors.Is(err, errNoValue) {
			return freshet.FieldErrorf(freshet.InvalidArgument, c.name, "column %q: %w", c.name, parquetfile.Broken(errors.New("it has more values than there are rows")))
		}
	}
	return nil
}

func (l *parquetLoader) row() error {
	if err := l.room(); err != nil {
		return err
	}
	row := l.table.Len() + 1
	wrong := func(c *parquetColumn, err error) error {
		return freshet.FieldErrorf("", c.name, "row %d, column %q: %w", row, c.name, err)
	}
	for i, c := range l.keys {
		v, err := c.next()
		if err == nil {
			err = checkKeyField(v.Str)
		}
		if err != nil {
			return wrong(c, err)
		}
		l.key[i] = v.Str
	}
	if err := l.addKey(); err != nil {
		return err
	}
	for i, c := range l.values {
		v, err := c.next()
		if err == nil {
			err = l.table.columns[i].append(v)
		}
		if err != nil {
			return wrong(c, err)
		}
	}
	return nil
}
