package recheck

import (
	"context"
	"log/slog"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/reader"
)

// cause is why something was not checked.
type cause int

const (
	none       cause = iota
	longPast         // the entity has too many events, or too long ones
	longLog          // the partition has too many
	unknown          // the row does not know the moment: a read would have come from the log as well
	unreadable       // the log or the rows could not be read
)

var causes = [...]string{none: "", longPast: "long_history", longLog: "long_log", unknown: "moment", unreadable: "unreadable"}

// skip counts what was not checked.
func (c *Checker) skip(ctx context.Context, why cause, s reader.Served, err error) {
	if ctx.Err() != nil {
		return // the server stops
	}
	c.unchecked[why].Add(1)
	if err != nil {
		c.o.Logger.Warn("a feature could not be checked", slog.String("view", string(s.View.Name())), slog.Any("error", err))
	}
}

// history are the events of one entity in the order of the log.
type history struct {
	events  []feature.HistoricEvent
	offsets []freshet.Offset
	cause   cause // if not none, why there are none
	err     error
}

// through are the events up to an offset.
func (h *history) through(offset freshet.Offset) []feature.HistoricEvent {
	n := len(h.offsets)
	for n > 0 && h.offsets[n-1] > offset {
		n--
	}
	return h.events[:n]
}

// history reads the events of the entity of s that its view can see, up to an offset.
func (c *Checker) history(ctx context.Context, s reader.Served, through freshet.Offset) (h history) {
	passed, bytes := 0, 0
	since := s.View.Since(s.At)
	scan := eventlog.Scan{NotBefore: since, Match: func(kind, key []byte) bool {
		passed++
		return passed > c.o.MaxRecords || string(key) == string(s.Row.Key) && string(kind) == string(s.View.Entity())
	}}
	schema := s.Release.Project().Schema
	for record, err := range c.log.Scan(ctx, freshet.PartitionOf(s.Row.Key), scan) {
		switch {
		case err != nil:
			return history{cause: unreadable, err: err}
		case passed > c.o.MaxRecords:
			return history{cause: longLog}
		case record.Offset > through:
			return h
		case record.Event.EventTime < since || !s.View.Listens(record.Event.Type):
			continue
		}
		bytes += len(record.Event.Payload)
		if len(h.events) == c.o.MaxEvents || bytes > c.o.MaxBytes {
			return history{cause: longPast}
		}
		rec := schema.NewRecord()
		if err := schema.DecodeEvent(&record.Event, rec); err != nil {
			continue // the receiver has skipped it, too
		}
		h.events = append(h.events, feature.HistoricEvent{Record: rec, MaxEventTime: record.MaxEventTime})
		h.offsets = append(h.offsets, record.Offset)
	}
	return h
}

// Stats are counts since the start.
type Stats struct {
	Checked    uint64 // reads
	Mismatched uint64 // must stay 0
}

// Stats counts what has happened since New.
func (c *Checker) Stats() Stats {
	return Stats{Checked: c.checked.Load(), Mismatched: c.mismatched.Load()}
}

// Unchecked tells how many reads were not checked, by cause.
func (c *Checker) Unchecked(emit func(cause string, n float64)) {
	for i := range c.unchecked {
		if cause(i) != none {
			emit(causes[i], float64(c.unchecked[i].Load()))
		}
	}
}
