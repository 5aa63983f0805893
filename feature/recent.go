package feature

import "github.com/freshet-ml/freshet/feature/expression"

// Rows of views over the last N events hold one pane for each of these events, newest first by (event_time, event_id). An
// event that is older than all of N is in no window at any later time, and neither is one that N newer ones push out.

func (v *View) applyRecent(s *Scratch, data []byte, t int64) ([]byte, Outcome, error) {
	h := header{last: t}
	var panes []byte
	if len(data) > 0 {
		var err error
		if h, panes, err = v.readHeader(data); err != nil {
			return data, 0, err
		}
	}
	old := recentReader{rest: panes, time: h.last}
	newer, cut, before := 0, 0, max(t, h.last) // events newer than this one, where they end, the time of the last of them
	var next recentPane                        // the first that is older
	for ; newer < h.panes; newer++ {
		p, ok := old.next()
		if !ok {
			return data, 0, v.corrupt()
		}
		if p.event.compareTo(t, s.event.id) < 0 {
			next = p
			break
		}
		cut, before = len(panes)-len(old.rest), p.event.time
	}
	most := v.windows[0].events
	if newer == most {
		return data, Unseen, nil
	}

	out := v.appendHeader(s.out[:0], header{last: max(t, h.last), panes: min(h.panes+1, most)})
	out = append(out, panes[:cut]...)
	out = appendUvarint(out, uint64(before-t))
	out = appendBytes(out, s.event.id)
	v.reset(s)
	v.addEvent(s)
	out = v.appendPane(s, out, anchor{time: t, id: s.event.id, single: true})
	if kept := min(h.panes, most-1) - newer; kept > 0 {
		end, err := v.endOf(&old, kept-1, h.panes-newer-1)
		if err != nil {
			return data, 0, err
		}
		out = appendUvarint(out, uint64(t-next.event.time))
		out = append(out, next.place[:len(next.place)-end]...)
	}
	s.out = out
	return finished(s.out), Applied, nil
}

// endOf is how many bytes of the row follow when keep more of the remaining panes have been read.
func (v *View) endOf(old *recentReader, keep, remaining int) (bytes int, err error) {
	if keep == remaining {
		return 0, nil
	}
	for ; keep > 0; keep-- {
		if _, ok := old.next(); !ok {
			return 0, v.corrupt()
		}
	}
	return len(old.rest), nil
}

func (v *View) readRecent(s *Scratch, h header, rest []byte, at int64, dst []expression.Value) error {
	v.reset(s)
	old := recentReader{rest: rest, time: h.last}
	for range h.panes {
		p, ok := old.next()
		if !ok {
			return v.corrupt()
		}
		if err := v.absorb(s, p.body, anchor{time: p.event.time, id: p.event.id, single: true}); err != nil {
			return err
		}
	}
	v.finish(s, at, 0, dst)
	return nil
}

// recentPane is one event of the row. place is the pane as it stands in the row without its distance from the one before
// it, and all that follows.
type recentPane struct {
	event item // time and id
	place []byte
	body  []byte
}

// recentReader walks over the events of a row.
type recentReader struct {
	time int64 // of the event read last; before the first, of the newest
	rest []byte
}

func (r *recentReader) next() (p recentPane, ok bool) {
	var before int64
	if before, r.rest, ok = readTime(r.rest); !ok || before > r.time {
		return p, false
	}
	r.time -= before
	p.event.time, p.place = r.time, r.rest
	if p.event.id, r.rest, ok = readBytes(r.rest); !ok {
		return p, false
	}
	p.body, r.rest, ok = readBytes(r.rest)
	return p, ok
}
