package feature

import "github.com/freshet-ml/freshet"

// A row is brought up to date by events only: what an entity left behind long ago stays as it was. A sweep does the rest.
// It rolls tiles up as an event of that moment would, and finds the rows that no window sees any more, so that they can be
// removed.
//
// What is gone must not be missed. Whoever removes rows remembers the moment of the last sweep that may have removed one,
// for each view, and
//
//   - answers reads of a removed row before that moment from the events. From it on, the row would have given the values of
//     no events;
//   - begins a new row with the bytes of AppendRemoved. They keep the moment in the header, until it can't matter any more: a
//     late event that comes next says nothing about the events before it that were removed.
//
// For tiles it matters to reads before that moment only. A session view also decides by its row which events are late; one
// that has lost its row may take events that were late, all of them before the moment of the sweep. They can be seen only in a session
// that began before it: Read leaves such a session to Compute. (Rows of sessions could have stayed as tombstones that remember when the
// last session ended; then there would be one for every entity that ever was.)

// Swept says what a sweep did to a row.
type Swept uint8

const (
	Kept     Swept = iota // it is as it was
	RolledUp              // it is shorter, and says the same from the moment of the sweep on
	Removed               // no window sees any of it from the moment of the sweep on
)

// Removable says whether rows of the view can come to be seen by no window. Those of views over all or the last N events
// cannot.
func (v *View) Removable() bool { return v.kind != lastN && v.kind != lifetime }

// AppendRemoved appends what Apply takes instead of nil for an entity whose row may have been removed by a sweep at that
// moment, 0 for none. It appends nothing where nil will do.
func (v *View) AppendRemoved(dst []byte, swept freshet.Timestamp) []byte {
	if swept <= 0 || !v.Removable() {
		return dst
	}
	return v.appendHeader(dst, header{swept: int64(swept), dropped: noSession})
}

// Sweep makes the data of a row as short as its windows allow from the moment at on. maxEventTime is the largest event time
// of the partition so far: no later event is judged by an older one. next is data, shorter data that Read answers from at the same
// moments or from at on, or nil if the row can be removed.
//
// The error is Internal: data is no row of this view.
func (v *View) Sweep(s *Scratch, data []byte, at, maxEventTime freshet.Timestamp) (next []byte, swept Swept, err error) {
	if len(data) == 0 || !v.Removable() {
		return data, Kept, nil
	}
	h, rest, err := v.readHeader(data)
	if err != nil {
		return data, Kept, err
	}
	if v.kind == session {
		return v.sweepSessions(s, data, h, rest, int64(at), int64(maxEventTime)-v.lateness)
	}
	return v.sweepTiles(s, data, h, rest, int64(at))
}

func (v *View) sweepTiles(s *Scratch, data []byte, h header, rest []byte, at int64) ([]byte, Swept, error) {
	if at <= h.known() {
		return data, Kept, nil
	}
	now := v.horizonAt(at)
	if now == v.horizonAt(h.known()) {
		return data, Kept, nil
	}
	old := tileReader{rest: rest, start: v.newestTile(h), unit: v.tileUnit()}
	if old.start < now.oldest {
		return nil, Removed, nil
	}
	h.swept = at
	w := tileWriter{v: v, s: s, out: v.appendHeader(s.out[:0], h), unit: v.tileUnit()}
	for len(old.rest) > 0 {
		start, _, body, ok := old.next()
		if !ok {
			return data, Kept, v.corrupt()
		}
		if start < now.oldest {
			break // so are the tiles behind it
		}
		if err := w.addTile(v.tileOf(start, &now), body, start); err != nil {
			return data, Kept, err
		}
	}
	w.flush()
	s.out = w.out
	if len(s.out) >= len(data) {
		return data, Kept, nil // not worth a write, nor that the moments before at are forgotten
	}
	return finished(s.out), RolledUp, nil
}

// sweepSessions drops the sessions that the watermark has passed: the next event would do it. The newest may be open and goes
// only with the row.
func (v *View) sweepSessions(s *Scratch, data []byte, h header, rest []byte, at, watermark int64) ([]byte, Swept, error) {
	gap := v.windows[0].length
	newest := sessionReader{rest: rest, start: h.last}
	_, end, _, ok := newest.next()
	if !ok {
		return data, Kept, v.corrupt()
	}
	if isClosed(end, gap, watermark) {
		if isClosed(end, gap, at) {
			return nil, Removed, nil
		}
		return data, Kept, nil
	}
	dropped, kept, err := v.dropSessions(rest, h, gap, watermark)
	if err != nil || kept == len(rest) {
		return data, Kept, err
	}
	h.dropped, h.swept = dropped, sweptAfter(h.swept, dropped)
	s.out = append(v.appendHeader(s.out[:0], h), rest[:kept]...)
	return finished(s.out), RolledUp, nil
}

// sweptAfter is the moment of a sweep as far as the row of a session view must remember it: once a session that ended later
// has been dropped, all events that might have been late are.
func sweptAfter(swept, dropped int64) int64 {
	if dropped >= swept {
		return 0
	}
	return swept
}
