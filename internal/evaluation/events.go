package evaluation

import (
	"cmp"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/release"
)

// MaxBytes bounds the events that Events holds in memory.
const MaxBytes = 4 << 30

// Events are the events of an app, each once, to be gone through in the order in which they happened. Not for concurrent use.
type Events struct {
	rel    *release.Opened
	record *feature.Record
	list   []freshet.Event
	known  map[freshet.EventID]bool
	bytes  int

	Duplicates int // events whose id had come before: left out
}

// NewEvents returns a list without events, for the schema of rel.
func NewEvents(rel *release.Opened) *Events {
	return &Events{rel: rel, record: rel.Project().Schema.NewRecord(), known: map[freshet.EventID]bool{}}
}

// Add takes an event as an app would send it; raw is kept. One without an event time has no place in time and is refused, as
// is what the door would refuse: InvalidArgument names the field. TooLarge over MaxBytes.
func (e *Events) Add(raw []byte) error {
	if e.bytes += len(raw); e.bytes > MaxBytes {
		return freshet.Errorf(freshet.TooLarge, "the events have more than %d bytes: evaluate on fewer days", MaxBytes)
	}
	if err := e.rel.Project().Schema.Decode(raw, freshet.MaxTimestamp, e.record); err != nil {
		return err
	}
	if e.record.EventTime == freshet.MaxTimestamp {
		return freshet.FieldErrorf(freshet.InvalidArgument, "event_time", "event_time: expected a time; without one an event has no place among the others")
	}
	id := e.record.ID
	if id != "" {
		if e.known[id] {
			e.Duplicates++
			return nil
		}
		id = freshet.EventID(strings.Clone(string(id)))
		e.known[id] = true
	}
	e.list = append(e.list, freshet.Event{
		ID: id, Type: freshet.EventType(strings.Clone(string(e.record.Type))), EventTime: e.record.EventTime, IngestTime: e.record.EventTime, Payload: raw,
	})
	return nil
}

// Len is how many events there are.
func (e *Events) Len() int { return len(e.list) }

// sort puts the events into the order of (event time, id).
func (e *Events) sort() {
	slices.SortStableFunc(e.list, func(a, b freshet.Event) int {
		return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), cmp.Compare(a.ID, b.ID))
	})
}

// decode reads event i into the record that all share.
func (e *Events) decode(i int) (*feature.Record, error) {
	if err := e.rel.Project().Schema.DecodeEvent(&e.list[i], e.record); err != nil {
		return nil, freshet.Errorf("", "event %q: %w", e.list[i].ID, err)
	}
	return e.record, nil
}
