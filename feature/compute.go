package feature

import (
	"cmp"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// HistoricEvent is an event of the log: what it says, and the largest event time of the partition before it (or with it).
type HistoricEvent struct {
	Record       *Record
	MaxEventTime freshet.Timestamp
}

// Compute appends the values of the view's features at any moment, one for each of Features, from the events about one
// entity: all of them, each once, in the order of the log. With known, only events that had been taken by that moment count:
// the values that serving could know then. Compute agrees with Apply and Read bit for bit.
//
// The error is nil: all that can be wrong with an event was found when it was decoded.
func (v *View) Compute(s *Scratch, events []HistoricEvent, at freshet.Timestamp, known bool, dst []expression.Value,
) ([]expression.Value, error) {
	s.history = s.history[:0]
	s.log.reset()
	for i := range events {
		r := events[i].Record
		if !v.accepts(r) {
			continue
		}
		// Whether an event is late depends on all events before it, also on those that are not asked for.
		if v.kind == session {
			t := int64(r.EventTime)
			if s.log.add(t, v.windows[0].length, v.watermarkAt(t, int64(events[i].MaxEventTime))) {
				continue
			}
		}
		if r.EventTime <= at && (!known || r.IngestTime <= at) {
			s.history = append(s.history, i)
		}
	}
	out, values := v.extend(dst)
	for w := range v.windows {
		v.reset(s)
		for _, i := range v.inWindow(s, events, w, int64(at)) {
			v.observe(s, events[i].Record)
			v.addEvent(s)
		}
		v.finish(s, int64(at), w, values)
	}
	return out, nil
}

// inWindow is W(k, T): those of E(k, T) that the window sees. It may sort s.history.
func (v *View) inWindow(s *Scratch, events []HistoricEvent, w int, at int64) []int {
	history := s.history
	time := func(i int) int64 { return int64(events[i].Record.EventTime) }
	switch v.kind {
	case lastN:
		slices.SortFunc(history, func(i, j int) int {
			if c := cmp.Compare(time(j), time(i)); c != 0 {
				return c
			}
			return cmp.Compare(events[j].Record.ID, events[i].Record.ID)
		})
		return history[:min(len(history), v.windows[w].events)]
	case session:
		// The open session, from its end: where the distance to the event before is greater than GAP, it began.
		gap := v.windows[w].length
		slices.SortFunc(history, func(i, j int) int { return cmp.Compare(time(j), time(i)) })
		end, begin := at, 0
		for begin < len(history) && end-time(history[begin]) <= gap {
			end = time(history[begin])
			begin++
		}
		return history[:begin]
	}
	low := v.windows[w].low(at)
	s.seen = s.seen[:0]
	for _, i := range history {
		if time(i) >= low {
			s.seen = append(s.seen, i)
		}
	}
	return s.seen
}
