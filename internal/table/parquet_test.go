package table_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/parquetfile/parquetfiletest"
	"github.com/freshet-ml/freshet/internal/table"
)

// catalogRow is a row of catalog as data frames write it.
type catalogRow struct {
	Since     *time.Time `parquet:"since,optional,timestamp(microsecond)"`
	Tags      []string   `parquet:"tags,list"` // which nobody asks for
	ContentID string     `parquet:"content_id"`
	Title     *string    `parquet:"title,optional,dict"`
	Minutes   *float64   `parquet:"minutes,optional"`
	Rank      *int32     `parquet:"rank,optional"`
	Free      *bool      `parquet:"free,optional"`
}

// catalogRows are those of catalogCSV.
func catalogRows() []catalogRow {
	return []catalogRow{
		{ContentID: "c1", Title: new(`Bright, "Flow"`), Minutes: new(5.5), Rank: new(int32(1)), Free: new(true), Since: new(time.Date(2025, 3, 3, 12, 0, 0, 999_000, time.UTC)), Tags: []string{"a", "b"}},
		{ContentID: "c2"},
		{ContentID: "c3", Title: new("Ünder"), Minutes: new(-1e3), Rank: new(int32(5)), Free: new(false), Since: new(time.UnixMilli(1700000000000)), Tags: []string{"c"}},
	}
}

func parquetOf[T any](t testing.TB, rows []T, options ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(file []byte, spec table.Spec) (*table.Table, error) {
	return table.Read(bytes.NewReader(file), int64(len(file)), spec)
}

// TestParquetIsTheSameTable: a table does not depend on the kind of its file, nor on how a Parquet file is written.
func TestParquetIsTheSameTable(t *testing.T) {
	t.Parallel()
	want, err := open([]byte(catalogCSV), catalog)
	if err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string][]parquet.WriterOption{
		"plain":      nil,
		"zstd":       {parquet.Compression(&zstd.Codec{})},
		"row groups": {parquet.MaxRowsPerRowGroup(2)},
		"pages v1":   {parquet.DataPageVersion(1), parquet.PageBufferSize(1)},
	} {
		got, err := open(parquetOf(t, catalogRows(), options...), catalog)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a, b := make([]expression.Value, len(catalog.Columns)), make([]expression.Value, len(catalog.Columns))
		for row := range want.Len() {
			want.Fill(row, a)
			got.Fill(row, b)
			if found, ok := got.Find(want.Key(row)); show(a) != show(b) || !ok || found != row {
				t.Errorf("%s: row %d: %s (%v), expected %s", name, row, show(b), ok, show(a))
			}
		}
		if got.Digest() != want.Digest() {
			t.Errorf("%s: another digest", name)
		}
	}
}

func TestParquetInManyPages(t *testing.T) {
	t.Parallel()
	type row struct {
		K string `parquet:"k"`
		S string `parquet:"s,dict"`
	}
	rows := make([]row, 3000)
	var text strings.Builder
	text.WriteString("k,s\n")
	for i := range rows {
		rows[i] = row{K: "key" + strings.Repeat("k", i), S: strings.Repeat("s", i%7)}
		rows[i].K = rows[i].K[:min(len(rows[i].K), 200)] + time.UnixMilli(int64(i)).UTC().Format("05.000")
		text.WriteString(rows[i].K + "," + rows[i].S + "\n")
	}
	spec := table.Spec{Name: "t", KeyFields: []string{"k"}, Columns: []table.Column{{Name: "s", Kind: expression.String}}}
	got, err := open(parquetOf(t, rows, parquet.PageBufferSize(1<<10), parquet.MaxRowsPerRowGroup(1000)), spec)
	if err != nil {
		t.Fatal(err)
	}
	if want := read(t, text.String(), spec); got.Len() != want.Len() || got.Digest() != want.Digest() {
		t.Errorf("%d rows with digest %s, expected %d with %s", got.Len(), got.Digest(), want.Len(), want.Digest())
	}
}

