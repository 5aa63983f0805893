package table

import (
	"unicode/utf8"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// builder makes a table, row by row.
type builder struct {
	spec  Spec
	table *Table
	key   []string // of the row at hand
}

// newBuilder returns Internal for a column that no table of a file can have.
func newBuilder(spec Spec) (builder, error) {
	b := builder{spec: spec, table: &Table{spec: spec}, key: make([]string, len(spec.KeyFields))}
	for _, c := range spec.Columns {
		switch c.Kind {
		case expression.Number, expression.String, expression.Bool, expression.Time:
		default:
			return b, freshet.FieldErrorf(freshet.Internal, c.Name, "column %q: a table has no values of kind %d", c.Name, c.Kind)
		}
		b.table.columns = append(b.table.columns, column{kind: c.Kind})
	}
	return b, nil
}

// room returns TooLarge if no row can follow.
func (b *builder) room() error {
	if b.table.Len() >= MaxRows {
		return freshet.Errorf(freshet.TooLarge, "more than %d rows", MaxRows)
	}
	return nil
}

// addKey begins a row; its columns follow.
func (b *builder) addKey() error {
	return b.table.keys.append(string(freshet.JoinKey(b.key...)))
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

// finish makes the table readable. place says where a row stands in the file, for a key that is there twice.
func (b *builder) finish(place func(row int) string) (*Table, error) {
	t := b.table
	t.keys.trim()
	for i := range t.columns {
		t.columns[i].trim()
	}
	x, first, again, ok := newIndex(&t.keys)
	if !ok {
		return nil, freshet.Errorf(freshet.InvalidArgument, "%s: key %q stands in %s already", place(again), t.keys.at(again), place(first))
	}
	t.index = x
	t.digest = t.computeDigest()
	return t, nil
}
