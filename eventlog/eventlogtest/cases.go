package eventlogtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/internal/sharedtest"
)

// testSharedCases appends the events of the worked examples and compares which of them are duplicates.
func testSharedCases(t *testing.T, h Harness) {
	dir := sharedtest.Path(t, "cases/features")
	for _, name := range []string{"duplicate-same", "duplicate-other-content"} {
		b, err := os.ReadFile(filepath.Join(dir, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var c struct {
			Events []struct {
				EventID   freshet.EventID   `json:"event_id"`
				Type      freshet.EventType `json:"type"`
				UserID    freshet.Key       `json:"user_id"`
				EventTime freshet.Timestamp `json:"event_time"`
			} `json:"events"`
			Duplicates []int `json:"duplicates"`
		}
		if err := json.Unmarshal(b, &c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var entries []eventlog.Entry
		for _, e := range c.Events {
			entry := entry(freshet.EventID(name)+"/"+e.EventID, e.UserID, 0)
			entry.Event.Type, entry.Event.EventTime = e.Type, min(e.EventTime, entry.Event.IngestTime)
			entries = append(entries, entry)
		}
		l := eventlog.New(h.Open(t, horizon))
		if got := duplicates(mustAppend(t, l, entries...)); !slices.Equal(got, c.Duplicates) {
			t.Errorf("%s: duplicates are %v, expected %v", name, got, c.Duplicates)
		}
	}
}