// TestParquetTypes: which values become which.
func TestParquetTypes(t *testing.T) {
	t.Parallel()
	type row struct {
		U    uint32    `parquet:"u"`
		I    int64     `parquet:"i"`
		F    float32   `parquet:"f"`
		D    float64   `parquet:"d"`
		MS   int64     `parquet:"ms"`
		NS   time.Time `parquet:"ns,timestamp(nanosecond)"`
		Day  int32     `parquet:"day,date"`
		Text string    `parquet:"text"`
		None string    `parquet:"none"`
	}
	file := parquetOf(t, []row{
		{U: math.MaxUint32, I: -7, F: 0.5, D: 3, MS: 5, NS: time.Unix(0, 7_999_999), Day: 2, Text: "1970-01-01T00:00:00.009Z"},
		{U: 1, I: 1 << 53, F: float32(math.NaN()), D: math.NaN(), NS: time.Unix(1, 0), Text: "9"},
	})
	spec := table.Spec{Name: "t", KeyFields: []string{"u", "i"}}
	for _, name := range []string{"u", "i", "f", "d"} {
		spec.Columns = append(spec.Columns, table.Column{Name: name, Kind: expression.Number, Int: name != "f"})
	}
	for _, name := range []string{"ms", "ns", "day", "text"} {
		spec.Columns = append(spec.Columns, table.Column{Name: name, Kind: expression.Time})
	}
	spec.Columns = append(spec.Columns, table.Column{Name: "none", Kind: expression.String})
	tab, err := open(file, spec)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]expression.Value, len(spec.Columns))
	for row, want := range []string{
		"1:42949672950 | 1:-70 | 1:5 | 1:30 | 4:50 | 4:70 | 4:1728000000 | 4:90 | null",
		"1:10 | 1:90071992547409920 | null | null | 4:0 | 4:10000 | 4:0 | 4:90 | null",
	} {
		tab.Fill(row, values)
		if got := show(values); got != want {
			t.Errorf("row %d: %s, expected %s", row, got, want)
		}
	}
	// Whole numbers are keys as their text, also where the key is a column.
	spec.Columns = []table.Column{{Name: "i", Kind: expression.String}}
	if tab, err = open(file, spec); err != nil {
		t.Fatal(err)
	}
	if row, ok := tab.Find(freshet.JoinKey("4294967295", "-7")); !ok || row != 0 || tab.Value(0, 0).Str != "-7" {
		t.Errorf("row %d (%v), key %s, column %q", row, ok, tab.Key(0), tab.Value(0, 0).Str)
	}
}

