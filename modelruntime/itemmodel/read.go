package itemmodel

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/parquetfile"
)

// readCSV reads RFC 4180 with a header line of the three columns in any order.
func readCSV(file []byte, b *builder) error {
	r := csv.NewReader(bytes.NewReader(withoutMark(file)))
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return broken(err)
	}
	var at [3]int
	for i, name := range columns {
		if at[i] = slices.Index(header, name); at[i] < 0 || len(header) != len(columns) {
			return freshet.Errorf(freshet.InvalidArgument, "line 1: expected the columns item, other and weight")
		}
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return broken(err)
		}
		if err := addRecord(b, record, at); err != nil {
			line, _ := r.FieldPos(0)
			return freshet.Errorf("", "line %d: %w", line, err)
		}
	}
}

func addRecord(b *builder, record []string, at [3]int) error {
	weight, err := strconv.ParseFloat(record[at[2]], 64)
	if err != nil {
		return freshet.FieldErrorf(freshet.InvalidArgument, "weight", "weight %.40q: expected a number", record[at[2]])
	}
	return b.add(record[at[0]], record[at[1]], weight)
}

func broken(err error) error {
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		return freshet.Errorf(freshet.InvalidArgument, "line %d, byte %d: %w", e.Line, e.Column, e.Err)
	}
	return freshet.Errorf(freshet.InvalidArgument, "%w", err)
}

// rowsAtOnce is how many rows of a Parquet file are read together.
const rowsAtOnce = 256

// readParquet reads a flat table with the three columns; further ones are refused, as in CSV.
func readParquet(file []byte, b *builder) (err error) {
	defer func() {
		if p := recover(); p != nil { // the library panics on some broken files
			err = parquetfile.Broken(fmt.Errorf("%v", p))
		}
	}()
	f, err := parquetfile.Open(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return err
	}
	at, err := parquetColumns(f.Root().Columns())
	if err != nil {
		return err
	}
	if f.NumRows() > maxPairs {
		return freshet.Errorf(freshet.TooLarge, "%d pairs: at most %d are read", f.NumRows(), maxPairs)
	}
	line := 0
	for i, group := range f.RowGroups() {
		if err := f.Check(i, f.Root().Columns()...); err != nil {
			return err
		}
		if err := addGroup(b, group, at, &line); err != nil {
			return err
		}
	}
	return nil
}

func addGroup(b *builder, group parquet.RowGroup, at [3]int, line *int) error {
	rows := group.Rows()
	defer rows.Close()
	buffer := make([]parquet.Row, rowsAtOnce)
	for {
		n, err := rows.ReadRows(buffer)
		for _, row := range buffer[:n] {
			*line++
			if err := addRow(b, row, at); err != nil {
				return freshet.Errorf("", "row %d: %w", *line, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n == 0 {
			err = io.ErrNoProgress
		}
		if err != nil {
			return parquetfile.Broken(err)
		}
	}
}

func addRow(b *builder, row parquet.Row, at [3]int) error {
	if len(row) != len(columns) {
		return freshet.Errorf(freshet.InvalidArgument, "%d values: expected %d", len(row), len(columns))
	}
	for i, name := range columns {
		if row[at[i]].IsNull() {
			return freshet.FieldErrorf(freshet.InvalidArgument, name, "%s is null", name)
		}
	}
	id := func(v parquet.Value) string {
		if v.Kind() == parquet.ByteArray {
			return string(v.ByteArray())
		}
		return strconv.FormatInt(v.Int64(), 10)
	}
	return b.add(id(row[at[0]]), id(row[at[1]]), number(row[at[2]]))
}

func number(v parquet.Value) float64 {
	switch v.Kind() {
	case parquet.Float:
		return float64(v.Float())
	case parquet.Double:
		return v.Double()
	case parquet.Int32:
		return float64(v.Int32())
	}
	return float64(v.Int64())
}

// plain reports that the values of a type are what their bytes say: no dates, decimals or numbers without a sign.
func plain(t parquet.Type) bool {
	l := t.LogicalType()
	if l == nil || t.Kind() == parquet.ByteArray {
		return true
	}
	switch l := l.Value.(type) {
	case nil:
		return true
	case *format.IntType:
		return l.IsSigned
	}
	return false
}

// parquetColumns finds the three columns and checks that their types can be read: ids are texts or whole numbers.
func parquetColumns(found []*parquet.Column) (at [3]int, err error) {
	names := make([]string, len(found))
	for i, c := range found {
		names[i] = c.Name()
	}
	for i, name := range columns {
		at[i] = slices.Index(names, name)
		if at[i] < 0 || len(found) != len(columns) {
			return at, freshet.Errorf(freshet.Unsupported, "a Parquet file with columns %.200q is no model: an item-to-item table has item, other and weight", names)
		}
		c := found[at[i]]
		kinds := []parquet.Kind{parquet.ByteArray, parquet.Int64}
		if name == "weight" {
			kinds = []parquet.Kind{parquet.Float, parquet.Double, parquet.Int32, parquet.Int64}
		}
		if !c.Leaf() || c.Repeated() || !slices.Contains(kinds, c.Type().Kind()) || !plain(c.Type()) {
			return at, freshet.FieldErrorf(freshet.Unsupported, name, "column %s: values of %s are not read: %s", name, fmt.Sprint(c.Type()),
				map[bool]string{true: "write floats", false: "write texts or 64-bit whole numbers"}[name == "weight"])
		}
	}
	return at, nil
}
