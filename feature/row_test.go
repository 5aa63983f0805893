package feature

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/alloctest"
)

var update = flag.Bool("update", false, "write the golden files anew: only for a new version of the format")

// kindsOfRows are views of each kind of window, with each kind of cell.
var kindsOfRows = map[string][]string{
	"sliding": {"sliding 10m", "sliding 24h"}, "tumbling": {"tumbling 1h"}, "session": {"session 30m"}, "last": {"last 3"}, "lifetime": {"lifetime"},
}

var goldenEvents = []string{
	`{"event_id":"e1","type":"play","user_id":"u","content_id":"c","event_time":"2025-03-03T08:10:00Z","category":"a","seconds":12.5,"completed":true,"level":3,"at":"2025-03-01T00:00:00Z","tags":["x","yy"],"v":[1,0.5,-2]}`,
	`{"event_id":"e2","type":"play","user_id":"u","content_id":"c","event_time":"2025-03-03T11:59:00Z","category":"b","seconds":0.1,"completed":false,"level":-7}`,
	`{"event_id":"e3","type":"play","user_id":"u","content_id":"c","event_time":"2025-03-03T12:00:00Z","category":"a","seconds":-300,"completed":true,"tags":[]}`,
	`{"event_id":"e4","type":"play","user_id":"u","content_id":"c","event_time":"2025-03-03T12:00:00.250Z","category":"é"}`,
}

// goldenFeatures are the views of the golden rows: their files are named by both, the basics by the window alone.
var goldenFeatures = map[string][]FeatureSpec{"row-": basics, "row-sketches-": sketches}

func goldenRow(t testing.TB, windows []string, features []FeatureSpec) (*View, []byte) {
	s, v := benchView(t, windows, features...)
	return v, rowOf(t, s, v, goldenEvents)
}