func TestParquetErrors(t *testing.T) {
	t.Parallel()
	change := func(f func(rows []catalogRow)) []byte {
		rows := catalogRows()
		f(rows)
		return parquetOf(t, rows)
	}
	type noTitle struct {
		ContentID string `parquet:"content_id"`
	}
	type lists struct {
		ContentID string   `parquet:"content_id"`
		Title     []string `parquet:"title,list"`
	}
	type textMinutes struct {
		ContentID string `parquet:"content_id"`
		Title     string `parquet:"title"`
		Minutes   string `parquet:"minutes"`
	}
	type floatKey struct {
		ContentID float64 `parquet:"content_id"`
	}
	type nullKey struct {
		ContentID *string `parquet:"content_id,optional"`
		catalogTail
	}
	type floatRank struct {
		ContentID string  `parquet:"content_id"`
		Title     string  `parquet:"title"`
		Minutes   float64 `parquet:"minutes"`
		Rank      float64 `parquet:"rank"`
		Free      bool    `parquet:"free"`
		Since     int64   `parquet:"since"`
	}
	good := parquetOf(t, catalogRows())
	changed := func(at int, with ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	tests := []struct {
		name            string
		file            []byte
		field, mentions string
	}{
		{"a column is missing", parquetOf(t, []noTitle{{"a"}}), "title", `no column "title"; it has ["content_id"]`},
		{"lists", parquetOf(t, []lists{{"a", nil}}), "title", "expected a text in each row"},
		{"texts for numbers", parquetOf(t, []textMinutes{{"a", "b", "1"}}), "minutes", `column "minutes" holds values of type STRING; expected a number`},
		{"floats as keys", parquetOf(t, []floatKey{{1}}), "content_id", "values of type DOUBLE; expected a text or a whole number"},
		{"no key", parquetOf(t, []nullKey{{new("a"), catalogTail{}}, {nil, catalogTail{}}}), "content_id", `row 2, column "content_id": a key field of 0 bytes`},
		{"long key", change(func(r []catalogRow) { r[1].ContentID = strings.Repeat("k", 257) }), "content_id", "row 2"},
		{"key is no text", change(func(r []catalogRow) { r[1].ContentID = "c\xff" }), "content_id", "UTF-8"},
		{"key twice", change(func(r []catalogRow) { r[2].ContentID = "c1" }), "", `row 3: key "c1" stands in row 1 already`},
		{"no UTF-8", change(func(r []catalogRow) { r[2].Title = new("\xff") }), "title", `row 3, column "title"`},
		{"infinity", change(func(r []catalogRow) { r[0].Minutes = new(math.Inf(1)) }), "minutes", `row 1, column "minutes": +Inf: expected a number`},
		{"before 1970", change(func(r []catalogRow) { r[0].Since = new(time.UnixMilli(-1)) }), "since", "1970"},
		{"half a rank", parquetOf(t, []floatRank{{"a", "", 1, 1.5, true, 1}}), "rank", `"1.5": expected a whole number`},
		{"cut off", good[:len(good)-9], "", "cut off"},
		{"nothing in it", []byte("PAR1"), "", "broken"},
		{"two marks", []byte("PAR1\x00\x00\x00\x00PAR1"), "", "broken"},
		{"long footer", changed(len(good)-8, 0xFF, 0xFF, 0xFF, 0xFF), "", "cut off"},
		{"nonsense in the footer", changed(len(good)-40, bytes.Repeat([]byte{0xFF}, 30)...), "", "broken"},
		{"nonsense in pages", changed(4, bytes.Repeat([]byte{0xFF}, 300)...), "content_id", "broken"},
	}
	for _, test := range tests {
		_, err := open(test.file, catalog)
		if freshet.CodeOf(err) != freshet.InvalidArgument || freshet.FieldOf(err) != test.field ||
			err == nil || !strings.Contains(err.Error(), test.mentions) {
			t.Errorf("%s: %v (code %s, field %q), expected field %q and the words %q",
				test.name, err, freshet.CodeOf(err), freshet.FieldOf(err), test.field, test.mentions)
		}
	}
}

// catalogTail is what follows the key.
type catalogTail struct {
	Title   string  `parquet:"title"`
	Minutes float64 `parquet:"minutes"`
	Rank    int64   `parquet:"rank"`
	Free    bool    `parquet:"free"`
	Since   int64   `parquet:"since"`
}

// TestParquetLie: a file that says to have more values than it has costs no more than it has, and a failing reader is no fault of the
// file. Not parallel: it counts allocations.
func TestParquetLie(t *testing.T) {
	type row struct {
		ID string `parquet:"id"`
	}
	lie := parquetfiletest.Lie(t, parquetOf(t, []row{{"a"}}))
	var err error
	took := parquetfiletest.Allocated(func() { _, err = open(lie, table.Spec{Name: "ids", KeyFields: []string{"id"}}) })
	if freshet.CodeOf(err) != freshet.InvalidArgument || freshet.FieldOf(err) != "id" || took > 32<<20 {
		t.Errorf("%v, and %d MiB: expected that column id is broken, and no memory", err, took>>20)
	}
	broken := errors.New("disk on fire")
	if _, err := table.ReadParquet(failing{broken}, 1000, catalog); !errors.Is(err, broken) {
		t.Errorf("%v: expected %v", err, broken)
	}
}

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// FuzzReadParquet: no input may panic or take much memory, and what is read is found.
func FuzzReadParquet(f *testing.F) {
	f.Add(parquetOf(f, catalogRows()))
	f.Add(parquetOf(f, catalogRows(), parquet.Compression(&zstd.Codec{}), parquet.MaxRowsPerRowGroup(1)))
	f.Add(parquetOf(f, catalogRows()[1:2], parquet.DataPageVersion(1)))
	f.Fuzz(func(t *testing.T, file []byte) {
		tab, err := table.ReadParquet(bytes.NewReader(file), int64(len(file)), catalog)
		if err != nil {
			return
		}
		for row := range tab.Len() {
			if found, ok := tab.Find(tab.Key(row)); !ok || found != row {
				t.Fatalf("key %q of row %d is found in row %d (%v)", tab.Key(row), row, found, ok)
			}
		}
	})
}
