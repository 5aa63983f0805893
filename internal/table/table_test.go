package table_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/alloctest"
	"github.com/freshet-ml/freshet/internal/table"
)

var catalog = table.Spec{
	Name:      "catalog",
	KeyFields: []string{"content_id"},
	Columns: []table.Column{
		{Name: "title", Kind: expression.String},
		{Name: "minutes", Kind: expression.Number},
		{Name: "rank", Kind: expression.Number, Int: true},
		{Name: "free", Kind: expression.Bool},
		{Name: "since", Kind: expression.Time},
	},
}

const catalogCSV = `content_id,ignored,title,minutes,rank,free,since
c1,x,"Bright, ""Flow""",5.5,1,true,2025-03-03T12:00:00Z
c2,x,,,,,
c3,x,Ünder,-1e3,5.0,False,1700000000000
`

func read(t testing.TB, text string, spec table.Spec) *table.Table {
	t.Helper()
	tab, err := table.ReadCSV(strings.NewReader(text), spec)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func show(values []expression.Value) string {
	var words []string
	for _, v := range values {
		switch v.Kind {
		case expression.Null:
			words = append(words, "null")
		case expression.String:
			words = append(words, v.Str)
		default:
			words = append(words, fmt.Sprintf("%d:%.0f", v.Kind, v.Num*10))
		}
	}
	return strings.Join(words, " | ")
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{catalogCSV, "\ufeff" + catalogCSV, strings.ReplaceAll(catalogCSV, "\n", "\r\n")} {
		tab := read(t, text, catalog)
		want := []string{
			`Bright, "Flow" | 1:55 | 1:10 | 2:10 | 4:17410032000000`,
			`null | null | null | null | null`,
			`Ünder | 1:-10000 | 1:50 | 2:0 | 4:17000000000000`,
		}
		if tab.Len() != len(want) {
			t.Fatalf("%d rows", tab.Len())
		}
		values := make([]expression.Value, len(catalog.Columns))
		for row, w := range want {
			tab.Fill(row, values)
			if got := show(values); got != w {
				t.Errorf("row %d: %s, expected %s", row, got, w)
			}
			for col := range values {
				if got := tab.Value(row, col); got.Kind != values[col].Kind || got.Num != values[col].Num || got.Str != values[col].Str {
					t.Errorf("row %d column %d: Value gives %v, Fill %v", row, col, got, values[col])
				}
			}
			key := freshet.Key(fmt.Sprintf("c%d", row+1))
			if found, ok := tab.Find(key); tab.Key(row) != key || !ok || found != row {
				t.Errorf("row %d: key %q, found at %d (%v)", row, tab.Key(row), found, ok)
			}
		}
		for _, key := range []freshet.Key{"", "c", "c4", "content_id"} {
			if _, ok := tab.Find(key); ok {
				t.Errorf("found key %q", key)
			}
		}
	}
}

func TestCompositeKey(t *testing.T) {
	t.Parallel()
	spec := table.Spec{Name: "pairs", KeyFields: []string{"user", "item"}, Columns: []table.Column{{Name: "item", Kind: expression.String}}}
	tab := read(t, "item,user\n\"a,b\",u 1\nb,a\n", spec)
	row, ok := tab.Find(freshet.JoinKey("u 1", "a,b"))
	if !ok || row != 0 || tab.Value(0, 0).Str != "a,b" {
		t.Errorf("row %d (%v), key %q, item %q", row, ok, tab.Key(0), tab.Value(0, 0).Str)
	}
	if read(t, "item,user\n", spec).Len() != 0 {
		t.Error("a table without rows has rows")
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	row := func(cells string) string { return "content_id,title,minutes,rank,free,since\n" + cells + "\n" }
	tests := []struct {
		text, field, mentions string
	}{
		{"", "", "empty"},
		{"content_id,title,minutes,rank,free\n", "since", `no column "since"`},
		{"title,minutes,rank,free,since\n", "content_id", `no column "content_id"`},
		{"content_id,title,title,minutes,rank,free,since\n", "title", "twice"},
		{row("c1,t,1,1,true"), "", "line 2"},
		{row("c1,t,1,1,true,1\nc2,\"t,1,1,true,1"), "", "line 3"},
		{row("c1,t\xff,1,1,true,1"), "title", "UTF-8"},
		{row("c\xff,t,1,1,true,1"), "content_id", "UTF-8"},
		{row(",t,1,1,true,1"), "content_id", `line 2, column "content_id"`},
		{row(strings.Repeat("k", 257) + ",t,1,1,true,1"), "content_id", "257"},
		{row("c1,t,abc,1,true,1"), "minutes", `line 2, column "minutes"`},
		{row("c1,t,NaN,1,true,1"), "minutes", "null"},
		{row("c1,t,0x10,1,true,1"), "minutes", "number"},
		{row("c1,t,1e16,1,true,1"), "minutes", "1e15"},
		{row("c1,t,1e999,1,true,1"), "minutes", "number"},
		{row("c1,t, 1,1,true,1"), "minutes", "number"},
		{row("c1,t,1,1.5,true,1"), "rank", "whole"},
		{row("c1,t,1,9007199254740993,true,1"), "rank", "2⁵³"},
		{row("c1,t,1,1,yes,1"), "free", "true or false"},
		{row("c1,t,1,1,true,2025-03-03"), "since", "RFC 3339"},
		{row("c1,t,1,1,true,-1"), "since", "1970"},
		{row("c1,\"a\nb\",1,1,true,1\nc2,t,1,1,true,1\nc1,t,1,1,true,1"), "", `line 5: key "c1" stands in line 2`},
	}
	for _, test := range tests {
		_, err := table.ReadCSV(strings.NewReader(test.text), catalog)
		if freshet.CodeOf(err) != freshet.InvalidArgument || freshet.FieldOf(err) != test.field ||
			!strings.Contains(err.Error(), test.mentions) {
			t.Errorf("%.80q: %v (code %s, field %q), expected field %q and the words %q",
				test.text, err, freshet.CodeOf(err), freshet.FieldOf(err), test.field, test.mentions)
		}
	}
	broken := errors.New("disk on fire")
	_, err := table.ReadCSV(io.MultiReader(strings.NewReader(catalogCSV), failing{broken}), catalog)
	if !errors.Is(err, broken) {
		t.Errorf("%v: expected %v", err, broken)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestBounds(t *testing.T) {
	t.Parallel()
	spec := table.Spec{Name: "n", KeyFields: []string{"k"}, Columns: []table.Column{{Name: "i", Kind: expression.Number, Int: true}}}
	tab := read(t, "k,i\na,9007199254740992\nb,-9007199254740992\nc,1e3\nd,-0\ne,-0.0\n", spec)
	for row, want := range []float64{1 << 53, -1 << 53, 1000, 0, 0} {
		if got := tab.Value(row, 0).Num; got != want || 1/got != 1/want {
			t.Errorf("row %d: %v, expected %v", row, got, want)
		}
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	same := read(t, catalogCSV, catalog).Digest()
	if len(same) != 71 || !strings.HasPrefix(string(same), "sha256:") {
		t.Errorf("digest %q", same)
	}
	for _, text := range []string{
		"\ufeff" + catalogCSV,
		strings.ReplaceAll(catalogCSV, ",x,", ",other,"),
		strings.ReplaceAll(catalogCSV, "5.0", "5"),
		strings.ReplaceAll(catalogCSV, "2025-03-03T12:00:00Z", "2025-03-03T13:00:00+01:00"),
	} {
		if got := read(t, text, catalog).Digest(); got != same {
			t.Errorf("%q: digest %s, expected %s", text, got, same)
		}
	}
	for _, text := range []string{
		strings.Replace(catalogCSV, "5.5", "5.6", 1),
		strings.Replace(catalogCSV, "c1", "c9", 1),
		strings.Replace(catalogCSV, "true", "false", 1),
		strings.Replace(catalogCSV, "c2,x,,,,,", "c2,x,,0,,,", 1),
		strings.Replace(catalogCSV, "c2,x,,,,,\n", "", 1),
	} {
		if got := read(t, text, catalog).Digest(); got == same {
			t.Errorf("%q: the digest did not change", text)
		}
	}
}

// TestDigestForm: the digest of a stored table must never change. The value was computed by another program from the
// description at computeDigest.
func TestDigestForm(t *testing.T) {
	t.Parallel()
	spec := table.Spec{Name: "t", KeyFields: []string{"k"}, Columns: []table.Column{
		{Name: "s", Kind: expression.String},
		{Name: "i", Kind: expression.Number, Int: true},
		{Name: "b", Kind: expression.Bool},
		{Name: "t", Kind: expression.Time},
	}}
	got := read(t, "t,b,i,s,k\n1700000000000,true,5.0,\"x,y\",a\n,,,,b\n", spec).Digest()
	if want := freshet.Digest("sha256:e6708499c9c6e783c6e62ec25f5f1d7b72cff72bf038fa315227f59d2ca919af"); got != want {
		t.Errorf("%s, expected %s", got, want)
	}
}

func TestParseRow(t *testing.T) {
	t.Parallel()
	tab := read(t, catalogCSV, catalog)
	key, values, err := tab.ParseRow([]byte(`{"minutes":5,"content_id":"new","title":"A \"b\"","free":true,"since":"2025-03-03T12:00:00Z","rank":null}`))
	if want := `A "b" | 1:50 | null | 2:10 | 4:17410032000000`; err != nil || key != "new" || show(values) != want {
		t.Errorf("%q %s %v, expected %s", key, show(values), err, want)
	}
	key, values, err = tab.ParseRow([]byte(` {"content_id": 42} `))
	if err != nil || key != "42" || show(values) != "null | null | null | null | null" {
		t.Errorf("%q %s %v", key, show(values), err)
	}
	tests := []struct{ object, field, mentions string }{
		{``, "", "JSON object"},
		{`[]`, "", "JSON object"},
		{`{"content_id":"a"`, "", "JSON"},
		{`{"content_id":"a"} {}`, "", "follows"},
		{`{}`, "content_id", "missing"},
		{`{"content_id":""}`, "content_id", "1 … 256"},
		{`{"content_id":1.5}`, "content_id", "integer"},
		{`{"content_id":null}`, "content_id", "integer"},
		{`{"content_id":"a","content_id":"b"}`, "", "duplicate"},
		{`{"content_id":"a","minuets":5}`, "minuets", "no such column"},
		{`{"content_id":"a","minutes":"5"}`, "minutes", "number"},
		{`{"content_id":"a","rank":5.5}`, "rank", "whole"},
		{`{"content_id":"a","free":1}`, "free", "true or false"},
		{`{"content_id":"a","since":true}`, "since", "time"},
		{`{"content_id":"a","title":["x"]}`, "title", "text"},
	}
	for _, test := range tests {
		_, _, err := tab.ParseRow([]byte(test.object))
		if freshet.CodeOf(err) != freshet.InvalidArgument || freshet.FieldOf(err) != test.field || !strings.Contains(err.Error(), test.mentions) {
			t.Errorf("%s: %v (code %s, field %q), expected field %q and the words %q",
				test.object, err, freshet.CodeOf(err), freshet.FieldOf(err), test.field, test.mentions)
		}
	}
}

// TestKeys is a property: every key is found in its row, whatever keys there are, and no other is.
func TestKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-c]{1,4}`), 0, 60, rapid.ID[string]).Draw(t, "keys")
		spec := table.Spec{Name: "t", KeyFields: []string{"k"}}
		tab, err := table.ReadCSV(strings.NewReader("k\n"+strings.Join(append(keys, ""), "\n")), spec)
		if err != nil {
			t.Fatal(err)
		}
		for row, k := range keys {
			if got, ok := tab.Find(freshet.Key(k)); !ok || got != row {
				t.Fatalf("%q: row %d (%v), expected %d", k, got, ok, row)
			}
		}
		if other := rapid.StringMatching(`[a-d]{1,4}`).Draw(t, "other"); !contains(keys, other) {
			if _, ok := tab.Find(freshet.Key(other)); ok {
				t.Fatalf("%q was found", other)
			}
		}
	})
}

func contains(keys []string, key string) bool {
	for _, k := range keys {
		if k == key {
			return true
		}
	}
	return false
}

func TestReadingAllocatesNothing(t *testing.T) {
	tab := read(t, catalogCSV, catalog)
	values := make([]expression.Value, len(catalog.Columns))
	allocs := alloctest.PerRun(100, func() {
		row, _ := tab.Find("c3")
		tab.Fill(row, values)
		_ = tab.Key(row)
		_ = tab.Value(row, 0)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// FuzzReadCSV: no input may panic, and what is read is found.
func FuzzReadCSV(f *testing.F) {
	f.Add([]byte(catalogCSV))
	f.Add([]byte("content_id,title,minutes,rank,free,since\n\"\",,,,,\n"))
	f.Add([]byte("\ufeffcontent_id,title,minutes,rank,free,since\r\na,\"b\r\nc\",1e5,-3,TRUE,0\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		tab, err := table.ReadCSV(strings.NewReader(string(text)), catalog)
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

// FuzzParseRow: no input may panic, and an accepted row has a key and a value for each column.
func FuzzParseRow(f *testing.F) {
	tab := read(f, catalogCSV, catalog)
	f.Add([]byte(`{"content_id":"new","minutes":5,"free":true}`))
	f.Add([]byte(`{"content_id":12,"since":"2025-03-03T12:00:00Z","title":"\u00e4"}`))
	f.Fuzz(func(t *testing.T, object []byte) {
		key, values, err := tab.ParseRow(object)
		if err == nil && (key == "" || len(values) != len(catalog.Columns)) {
			t.Fatalf("key %q and %d values", key, len(values))
		}
	})
}
