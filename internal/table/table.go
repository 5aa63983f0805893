// Package table holds batch feature sets: immutable rows by entity key with typed columns, loaded whole from CSV or Parquet. It keeps
// columns, not rows, and reading a row allocates nothing. It knows nothing of projects, releases or where files lie.
//
// A row costs the bytes of its key and texts, 4 bytes for the end of each, 8 for a number or time, 1 for a bool, and 5⅓ for the index.
package table

import (
	"io"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/parquetfile"
)

// MaxRows is how many rows a table may have.
const MaxRows = 10_000_000

// Column is one column of a table, in the words of the project file.
type Column struct {
	Name string
	Kind expression.Kind // Number, String, Bool or Time; in a push table also List, of texts
	Int  bool            // of a Number: all values are whole
}

// Type is the type of the column's values.
func (c Column) Type() expression.Type {
	t := expression.Type{Kind: c.Kind, Int: c.Int}
	if c.Kind == expression.List {
		t.Elem = expression.String
	}
	return t
}

// Spec says what to read.
type Spec struct {
	Name      freshet.TableName
	KeyFields []string // the key fields of the table's entity, in declared order
	Columns   []Column // may name a key field as well, to make it readable as a value
}

// Read reads a table from a file of size bytes. What begins like a Parquet file is one (ReadParquet), anything else is CSV (ReadCSV).
// The same rows give the same table, with the same digest, in both.
func Read(r io.ReaderAt, size int64, spec Spec) (*Table, error) {
	begin := make([]byte, len(parquetfile.Magic))
	// A failing reader fails again below.
	if n, _ := r.ReadAt(begin, 0); string(begin[:n]) == parquetfile.Magic {
		return ReadParquet(r, size, spec)
	}
	return ReadCSV(io.NewSectionReader(r, 0, size), spec)
}

// Table is a loaded feature set. It never changes; all methods may be called concurrently.
type Table struct {
	spec    Spec
	keys    texts
	columns []column
	index   index
	digest  freshet.Digest
}

// Columns are those of the Spec. The caller must not change them.
func (t *Table) Columns() []Column { return t.spec.Columns }

// Len is the number of rows. They are numbered from 0 in the order of the file.
func (t *Table) Len() int { return t.keys.len() }

// Key is the key of a row.
func (t *Table) Key(row int) freshet.Key { return freshet.Key(t.keys.at(row)) }

// Find is the row of key k.
func (t *Table) Find(k freshet.Key) (row int, ok bool) { return t.index.find(&t.keys, string(k)) }

// Value is the value of one column in one row.
func (t *Table) Value(row, col int) expression.Value { return t.columns[col].value(row) }

// Fill sets dst[i] to the value of column i in the row, for all columns. It allocates nothing.
func (t *Table) Fill(row int, dst []expression.Value) {
	for i := range t.columns {
		dst[i] = t.columns[i].value(row)
	}
}

// Digest names the content; see computeDigest for what goes into it.
func (t *Table) Digest() freshet.Digest { return t.digest }
