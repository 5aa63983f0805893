package pushtable

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/table"
	"github.com/freshet-ml/freshet/tablestore"
	"github.com/freshet-ml/freshet/tablestore/memtables"
)

func columns() []table.Column {
	return []table.Column{
		{Name: "x", Kind: expression.Number}, {Name: "n", Kind: expression.Number, Int: true}, {Name: "ok", Kind: expression.Bool},
		{Name: "s", Kind: expression.String}, {Name: "at", Kind: expression.Time}, {Name: "tags", Kind: expression.List},
	}
}

func values() []expression.Value {
	return []expression.Value{
		{Kind: expression.Number, Num: 0.5}, {Kind: expression.Number, Num: 4}, {Kind: expression.Bool, Num: 1}, {Kind: expression.String, Str: "é"},
		{Kind: expression.Time, Num: 1_772_366_400_250}, Texts([]string{"a", ""}),
	}
}

// TestGolden: these bytes are those of docs/formats/tables.md and lie on users' disks. They never change.
func TestGolden(t *testing.T) {
	t.Parallel()
	want := strings.Join([]string{
		"0178" + "6e" + "000000000000e03f", "016e" + "6e" + "0000000000001040", "026f6b" + "62" + "01", "0173" + "73" + "02c3a9",
		"026174" + "74" + "fa9594caca33", "0474616773" + "6c" + "02" + "0161" + "00",
	}, "")
	data := appendRow(nil, columns(), values())
	if got := hex.EncodeToString(data); got != want {
		t.Errorf("row is\n%s, want\n%s", got, want)
	}
	got, err := readRow(data, columns(), nil)
	if err != nil || !reflect.DeepEqual(got, values()) {
		t.Errorf("read %v (%v), want %v", got, err, values())
	}
}

// TestChangedColumns: a row that was written under another definition is read by name and kind.
func TestChangedColumns(t *testing.T) {
	t.Parallel()
	data := appendRow(nil, columns(), values())
	changed := []table.Column{
		{Name: "tags", Kind: expression.String}, {Name: "new", Kind: expression.Bool}, {Name: "n", Kind: expression.Number},
		{Name: "x", Kind: expression.Number, Int: true}, {Name: "s", Kind: expression.String},
	}
	got, err := readRow(data, changed, nil)
	want := []expression.Value{{}, {}, {Kind: expression.Number, Num: 4}, {}, {Kind: expression.String, Str: "é"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %v (%v), want %v", got, err, want)
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	tables := New(tablestore.New(memtables.New(), nil))
	spec := &table.Spec{Name: "t", KeyFields: []string{"user_id"}, Columns: columns()}
	put := func(r Row, want bool) {
		t.Helper()
		if stored, err := tables.Put(t.Context(), spec, tablestore.KeepFirst, r); err != nil || stored[0] != want {
			t.Fatalf("put %+v: %v, %v", r, stored, err)
		}
	}
	put(Row{Key: "u1", EventTime: 5, Values: values()}, true)
	put(Row{Key: "u1", EventTime: 4, Values: make([]expression.Value, len(columns()))}, false)
	prefix := []expression.Value{{Kind: expression.Bool}}
	row, ok, err := tables.Find(t.Context(), spec, "u1", prefix)
	if err != nil || !ok || row.EventTime != 5 || row.Key != "u1" || !reflect.DeepEqual(row.Values, append(prefix, values()...)) {
		t.Errorf("got %+v, %t, %v", row, ok, err)
	}
	put(Row{Key: "u1", EventTime: 6, Deleted: true}, true)
	if _, ok, err := tables.Find(t.Context(), spec, "u1", nil); ok || err != nil {
		t.Errorf("a deleted row: %t, %v", ok, err)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	seen := map[freshet.Digest]string{}
	for name, spec := range map[string]table.Spec{
		"one":  {KeyFields: []string{"a"}, Columns: []table.Column{{Name: "x", Kind: expression.Number}}},
		"int":  {KeyFields: []string{"a"}, Columns: []table.Column{{Name: "x", Kind: expression.Number, Int: true}}},
		"kind": {KeyFields: []string{"a"}, Columns: []table.Column{{Name: "x", Kind: expression.Time}}},
		"name": {KeyFields: []string{"a"}, Columns: []table.Column{{Name: "y", Kind: expression.Number}}},
		"key":  {KeyFields: []string{"b"}, Columns: []table.Column{{Name: "x", Kind: expression.Number}}},
		"keys": {KeyFields: []string{"a", "b"}, Columns: []table.Column{{Name: "x", Kind: expression.Number}}},
		"more": {KeyFields: []string{"a"}, Columns: []table.Column{{Name: "x", Kind: expression.Number}, {Name: "y", Kind: expression.Number}}},
	} {
		d := Digest(&spec)
		if other, twice := seen[d]; twice {
			t.Errorf("%s and %s have one digest", name, other)
		}
		seen[d] = name
	}
}

// FuzzRead: whatever the bytes, an error or values that are written and read as themselves.
func FuzzRead(f *testing.F) {
	f.Add(appendRow(nil, columns(), values()))
	f.Add([]byte("\x04tagsl\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readRow(b, columns(), nil)
		if err != nil {
			return
		}
		once := appendRow(nil, columns(), got)
		again, err := readRow(once, columns(), nil)
		if err != nil || !bytes.Equal(appendRow(nil, columns(), again), once) {
			t.Fatalf("%x is read as %v, written as %x and read as %v (%v)", b, got, once, again, err)
		}
	})
}
