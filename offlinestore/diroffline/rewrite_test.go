package diroffline

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/offlinestore"
)

// TestRewrite: files in which something changes are written anew under their names, the others are not touched.
func TestRewrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := Open(dir, &Options{MaxFileRows: 10, GroupRows: 4})
	if err != nil {
		t.Fatal(err)
	}
	s := offlinestore.New(d)
	var records []eventlog.Record
	for i := range 30 {
		records = append(records, eventlog.Record{
			Event:  freshet.Event{ID: freshet.EventID(fmt.Sprint("e", i)), Type: "play", EventTime: 5, IngestTime: 10, Payload: []byte(fmt.Sprintf(`{"n":%d}`, i))},
			Entity: freshet.Entity{Kind: "user", Key: "u1"}, Offset: freshet.Offset(i + 1), MaxEventTime: 4,
		})
	}
	var all iter.Seq2[*eventlog.Record, error] = func(yield func(*eventlog.Record, error) bool) {
		for i := range records {
			if !yield(&records[i], nil) {
				return
			}
		}
	}
	if err := s.Append(t.Context(), 3, all); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "events", "*", "*.parquet"))
	if len(files) != 3 {
		t.Fatalf("%v", files)
	}
	untouched, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), nil, 3, 12, 2); err != nil { // a cursor that stands in a file to be changed
		t.Fatal(err)
	}
	n, err := s.Rewrite(t.Context(), 3, func(r *eventlog.Record) (bool, error) {
		if r.Offset < 14 || r.Offset > 22 {
			return false, nil
		}
		r.Entity.Key, r.Event.Payload = "x", []byte("{}")
		return true, nil
	})
	if err != nil || n != 9 {
		t.Fatalf("changed %d, %v", n, err)
	}
	check := func(s *offlinestore.Store, from freshet.Offset) {
		t.Helper()
		for o := from; o <= 30; {
			got, err := s.Read(t.Context(), nil, 3, o, 7)
			if err != nil || len(got) == 0 {
				t.Fatal(o, err)
			}
			for _, r := range got {
				want := records[r.Offset-1]
				if o = r.Offset + 1; r.Offset >= 14 && r.Offset <= 22 {
					want.Entity.Key, want.Event.Payload = "x", []byte("{}")
				}
				if fmt.Sprintf("%+v", r) != fmt.Sprintf("%+v", want) {
					t.Fatalf("%+v, want %+v", r, want)
				}
			}
		}
	}
	check(s, 14)
	check(s, 1)
	again, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(offlinestore.New(again), 1)
	if now, err := os.Stat(files[0]); err != nil || !os.SameFile(now, untouched) {
		t.Errorf("a file without a change was written anew: %v", err)
	}
}
