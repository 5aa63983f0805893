package trainingset

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/parquetfile"
)

// parquetSource reads a Parquet file of flat columns.
type parquetSource struct {
	path    string
	f       *os.File
	file    *parquetfile.File
	next    int          // row group
	rows    parquet.Rows // of the group at hand; nil: none
	buffer  []parquet.Row
	read    []parquet.Row // of buffer, not yet given
	columns []string
	kinds   []cellKind
	units   []int64 // of times: how many make a second
	cells   []cell
	line    int
}

const parquetRows = 256 // read at a time

func openParquet(path string) (s source, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, freshet.FieldErrorf(freshet.NotFound, "entities", "entities: %w", err)
	}
	defer func() {
		if p := recover(); p != nil {
			err = sourceError(path, fmt.Errorf("the file is broken: %v", p))
		}
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, sourceError(path, err)
	}
	p, err := parquetfile.Open(f, info.Size())
	if err != nil {
		return nil, sourceError(path, err)
	}
	source := &parquetSource{path: path, f: f, file: p, buffer: make([]parquet.Row, parquetRows)}
	for _, c := range p.Root().Columns() {
		kind, unit, ok := kindOf(c)
		if !ok {
			return nil, sourceError(path, freshet.FieldErrorf("", c.Name(), "column %s: values of %s are not read; drop the column or write it as a text", c.Name(), c.Type()))
		}
		source.columns, source.kinds, source.units = append(source.columns, c.Name()), append(source.kinds, kind), append(source.units, unit)
	}
	source.cells = make([]cell, len(source.columns))
	return source, nil
}

// kindOf says how the values of a column are read; ok is false for those that are not.
func kindOf(c *parquet.Column) (kind cellKind, unit int64, ok bool) {
	if !c.Leaf() || c.Repeated() {
		return 0, 0, false
	}
	var logical format.LogicalTypeValue
	if l := c.Type().LogicalType(); l != nil {
		logical = l.Value
	}
	switch c.Type().Kind() {
	case parquet.Boolean:
		return boolCell, 0, true
	case parquet.Float, parquet.Double:
		return floatCell, 0, true
	case parquet.ByteArray:
		switch logical.(type) {
		case nil, *format.StringType, *format.EnumType, *format.JsonType:
			return textCell, 0, true
		}
	case parquet.Int32, parquet.Int64:
		switch t := logical.(type) {
		case nil, *format.IntType:
			return intCell, 0, true
		case *format.DateType:
			return dateCell, 0, true
		case *format.TimestampType:
			return timeCell, int64(time.Second / t.Unit.Value.Duration()), true
		}
	}
	return 0, 0, false
}

func (s *parquetSource) Columns() []string { return s.columns }

func (s *parquetSource) Next() (cells []cell, err error) {
	defer func() {
		if p := recover(); p != nil {
			cells, err = nil, sourceError(s.path, fmt.Errorf("the file is broken: %v", p))
		}
	}()
	for len(s.read) == 0 {
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
	row := s.read[0]
	s.read = s.read[1:]
	s.line++
	if len(row) != len(s.cells) {
		return nil, sourceError(s.path, fmt.Errorf("row %d has %d values, expected %d", s.line, len(row), len(s.cells)))
	}
	for i, v := range row {
		s.cells[i] = s.cell(i, v)
	}
	return s.cells, nil
}

// fill reads the next rows.
func (s *parquetSource) fill() error {
	if s.rows == nil {
		groups := s.file.RowGroups()
		if s.next == len(groups) {
			return io.EOF
		}
		if err := s.file.Check(s.next, s.file.Root().Columns()...); err != nil {
			return sourceError(s.path, err)
		}
		s.rows = groups[s.next].Rows()
		s.next++
	}
	n, err := s.rows.ReadRows(s.buffer)
	s.read = s.buffer[:n]
	if err == nil && n == 0 {
		err = io.ErrNoProgress
	}
	if errors.Is(err, io.EOF) {
		err = s.rows.Close()
		s.rows = nil
	}
	if err != nil {
		return sourceError(s.path, err)
	}
	return nil
}

func (s *parquetSource) cell(i int, v parquet.Value) cell {
	c := cell{kind: s.kinds[i], null: v.IsNull()}
	if c.null {
		return c
	}
	switch v.Kind() {
	case parquet.Boolean:
		if v.Boolean() {
			c.whole = 1
		}
	case parquet.Int32:
		c.whole = int64(v.Int32())
	case parquet.Int64:
		c.whole = v.Int64()
	case parquet.Float:
		c.float = float64(v.Float())
	case parquet.Double:
		c.float = v.Double()
	case parquet.ByteArray:
		c.text = string(v.ByteArray())
	}
	if c.kind == timeCell {
		c.whole = microseconds(c.whole, s.units[i])
	}
	return c
}

// microseconds converts a time; one that is out of every range stays so.
func microseconds(t, unit int64) int64 {
	if unit > 1e6 {
		return floorDiv(t, unit/1e6)
	}
	factor := 1e6 / unit
	if t > math.MaxInt64/factor || t < math.MinInt64/factor {
		return math.MaxInt64
	}
	return t * factor
}

// Line is the number of the row: a Parquet file has no lines.
func (s *parquetSource) Line() int { return s.line }

func (s *parquetSource) Kinds() []cellKind { return s.kinds }

func (s *parquetSource) Close() error {
	if s.rows != nil {
		_ = s.rows.Close() // it was only read
	}
	return s.f.Close()
}
