package memlog

import (
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// id is what makes two entries one event.
type id struct {
	kind  freshet.EntityKind
	event freshet.EventID
}

// ids remembers when each id was accepted, by day, so that whole days can be forgotten.
type ids struct {
	horizon freshet.Timestamp // milliseconds: a time.Duration ends at 292 years, and clocks jump
	latest  freshet.Timestamp // the largest ingest time accepted
	days    map[freshet.Timestamp]map[id]freshet.Timestamp
}

const (
	day freshet.Timestamp = 24 * 60 * 60 * 1000
	// slack keeps ids somewhat longer than the horizon, for senders whose calls overtake each other around midnight.
	slack = day / 24
)

func newIDs(horizon time.Duration) ids {
	return ids{horizon: freshet.Timestamp(horizon.Milliseconds()), days: map[freshet.Timestamp]map[id]freshet.Timestamp{}}
}

// known says whether any of the entry's ids was accepted less than the horizon before its ingest time.
func (s *ids) known(e eventlog.Entry) bool {
	for _, entity := range e.Entities {
		for _, accepted := range s.days {
			if t, ok := accepted[id{entity.Kind, e.Event.ID}]; ok && e.Event.IngestTime-t < s.horizon {
				return true
			}
		}
	}
	return false
}

func (s *ids) add(e eventlog.Entry) {
	t := e.Event.IngestTime
	d := t / day
	if s.days[d] == nil {
		s.days[d] = map[id]freshet.Timestamp{}
	}
	for _, entity := range e.Entities {
		s.days[d][id{entity.Kind, e.Event.ID}] = t
	}
	if t > s.latest {
		s.latest = t
		s.forget()
	}
}

func (s *ids) forget() {
	for d := range s.days {
		if end := (d + 1) * day; s.latest-end >= s.horizon+slack {
			delete(s.days, d)
		}
	}
}
