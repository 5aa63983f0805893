// Package table holds batch feature sets: immutable rows by entity key with typed columns, loaded whole from CSV. It keeps
// columns, not rows, and reading a row allocates nothing. It knows nothing of projects, releases or where files lie.
package table

import (
	"hash/maphash"
	"math"
	"strings"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
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

// column holds the values of one column. A null is NaN, the empty text or unknown.
type column struct {
	kind    expression.Kind
	numbers []float64 // Number and Time (milliseconds)
	bools   []truth
	texts   texts
}

// truth is a bool that may be null.
type truth uint8

const (
	unknown truth = iota
	no
	yes
)

func (c *column) value(row int) expression.Value {
	switch c.kind {
	case expression.String:
		if s := c.texts.at(row); s != "" {
			return expression.Value{Kind: expression.String, Str: s}
		}
	case expression.Bool:
		if b := c.bools[row]; b != unknown {
			return expression.Value{Kind: expression.Bool, Num: float64(b - no)}
		}
	default:
		if v := c.numbers[row]; !math.IsNaN(v) {
			return expression.Value{Kind: c.kind, Num: v}
		}
	}
	return expression.Value{}
}

// append adds a value of the column's kind, or null.
func (c *column) append(v expression.Value) error {
	null := v.Kind == expression.Null
	switch c.kind {
	case expression.String:
		return c.texts.append(v.Str)
	case expression.Bool:
		switch {
		case null:
			c.bools = append(c.bools, unknown)
		case v.Num == 0:
			c.bools = append(c.bools, no)
		default:
			c.bools = append(c.bools, yes)
		}
	default:
		if null {
			v.Num = math.NaN()
		}
		c.numbers = append(c.numbers, v.Num)
	}
	return nil
}

// texts is a list of texts in one piece of memory.
type texts struct {
	arena strings.Builder // not copied when it is read
	ends  []uint32        // text i lies between ends[i−1] and ends[i]
}

func (t *texts) len() int { return len(t.ends) }

func (t *texts) at(i int) string {
	var begin uint32
	if i > 0 {
		begin = t.ends[i-1]
	}
	return t.arena.String()[begin:t.ends[i]]
}

func (t *texts) append(s string) error {
	if uint64(t.arena.Len()+len(s)) > math.MaxUint32 {
		return freshet.Errorf(freshet.TooLarge, "more than 4 GiB of text in one column")
	}
	t.arena.WriteString(s)
	t.ends = append(t.ends, uint32(t.arena.Len()))
	return nil
}

// index finds rows by key: an open hash table of row numbers, at most half full, about 8 to 16 bytes a row.
type index struct {
	seed  maphash.Seed
	slots []uint32 // row + 1, or 0; the length is a power of two
}

// newIndex indexes keys. If a key is there twice, first and again are its rows and ok is false.
func newIndex(keys *texts) (x index, first, again int, ok bool) {
	size := 2
	for size < 2*keys.len() {
		size *= 2
	}
	x = index{seed: maphash.MakeSeed(), slots: make([]uint32, size)}
	for row := range keys.len() {
		key := keys.at(row)
		slot := x.slot(key)
		for x.slots[slot] != 0 {
			if other := int(x.slots[slot] - 1); keys.at(other) == key {
				return x, other, row, false
			}
			slot = (slot + 1) & (len(x.slots) - 1)
		}
		x.slots[slot] = uint32(row + 1)
	}
	return x, 0, 0, true
}

func (x *index) slot(key string) int {
	return int(maphash.String(x.seed, key) & uint64(len(x.slots)-1))
}

func (x *index) find(keys *texts, key string) (row int, ok bool) {
	for slot := x.slot(key); x.slots[slot] != 0; slot = (slot + 1) & (len(x.slots) - 1) {
		if row := int(x.slots[slot] - 1); keys.at(row) == key {
			return row, true
		}
	}
	return 0, false
}