func rowOf(t testing.TB, s *Schema, v *View, events []string) (data []byte) {
	scratch, r := v.NewScratch(), s.NewRecord()
	for _, raw := range events {
		if err := s.Decode([]byte(raw), freshet.MaxTimestamp, r); err != nil {
			t.Fatal(err)
		}
		var err error
		if data, _, err = v.Apply(scratch, data, r, r.EventTime); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

// manyValues is a row of n values: beyond 64 distinct has registers, written one by one; beyond about 1,700 all of them.
func manyValues(t testing.TB, n int) (*View, []byte) {
	s, v := benchView(t, []string{"lifetime"}, FeatureSpec{"d", "distinct(level)"}, FeatureSpec{"c", "counts(level)"}, FeatureSpec{"q", "quantile(level, 0.5)"})
	var events []string
	for i := range n {
		events = append(events, fmt.Sprintf(`{"event_id":"e%d","type":"play","user_id":"u","content_id":"c","event_time":"2025-03-03T12:00:00Z","level":%d}`, i, i*i))
	}
	return v, rowOf(t, s, v, events)
}

// The bytes of rows are on disks: they don't change without a new version.
func TestGoldenRows(t *testing.T) {
	t.Parallel()
	for prefix, features := range goldenFeatures {
		for name, windows := range kindsOfRows {
			_, data := goldenRow(t, windows, features)
			requireGolden(t, prefix+name, data)
		}
	}
	requireGolden(t, "row-swept", sweptRow(t))
	_, few := manyValues(t, 70)
	requireGolden(t, "row-70-values", few)
	_, many := manyValues(t, 2000)
	requireGolden(t, "row-2000-values", many)
}

// sweptRow is a row of tiles that a sweep has rolled up. The same header stands before sessions.
func sweptRow(t testing.TB) []byte {
	v, data := goldenRow(t, []string{"sliding 10m", "sliding 30d"}, []FeatureSpec{{"n", "count()"}})
	at, err := freshet.ParseTimestamp("2025-03-04T01:00:00Z")
	if err != nil {
		t.Fatal(err)
	}
	data, swept, err := v.Sweep(v.NewScratch(), data, at, at)
	if err != nil || swept != RolledUp {
		t.Fatal(swept, err)
	}
	return data
}

func requireGolden(t *testing.T, name string, data []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".hex")
	if *update {
		var lines strings.Builder
		for text := hex.EncodeToString(data); text != ""; {
			n := min(len(text), 96)
			lines.WriteString(text[:n] + "\n")
			text = text[n:]
		}
		if err := os.WriteFile(file, []byte(lines.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(data); got != strings.ReplaceAll(string(want), "\n", "") {
		t.Errorf("%s: the row is\n%s, want\n%s", name, got, want)
	}
}

// The example of docs/formats/row.md.
func TestDocumentedRow(t *testing.T) {
	t.Parallel()
	s, v := benchView(t, []string{"sliding 10m"}, FeatureSpec{"n", "count()"}, FeatureSpec{"s", "sum(seconds)"}, FeatureSpec{"l", "last(category)"})
	scratch, r := v.NewScratch(), s.NewRecord()
	var data []byte
	for _, raw := range []string{
		`{"event_id":"e1","type":"play","user_id":"u","content_id":"c","event_time":"2025-03-03T11:58:40Z","seconds":12.5,"category":"Sleep"}`,
		`{"event_id":"e2","type":"play","user_id":"u","content_id":"c","event_time":"2025-03-03T12:00:00Z","seconds":30}`,
		`{"event_id":"e3","type":"play","user_id":"u","content_id":"c","event_time":"2025-03-03T12:00:05Z","seconds":-0.1,"category":"Focus"}`,
	} {
		if err := s.Decode([]byte(raw), freshet.MaxTimestamp, r); err != nil {
			t.Fatal(err)
		}
		var err error
		if data, _, err = v.Apply(scratch, data, r, 0); err != nil {
			t.Fatal(err)
		}
	}
	want := "01" + "88d382dfd532" + "18" + "02" + "0900666666666666e61d" + "018827026533" + "0505466f637573" +
		"0312" + "01" + "4300800c" + "01904e026531" + "0505536c656570"
	if got := hex.EncodeToString(data); got != want {
		t.Errorf("the row is %s, want %s", got, want)
	}
}

// Whatever the bytes, reading and applying give a value or an error.
func FuzzRow(f *testing.F) {
	var views []*View
	seed := func(v *View, data []byte) {
		f.Add(byte(len(views)), data)
		views = append(views, v)
	}
	for _, name := range []string{"sliding", "tumbling", "session", "last", "lifetime"} {
		seed(goldenRow(f, kindsOfRows[name], basics))
		seed(goldenRow(f, kindsOfRows[name], sketches))
	}
	f.Add(byte(0), sweptRow(f))
	seed(manyValues(f, 70))
	seed(manyValues(f, 2000))
	s := testSchema(f)
	r := s.NewRecord()
	if err := s.Decode([]byte(goldenEvents[3]), freshet.MaxTimestamp, r); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		v := views[int(kind)%len(views)]
		scratch := v.NewScratch()
		_, readErr := v.Read(scratch, data, freshet.MaxTimestamp, nil)
		if swept, _, err := v.Sweep(scratch, data, freshet.MaxTimestamp/2, freshet.MaxTimestamp); err == nil && readErr == nil && swept != nil {
			if _, err := v.Read(scratch, swept, freshet.MaxTimestamp, nil); err != nil {
				t.Fatalf("a row that was swept: %v", err)
			}
		}
		next, outcome, err := v.Apply(scratch, data, r, r.EventTime)
		if err != nil || readErr != nil || outcome != Applied {
			return
		}
		// What was made of a readable row is readable.
		if _, err := v.Read(scratch, next, freshet.MaxTimestamp, nil); err != nil && err != ErrHistory {
			t.Fatal(err)
		}
	})
}

// What a read allocates beside numbers is what it gives away: the map, the list, the vector, their texts.
func TestReadAllocatesResults(t *testing.T) {
	for call, want := range map[string]float64{
		"counts(category)": 2, "counts(seconds)": 2, "top(seconds, 3)": 1, "top(category, 3)": 2, "centroid(v)": 1, "embed(category)": 1,
	} {
		s, v := benchView(t, []string{"sliding 7d"}, FeatureSpec{"f", call})
		data, r, last := fillRow(t, s, v, 30)
		scratch := v.NewScratch()
		r.EventTime = last
		if n := alloctest.PerRun(100, func() {
			if _, _, err := v.Apply(scratch, data, r, last); err != nil {
				t.Fatal(err)
			}
		}); n > 1 {
			t.Errorf("%s: Apply allocates %v times, want 1: the new row", call, n)
		}
		dst := make([]expression.Value, 0, len(v.Features()))
		if n := alloctest.PerRun(100, func() {
			if _, err := v.Read(scratch, data, last, dst); err != nil {
				t.Fatal(err)
			}
		}); n > want {
			t.Errorf("%s: Read allocates %v times, want %v", call, n, want)
		}
	}
}

func TestApplyAndReadAllocate(t *testing.T) {
	for name, windows := range kindsOfRows {
		s, v := benchView(t, windows, FeatureSpec{"n", "count()"}, FeatureSpec{"s", "sum(seconds)"}, FeatureSpec{"m", "mean(seconds)"},
			FeatureSpec{"sl", "slope(seconds)"}, FeatureSpec{"hi", "max(seconds)"}, FeatureSpec{"since", "since_last()"},
			FeatureSpec{"sd", "stddev(seconds)"}, FeatureSpec{"d", "distinct(event_time)"}, FeatureSpec{"q", "quantile(seconds, 0.9)"},
			FeatureSpec{"dec", "decay(seconds, \"1h\")"})
		data, r, last := fillRow(t, s, v, 30)
		scratch := v.NewScratch()
		r.EventTime = last
		if n := alloctest.PerRun(100, func() {
			if _, _, err := v.Apply(scratch, data, r, last); err != nil {
				t.Fatal(err)
			}
		}); n > 1 {
			t.Errorf("%s: Apply allocates %v times, want 1: the new row", name, n)
		}
		dst := make([]expression.Value, 0, len(v.Features()))
		if n := alloctest.PerRun(100, func() {
			if _, err := v.Read(scratch, data, last, dst); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: Read allocates %v times, want 0", name, n)
		}
	}
}
