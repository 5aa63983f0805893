package feature

import "github.com/freshet-ml/freshet/feature/expression"

// Rows of session views hold the sessions that a late event can still touch, newest first.
//
// Which sessions those are depends on the watermark, hence on the order of the log: this is the one place where a feature is
// not a function of the set of events alone. The rule uses nothing but what the log records for every event, its time and
// the largest event time of the partition before it, so that any replay decides the same. For each event of the view about
// this entity, in log order:
//
//  1. watermark := max(that largest time, the event's time) − lateness;
//  2. sessions whose end + GAP < watermark are dropped: no event that is in time can touch them any more. The latest end of
//     all sessions ever dropped is remembered;
//  3. an event at or before that end + GAP is late: it may belong to a dropped session, and is in no E(k, T) at any T. It
//     leaves no trace, not even what step 2 dropped;
//  4. any other event opens, extends or joins sessions.
//
// Rows do this in applySession, Compute in sessionLog; both ask isClosed, isLate and touches.

// touches says whether an event at t belongs to the session from start to end.
func touches(t, start, end, gap int64) bool { return t >= start-gap && t <= end+gap }

// isClosed says whether a session that ended at end is behind the watermark.
func isClosed(end, gap, watermark int64) bool { return end+gap < watermark }

// isLate says whether an event at t might belong to a session that was dropped.
func isLate(t, dropped, gap int64) bool { return dropped != noSession && t <= dropped+gap }

// watermarkAt is the watermark that an event meets.
func (v *View) watermarkAt(t, maxEventTime int64) int64 { return max(t, maxEventTime) - v.lateness }

func (v *View) applySession(s *Scratch, data []byte, t, maxEventTime int64) ([]byte, Outcome, error) {
	gap, watermark := v.windows[0].length, v.watermarkAt(t, maxEventTime)
	h := header{last: t, dropped: noSession}
	var kept sessionReader
	if len(data) > 0 {
		var err error
		if h, kept.rest, err = v.readHeader(data); err != nil {
			return data, 0, err
		}
	}
	dropped, keptEnd, err := v.dropSessions(kept.rest, h, gap, watermark)
	if err != nil {
		return data, 0, err
	}
	if isLate(t, dropped, gap) {
		return data, Late, nil
	}
	kept.rest, kept.start = kept.rest[:keptEnd], h.last

	last := max(t, h.last)
	w := sessionWriter{start: last}
	w.out = v.appendHeader(s.out[:0], header{last: last, swept: sweptAfter(h.swept, dropped), dropped: dropped})
	start, end := t, t // of the session of the event, which grows by all that it touches
	v.reset(s)
	v.addEvent(s)
	placed := false
	for len(kept.rest) > 0 {
		from, to, body, ok := kept.next()
		if !ok {
			return data, 0, v.corrupt()
		}
		if touches(t, from, to, gap) {
			if err := v.absorb(s, body, anchor{time: from}); err != nil {
				return data, 0, err
			}
			start, end = min(start, from), max(end, to)
			continue
		}
		if !placed && to < t {
			w.appendPlace(start, end)
			w.out = v.appendPane(s, w.out, anchor{time: start})
			placed = true
		}
		w.appendPlace(from, to)
		w.out = appendBytes(w.out, body)
	}
	if !placed {
		w.appendPlace(start, end)
		w.out = v.appendPane(s, w.out, anchor{time: start})
	}
	s.out = w.out
	return finished(s.out), Applied, nil
}

// dropSessions finds the first session that is closed; it and all behind it, which are older, go. end is where it stands.
func (v *View) dropSessions(rest []byte, h header, gap, watermark int64) (dropped int64, end int, err error) {
	r := sessionReader{rest: rest, start: h.last}
	for len(r.rest) > 0 {
		at := len(rest) - len(r.rest)
		_, to, _, ok := r.next()
		if !ok {
			return 0, 0, v.corrupt()
		}
		if isClosed(to, gap, watermark) {
			return max(h.dropped, to), at, nil
		}
	}
	return h.dropped, len(rest), nil
}

// readSession gives the values of the session that is open at time at: only the newest can be.
func (v *View) readSession(s *Scratch, h header, rest []byte, at int64, dst []expression.Value) error {
	v.reset(s)
	r := sessionReader{rest: rest, start: h.last}
	start, end, body, ok := r.next()
	if !ok {
		return v.corrupt()
	}
	if at-end <= v.windows[0].length {
		if h.swept > 0 && start <= h.swept {
			return ErrHistory
		}
		if err := v.absorb(s, body, anchor{time: start}); err != nil {
			return err
		}
	}
	v.finish(s, at, 0, dst)
	return nil
}

// sessionReader walks over the sessions of a row.
type sessionReader struct {
	start int64 // of the session read last; before the first, the time of the newest event
	rest  []byte
}

// next reads one session. It ends some time before the one read last began, and began some time before it ended.
func (r *sessionReader) next() (start, end int64, body []byte, ok bool) {
	var before, length int64
	if before, r.rest, ok = readTime(r.rest); !ok || before > r.start {
		return 0, 0, nil, false
	}
	end = r.start - before
	if length, r.rest, ok = readTime(r.rest); !ok || length > end {
		return 0, 0, nil, false
	}
	r.start = end - length
	body, r.rest, ok = readBytes(r.rest)
	return r.start, end, body, ok
}

// sessionWriter builds the sessions of a new row, newest first.
type sessionWriter struct {
	out   []byte
	start int64 // of the session written last; before the first, the time of the newest event
}

func (w *sessionWriter) appendPlace(start, end int64) {
	w.out = appendUvarint(w.out, uint64(w.start-end))
	w.out = appendUvarint(w.out, uint64(end-start))
	w.start = start
}

// interval is a session without what is in it.
type interval struct{ start, end int64 }

// sessionLog decides, for the events of one entity in the order of the log, which are late, as applySession does.
type sessionLog struct {
	sessions []interval // newest first
	dropped  int64
}

func (l *sessionLog) reset() { l.sessions, l.dropped = l.sessions[:0], noSession }

// add says whether the event is late; if not, it joins its session.
func (l *sessionLog) add(t, gap, watermark int64) (late bool) {
	keep, dropped := len(l.sessions), l.dropped
	for i, s := range l.sessions {
		if isClosed(s.end, gap, watermark) {
			keep, dropped = i, max(dropped, s.end)
			break
		}
	}
	if isLate(t, dropped, gap) {
		return true
	}
	l.sessions, l.dropped = l.sessions[:keep], dropped

	joined := interval{t, t}
	first, end := 0, 0 // of the sessions that become one
	for first < len(l.sessions) && l.sessions[first].start > t && !touches(t, l.sessions[first].start, l.sessions[first].end, gap) {
		first++
	}
	for end = first; end < len(l.sessions) && touches(t, l.sessions[end].start, l.sessions[end].end, gap); end++ {
		joined.start, joined.end = min(joined.start, l.sessions[end].start), max(joined.end, l.sessions[end].end)
	}
	l.replace(first, end, joined)
	return false
}

func (l *sessionLog) replace(first, end int, by interval) {
	if first == end {
		l.sessions = append(l.sessions, interval{})
		copy(l.sessions[first+1:], l.sessions[first:])
	} else {
		l.sessions = append(l.sessions[:first+1], l.sessions[end:]...)
	}
	l.sessions[first] = by
}
