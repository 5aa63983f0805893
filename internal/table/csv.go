package table

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"strconv"

	freshet "github.com/freshet-ml/freshet"
)

// ReadCSV reads a table as RFC 4180 has it: a header line, then rows of as many fields. Key fields and columns are found by
// their names in the header, other columns are ignored, and an empty field is null. A byte order mark at the beginning is
// passed over. Returns InvalidArgument with line and column for a value of the wrong type, a missing or overlong key, a key
// that is there twice and text that is no UTF-8; TooLarge over MaxRows. The caller knows the table's name and says it.
func ReadCSV(r io.Reader, spec Spec) (*Table, error) {
	b, err := newBuilder(spec)
	if err != nil {
		return nil, err
	}
	l := csvLoader{builder: b}
	return l.read(r)
}

// csvLoader fills a table from a CSV file.
type csvLoader struct {
	builder
	csv     *csv.Reader
	keyAt   []int    // where in a record the key fields stand
	valueAt []int    // … and the columns
	lines   []uint32 // of each row, to name both lines of a key that is there twice
}

func (l *csvLoader) read(r io.Reader) (*Table, error) {
	l.csv = csv.NewReader(withoutMark(r))
	l.csv.ReuseRecord = true
	if err := l.header(); err != nil {
		return nil, err
	}
	for {
		record, err := l.csv.Read()
		if errors.Is(err, io.EOF) {
			return l.finish(func(row int) string { return "line " + strconv.Itoa(int(l.lines[row])) })
		}
		if err != nil {
			return nil, readError(err)
		}
		if err := l.row(record); err != nil {
			return nil, err
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

func (l *csvLoader) header() error {
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

func (l *csvLoader) row(record []string) error {
	if err := l.room(); err != nil {
		return freshet.Errorf("", "line %d: %w", l.line(0), err)
	}
	for i, at := range l.keyAt {
		if err := checkKeyField(record[at]); err != nil {
			return l.wrong(at, l.spec.KeyFields[i], err)
		}
		l.key[i] = record[at]
	}
	if err := l.addKey(); err != nil {
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

func (l *csvLoader) line(field int) int {
	line, _ := l.csv.FieldPos(field)
	return line
}

func (l *csvLoader) wrong(field int, name string, err error) error {
	return freshet.FieldErrorf("", name, "line %d, column %q: %w", l.line(field), name, err)
}
