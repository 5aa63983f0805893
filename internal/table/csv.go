package table

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"unicode/utf8"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// ReadCSV reads a table as RFC 4180 has it: a header line, then rows of as many fields. Key fields and columns are found by
// their names in the header, other columns are ignored, and an empty field is null. A byte order mark at the beginning is
// passed over. Returns InvalidArgument with line and column for a value of the wrong type, a missing or overlong key, a key
// that is there twice and text that is no UTF-8; TooLarge over MaxRows.
func ReadCSV(r io.Reader, spec Spec) (*Table, error) {
	l := loader{spec: spec, table: &Table{spec: spec}}
	if err := l.read(r); err != nil {
		return nil, freshet.Errorf("", "table %s: %w", spec.Name, err)
	}
	return l.table, nil
}

// loader fills a table from a CSV file.
type loader struct {
	spec    Spec
	table   *Table
	csv     *csv.Reader
	keyAt   []int // where in a record the key fields stand
	valueAt []int // … and the columns
	key     []string
	lines   []uint32 // of each row, to name both lines of a key that is there twice
}

func (l *loader) read(r io.Reader) error {
	for _, c := range l.spec.Columns {
		switch c.Kind {
		case expression.Number, expression.String, expression.Bool, expression.Time:
		default:
			return freshet.FieldErrorf(freshet.Internal, c.Name, "column %q: a table has no values of kind %d", c.Name, c.Kind)
		}
		l.table.columns = append(l.table.columns, column{kind: c.Kind})
	}
	l.csv = csv.NewReader(withoutMark(r))
	l.csv.ReuseRecord = true
	if err := l.header(); err != nil {
		return err
	}
	for {
		record, err := l.csv.Read()
		if errors.Is(err, io.EOF) {
			return l.finish()
		}
		if err != nil {
			return readError(err)
		}
		if err := l.row(record); err != nil {
			return err
		}
	}
}

// withoutMark passes over a UTF-8 byte order mark, with which some spreadsheets begin a file.
func withoutMark(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 64<<10)
	if mark, _ := b.Peek(3); string(mark) == "\ufeff" {
		_, _ = b.Discard(3) // cannot fail: the three bytes are in the buffer
	}
	return b
}

// readError tells broken CSV from a reader that fails.
func readError(err error) error {
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		return freshet.Errorf(freshet.InvalidArgument, "line %d, byte %d: %w", e.Line, e.Column, e.Err)
	}
	return err
}

func (l *loader) header() error {
	names, err := l.csv.Read()
	if errors.Is(err, io.EOF) {
		return freshet.Errorf(freshet.InvalidArgument, "the file is empty: expected a header line with the names of the columns")
	}
	if err != nil {
		return readError(err)
	}
	at := func(name string) (int, error) {
		found := -1
		for i, n := range names {
			if n != name {
				continue
			}
			if found >= 0 {
				return 0, freshet.FieldErrorf(freshet.InvalidArgument, name, "line 1: column %q stands in the header twice", name)
			}
			found = i
		}
		if found < 0 {
			return 0, freshet.FieldErrorf(freshet.InvalidArgument, name, "line 1: the header has no column %q; it has %.200q", name, names)
		}
		return found, nil
	}
	for _, name := range l.spec.KeyFields {
		i, err := at(name)
		if err != nil {
			return err
		}
		l.keyAt = append(l.keyAt, i)
	}
	for _, c := range l.spec.Columns {
		i, err := at(c.Name)
		if err != nil {
			return err
		}
		l.valueAt = append(l.valueAt, i)
	}
	return nil
}

func (l *loader) row(record []string) error {
	if l.table.Len() == MaxRows {
		return freshet.Errorf(freshet.TooLarge, "line %d: more than %d rows", l.line(0), MaxRows)
	}
	l.key = l.key[:0]
	for i, at := range l.keyAt {
		if err := checkKeyField(record[at]); err != nil {
			return l.wrong(at, l.spec.KeyFields[i], err)
		}
		l.key = append(l.key, record[at])
	}
	if err := l.table.keys.append(string(freshet.JoinKey(l.key...))); err != nil {
		return err
	}
	l.lines = append(l.lines, uint32(l.line(0)))
	for i, at := range l.valueAt {
		v, err := parseCell(record[at], l.spec.Columns[i])
		if err == nil {
			err = l.table.columns[i].append(v)
		}
		if err != nil {
			return l.wrong(at, l.spec.Columns[i].Name, err)
		}
	}
	return nil
}

// checkKeyField is the rule of the event contract for keys.
func checkKeyField(s string) error {
	if len(s) == 0 || len(s) > freshet.MaxKeyBytes {
		return freshet.Errorf(freshet.InvalidArgument, "a key field of %d bytes: expected 1 … %d", len(s), freshet.MaxKeyBytes)
	}
	if !utf8.ValidString(s) {
		return freshet.Errorf(freshet.InvalidArgument, "%.40q is no UTF-8", s)
	}
	return nil
}

func (l *loader) line(field int) int {
	line, _ := l.csv.FieldPos(field)
	return line
}

func (l *loader) wrong(field int, name string, err error) error {
	return freshet.FieldErrorf("", name, "line %d, column %q: %w", l.line(field), name, err)
}

func (l *loader) finish() error {
	t := l.table
	x, first, again, ok := newIndex(&t.keys)
	if !ok {
		return freshet.Errorf(freshet.InvalidArgument, "line %d: key %q stands in line %d already", l.lines[again], t.keys.at(again), l.lines[first])
	}
	t.index = x
	t.digest = t.computeDigest()
	return nil
}
