// Package calm_test proves the example app: the features that Freshet gives equal those that an independent program
// computed, the scores are those of the library that trained the model, and recommendations are as good as in training.
package calm_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/treemodel"
)

// firstDay is the start of the fourteen days.
const firstDay freshet.Timestamp = 1_772_409_600_000 // 2026-03-02T00:00Z

const day freshet.Timestamp = 24 * 3600 * 1000

// line is one line of the file of events.
type line struct {
	text       []byte
	id         freshet.EventID
	kind       freshet.EventType
	user       freshet.Key
	content    freshet.Key // of a play
	completed  bool
	eventTime  freshet.Timestamp
	arrival    freshet.Timestamp
	impression freshet.Timestamp // of a play: when it began, which is when its title was offered
}

// readLines gives the events in the order of their arrival, retries included.
func readLines(t *testing.T) []line {
	t.Helper()
	lines, err := readOnce()
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

var readOnce = sync.OnceValues(func() ([]line, error) {
	f, err := os.Open("events.jsonl.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var lines []line
	for texts := bufio.NewScanner(unzipped); texts.Scan(); {
		var e struct {
			ID        freshet.EventID   `json:"event_id"`
			Type      freshet.EventType `json:"type"`
			User      freshet.Key       `json:"user_id"`
			Content   freshet.Key       `json:"content_id"`
			Seconds   int64             `json:"seconds"`
			Completed bool              `json:"completed"`
			EventTime freshet.Timestamp `json:"event_time"`
			Arrival   freshet.Timestamp `json:"arrival_time"`
		}
		text := slices.Clone(texts.Bytes())
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, err
		}
		lines = append(lines, line{
			text: text, id: e.ID, kind: e.Type, user: e.User, content: e.Content, completed: e.Completed,
			eventTime: e.EventTime, arrival: e.Arrival, impression: e.EventTime - freshet.Timestamp(1000*e.Seconds),
		})
	}
	return lines, nil
})

// once leaves out retries: the first to arrive counts.
func once(lines []line) []line {
	seen := map[freshet.EventID]bool{}
	return slices.DeleteFunc(slices.Clone(lines), func(l line) bool {
		again := seen[l.id]
		seen[l.id] = true
		return again
	})
}

// byEventTime sorts lines as they happened.
func byEventTime(lines []line) []line {
	lines = slices.Clone(lines)
	slices.SortStableFunc(lines, func(a, b line) int {
		if a.eventTime != b.eventTime {
			return int(a.eventTime - b.eventTime)
		}
		return strings.Compare(string(a.id), string(b.id))
	})
	return lines
}

// testPlays are the plays of the last three days, on which the model was not trained, in the order of their impressions.
func testPlays(lines []line) []line {
	plays := slices.DeleteFunc(once(lines), func(l line) bool { return l.kind != "play" || l.impression < firstDay+11*day })
	slices.SortFunc(plays, func(a, b line) int {
		if a.impression != b.impression {
			return int(a.impression - b.impression)
		}
		return strings.Compare(string(a.id), string(b.id))
	})
	return plays
}

// openApp opens the project with its tables and its model.
func openApp(t *testing.T) (*release.Opened, *release.Pipeline) {
	t.Helper()
	p, err := project.Load(".")
	if err != nil {
		t.Fatal(err)
	}
	rel, err := release.Open(p, []modelruntime.Runtime{treemodel.LightGBM{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rel.Close(); err != nil {
			t.Error(err)
		}
	})
	today, ok := rel.Pipeline("today")
	if !ok {
		t.Fatal("there is no pipeline today")
	}
	return rel, today
}

// histories are the events about each entity in the order of a log that takes lines as they come: each once.
type histories map[freshet.Entity][]feature.HistoricEvent

func readHistories(t *testing.T, schema *feature.Schema, lines []line) histories {
	t.Helper()
	h := histories{}
	var newest [freshet.Partitions]freshet.Timestamp
	for _, l := range once(lines) {
		rec := schema.NewRecord()
		if err := schema.Decode(l.text, l.arrival, rec); err != nil {
			t.Fatalf("%s: %v", l.text, err)
		}
		if rec.EventTime != l.eventTime {
			t.Fatalf("%s: the event time is %s", l.text, rec.EventTime)
		}
		for _, kind := range []freshet.EntityKind{"user", "content"} {
			key, ok := rec.Key(kind)
			if !ok {
				continue
			}
			e, max := freshet.Entity{Kind: kind, Key: key}, &newest[freshet.PartitionOf(key)]
			h[e] = append(h[e], feature.HistoricEvent{Record: rec, MaxEventTime: *max})
			if rec.EventTime > *max {
				*max = rec.EventTime
			}
		}
	}
	return h
}
