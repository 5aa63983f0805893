package trainingset

import (
	"cmp"
	"errors"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
)

// replay computes the values of some views for one entity at moments that only go forwards: it brings rows up to each
// moment and reads them, as the receiver and a reader do, but in the order in which events count instead of that of the
// log. For windows of tiles and of the last N the order makes no difference. What a session view drops as late depends on
// the order of the log, and is found out in that order first.
type replay struct {
	schema *feature.Schema
	known  bool
	keep   int // so many events are kept decoded
	views  []viewReplay

	events []eventlog.Record
	order  []int // of events: by the time from which on they count
	next   int   // in order

	// Events are decoded once for all views and passes, as long as they are few enough to be kept.
	records []*feature.Record // of events, or one for all
	decoded []decoding        // of events, if each has its record
}

// decoding says what has become of an event.
type decoding uint8

const (
	notYet decoding = iota
	readable
	unreadable // by this project: it is in no value, as for the receiver
)

// recordShare is the part of a worker's memory for events that each of them may take when it is decoded: with the default,
// the events of an entity are kept decoded if they are 4,096 at most.
const recordShare = 64 << 10

// viewReplay is the state of one view.
type viewReplay struct {
	view    *feature.View
	scratch *feature.Scratch
	session bool
	row     []byte
	late    []bool                  // of events, for a session view
	history []feature.HistoricEvent // where the row cannot be had in order: all is computed from the events
}

func newReplay(rel *release.Opened, views []*feature.View, known bool, maxBytes int) replay {
	r := replay{schema: rel.Project().Schema, known: known, keep: maxBytes / recordShare}
	for _, v := range views {
		r.views = append(r.views, viewReplay{view: v, scratch: v.NewScratch(), session: v.Sessions()})
	}
	return r
}

// counts is the moment from which on an event is seen.
func (r *replay) counts(e *freshet.Event) freshet.Timestamp {
	if r.known {
		return e.IngestTime // never before the event time
	}
	return e.EventTime
}

// since is the first event time that counts at a moment for any of the views.
func (r *replay) since(at freshet.Timestamp) freshet.Timestamp {
	since := at
	for i := range r.views {
		since = min(since, r.views[i].view.Since(at))
	}
	return since
}

// needs says whether an event can count between the first and the last moment.
func (r *replay) needs(e *eventlog.Record, first, last freshet.Timestamp) bool {
	for i := range r.views {
		v := &r.views[i]
		if v.view.Listens(e.Event.Type) && (v.session || r.counts(&e.Event) <= last && e.Event.EventTime >= v.view.Since(first)) {
			return true
		}
	}
	return false
}

// begin starts with an entity: its events in the order of the log.
func (r *replay) begin(events []eventlog.Record) error {
	r.events, r.next = events, 0
	r.order, r.decoded = r.order[:0], r.decoded[:0]
	if len(events) <= r.keep {
		r.decoded = append(r.decoded, make([]decoding, len(events))...)
	}
	for i := range events {
		r.order = append(r.order, i)
	}
	inOrder := slices.IsSortedFunc(events, func(a, b eventlog.Record) int { return cmp.Compare(r.counts(&a.Event), r.counts(&b.Event)) })
	if !inOrder {
		slices.SortStableFunc(r.order, func(i, j int) int { return cmp.Compare(r.counts(&events[i].Event), r.counts(&events[j].Event)) })
	}
	for i := range r.views {
		v := &r.views[i]
		v.row, v.history = nil, nil
		if !v.session {
			continue
		}
		// As they became known, sessions can be built in the order of the log only.
		if r.known && !inOrder {
			if err := r.remember(v); err != nil {
				return err
			}
			continue
		}
		if err := r.findLate(v); err != nil {
			return err
		}
	}
	return nil
}

// findLate applies the events in the order of the log, to see which of them the view drops.
func (r *replay) findLate(v *viewReplay) error {
	v.late = append(v.late[:0], make([]bool, len(r.events))...)
	var row []byte
	for i := range r.events {
		if !v.view.Listens(r.events[i].Event.Type) {
			continue
		}
		record, ok := r.decode(i)
		if !ok {
			continue
		}
		next, outcome, err := v.view.Apply(v.scratch, row, record, r.events[i].MaxEventTime)
		if err != nil {
			return err
		}
		row, v.late[i] = next, outcome == feature.Late
	}
	return nil
}

// remember keeps all events decoded.
func (r *replay) remember(v *viewReplay) error {
	v.history = []feature.HistoricEvent{} // not nil, even without events
	for i := range r.events {
		record := r.schema.NewRecord() // all are needed at the same time
		if r.schema.DecodeEvent(&r.events[i].Event, record) == nil {
			v.history = append(v.history, feature.HistoricEvent{Record: record, MaxEventTime: r.events[i].MaxEventTime})
		}
	}
	return nil
}

// decode reads event i; false if the project cannot read it any more. The record is valid until the next call.
func (r *replay) decode(i int) (*feature.Record, bool) {
	at := i
	if len(r.decoded) == 0 {
		at = 0 // too many to keep: one for all
	}
	for len(r.records) <= at {
		r.records = append(r.records, r.schema.NewRecord())
	}
	if len(r.decoded) > 0 && r.decoded[i] != notYet {
		return r.records[i], r.decoded[i] == readable
	}
	ok := r.schema.DecodeEvent(&r.events[i].Event, r.records[at]) == nil
	if len(r.decoded) > 0 {
		r.decoded[i] = unreadable
		if ok {
			r.decoded[i] = readable
		}
	}
	return r.records[at], ok
}

// values appends the values of all views at a moment that is not before the last one.
func (r *replay) values(at freshet.Timestamp, dst []expression.Value) ([]expression.Value, error) {
	for r.next < len(r.order) && r.counts(&r.events[r.order[r.next]].Event) <= at {
		if err := r.apply(r.order[r.next]); err != nil {
			return dst, err
		}
		r.next++
	}
	for i := range r.views {
		v := &r.views[i]
		var err error
		if v.history != nil {
			dst, err = v.view.Compute(v.scratch, v.history, at, r.known, dst)
		} else {
			dst, err = v.view.Read(v.scratch, v.row, at, dst)
		}
		if errors.Is(err, feature.ErrHistory) {
			err = freshet.Errorf(freshet.Internal, "view %s: an event lies behind the moment", v.view.Name())
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// apply brings the rows up to event i.
func (r *replay) apply(i int) error {
	record, ok := r.decode(i)
	if !ok {
		return nil
	}
	for j := range r.views {
		v := &r.views[j]
		if v.history != nil || v.session && v.late[i] {
			continue
		}
		// In the order of event time the event itself is the newest, and nothing is late; as known, it is the order of the
		// log and its own decision comes out again.
		newest := r.events[i].Event.EventTime
		if r.known {
			newest = r.events[i].MaxEventTime
		}
		row, _, err := v.view.Apply(v.scratch, v.row, record, newest)
		if err != nil {
			return freshet.Errorf("", "view %s: %w", v.view.Name(), err)
		}
		v.row = row
	}
	return nil
}
