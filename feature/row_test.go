package feature

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
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

func goldenRow(t testing.TB, windows []string) (*View, []byte) {
	s, v := benchView(t, windows, everything...)
	scratch, r := v.NewScratch(), s.NewRecord()
	var data []byte
	for _, raw := range goldenEvents {
		if err := s.Decode([]byte(raw), freshet.MaxTimestamp, r); err != nil {
			t.Fatal(err)
		}
		var err error
		if data, _, err = v.Apply(scratch, data, r, r.EventTime); err != nil {
			t.Fatal(err)
		}
	}
	return v, data
}

// The bytes of rows are on disks: they don't change without a new version.
func TestGoldenRows(t *testing.T) {
	t.Parallel()
	for name, windows := range kindsOfRows {
		_, data := goldenRow(t, windows)
		file := filepath.Join("testdata", "row-"+name+".hex")
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
	for _, name := range []string{"sliding", "tumbling", "session", "last", "lifetime"} {
		v, data := goldenRow(f, kindsOfRows[name])
		f.Add(byte(len(views)), data)
		views = append(views, v)
	}
	s := testSchema(f)
	r := s.NewRecord()
	if err := s.Decode([]byte(goldenEvents[3]), freshet.MaxTimestamp, r); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		v := views[int(kind)%len(views)]
		scratch := v.NewScratch()
		_, readErr := v.Read(scratch, data, freshet.MaxTimestamp, nil)
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

func TestApplyAndReadAllocate(t *testing.T) {
	for name, windows := range kindsOfRows {
		s, v := benchView(t, windows, FeatureSpec{"n", "count()"}, FeatureSpec{"s", "sum(seconds)"}, FeatureSpec{"m", "mean(seconds)"},
			FeatureSpec{"sl", "slope(seconds)"}, FeatureSpec{"hi", "max(seconds)"}, FeatureSpec{"since", "since_last()"})
		data, r, last := fillRow(t, s, v, 30)
		scratch := v.NewScratch()
		r.EventTime = last
		if n := testing.AllocsPerRun(100, func() {
			if _, _, err := v.Apply(scratch, data, r, last); err != nil {
				t.Fatal(err)
			}
		}); n > 1 {
			t.Errorf("%s: Apply allocates %v times, want 1: the new row", name, n)
		}
		dst := make([]expression.Value, 0, len(v.Features()))
		if n := testing.AllocsPerRun(100, func() {
			if _, err := v.Read(scratch, data, last, dst); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: Read allocates %v times, want 0", name, n)
		}
	}
}
