package feature

import (
	"fmt"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// Outcome says what an event did to a row.
type Outcome uint8

const (
	Applied  Outcome = iota // it is in the row
	Filtered                // it is not of the view's types, or where is not true for it
	Late                    // it may belong to a session that the watermark has passed: it is in no value, at any time
	Unseen                  // it is older than any window can see from the newest event of the row on
)

func (o Outcome) String() string {
	switch o {
	case Applied:
		return "applied"
	case Filtered:
		return "filtered"
	case Late:
		return "late"
	case Unseen:
		return "unseen"
	}
	return fmt.Sprintf("outcome %d", o)
}

// Apply adds an event to the data of a row; nil is a row of no events. The event must be about the row's entity, decoded by
// the view's schema, have an id, and not be in the row yet. maxEventTime is the largest event time of the partition before
// this event (or with it). next is new bytes: data is not changed and may still be read. Unless the outcome is Applied,
// next is data.
//
// The error is Internal: data is no row of this view.
func (v *View) Apply(s *Scratch, data []byte, r *Record, maxEventTime freshet.Timestamp,
) (next []byte, outcome Outcome, err error) {
	if !v.accepts(r) {
		return data, Filtered, nil
	}
	v.observe(s, r)
	switch v.kind {
	case session:
		return v.applySession(s, data, int64(r.EventTime), int64(maxEventTime))
	case lastN:
		return v.applyRecent(s, data, int64(r.EventTime))
	}
	return v.applyTiles(s, data, int64(r.EventTime))
}

// Read appends the values of the view's features at a moment, one for each of Features, from the data of a row; nil is a
// row of no events. What it appends does not refer to data.
//
// It returns dst as it is with ErrHistory if the row does not know the moment: it lies before the newest event of the row or
// before its sweep, or what is asked for may depend on what a sweep took away. It returns an Internal error if data is no row of this view.
func (v *View) Read(s *Scratch, data []byte, at freshet.Timestamp, dst []expression.Value) ([]expression.Value, error) {
	if len(data) == 0 {
		v.reset(s)
		out, values := v.extend(dst)
		for w := range v.windows {
			v.finish(s, int64(at), w, values)
		}
		return out, nil
	}
	h, rest, err := v.readHeader(data)
	if err != nil {
		return dst, err
	}
	if int64(at) < h.known() {
		return dst, ErrHistory
	}
	out, values := v.extend(dst)
	switch v.kind {
	case session:
		err = v.readSession(s, h, rest, int64(at), values)
	case lastN:
		err = v.readRecent(s, h, rest, int64(at), values)
	default:
		err = v.readTiles(s, h, rest, int64(at), values)
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

// extend makes room for the values of all features behind dst.
func (v *View) extend(dst []expression.Value) (out, values []expression.Value) {
	n := len(dst)
	out = slices.Grow(dst, len(v.features))[:n+len(v.features)]
	return out, out[n:]
}
