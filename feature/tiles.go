package feature

import "github.com/freshet-ml/freshet/feature/expression"

// Rows of sliding, tumbling and lifetime windows are made of aligned tiles: a tile is wholly inside a window or wholly
// outside. The tile of an event follows from its time and from the time of the newest event in the row, so that the same
// events give the same row in whatever order they came:
//
//   - a tile that begins before the low of every window, at the time of the newest event, is gone, for lows only rise;
//   - tiles are rolled up to a longer hop as soon as the long tile ends at or before the lows of all windows with a shorter
//     one: those will never see a part of it again.

// level is a length of tiles.
type level struct {
	hop int64
	// bound is the window whose low a tile of this level must not pass: the longest of those with shorter hops. Lows fall as
	// windows grow, so that it stands for all of them. The shortest level has none.
	bound int
}

// levelsOf gives the levels of windows in ascending order of length.
func levelsOf(windows []window, ascending []int) []level {
	var levels []level
	for i, at := range ascending {
		switch hop := windows[at].hop; {
		case i == 0:
			levels = append(levels, level{hop: hop})
		case hop > levels[len(levels)-1].hop:
			levels = append(levels, level{hop: hop, bound: ascending[i-1]})
		}
	}
	return levels
}

// horizon says which tiles a row has when its newest event is at some time.
type horizon struct {
	oldest int64            // no tile begins before
	bounds [len(hops)]int64 // tiles of level i end at or before bounds[i]; bounds[0] is not used
}

func (v *View) horizonAt(last int64) (z horizon) {
	z.oldest = v.windows[v.ascending[len(v.ascending)-1]].low(last)
	for i := 1; i < len(v.levels); i++ {
		l := &v.levels[i]
		z.bounds[i] = floorTo(v.windows[l.bound].low(last), l.hop)
	}
	return z
}

// tileOf is the start of the tile of time t ≥ z.oldest.
func (v *View) tileOf(t int64, z *horizon) int64 {
	for i := len(v.levels) - 1; i > 0; i-- {
		hop := v.levels[i].hop
		if start := floorTo(t, hop); start+hop <= z.bounds[i] {
			return start
		}
	}
	return v.firstTile(t)
}

// firstTile is the start of the tile of the newest event, which is as short as tiles get.
func (v *View) firstTile(t int64) int64 {
	switch v.kind {
	case sliding:
		return floorTo(t, v.levels[0].hop)
	case tumbling:
		return v.windows[0].low(t)
	}
	return 0
}

// newestTile is where the first tile of a row begins: short, unless a sweep has rolled it up.
func (v *View) newestTile(h header) int64 {
	if h.swept <= h.last {
		return v.firstTile(h.last)
	}
	z := v.horizonAt(h.swept)
	return v.tileOf(h.last, &z)
}

// tileUnit is what distances of tiles are written in.
func (v *View) tileUnit() int64 {
	if v.kind == sliding {
		return v.levels[0].hop
	}
	return 1
}

func (v *View) applyTiles(s *Scratch, data []byte, t int64) ([]byte, Outcome, error) {
	var h header
	var old tileReader
	if len(data) > 0 {
		var err error
		if h, old.rest, err = v.readHeader(data); err != nil {
			return data, 0, err
		}
		old.start, old.unit = v.newestTile(h), v.tileUnit()
	}
	moment := max(t, h.known())
	now := v.horizonAt(moment)
	if t < now.oldest {
		return data, Unseen, nil
	}
	target := v.tileOf(t, &now)
	// Most events move no horizon: then all tiles but that of the event stay as they are.
	still := len(data) > 0 && (moment == h.known() || now == v.horizonAt(h.known()))

	if h.last = max(t, h.last); h.last >= h.swept {
		h.swept = 0
	}
	w := tileWriter{v: v, s: s, out: v.appendHeader(s.out[:0], h), unit: v.tileUnit()}
	placed := false
	for len(old.rest) > 0 {
		start, place, body, ok := old.next()
		if !ok {
			return data, 0, v.corrupt()
		}
		if start < now.oldest {
			break // so are the tiles behind it
		}
		to := start
		if !still {
			to = v.tileOf(start, &now)
		}
		if !placed && to <= target {
			w.addEvent(target)
			placed = true
		}
		if still && to < target {
			w.flush()
			w.out = append(w.appendPlace(start), place...)
			w.any = true
			break
		}
		if err := w.addTile(to, body, start); err != nil {
			return data, 0, err
		}
	}
	if !placed {
		w.addEvent(target)
	}
	w.flush()
	s.out = w.out
	return finished(s.out), Applied, nil
}

// readTiles gives the values of all windows in one walk: tiles come newest first, and a longer window sees those of the
// shorter ones and more.
func (v *View) readTiles(s *Scratch, h header, rest []byte, at int64, dst []expression.Value) error {
	old := tileReader{rest: rest, start: v.newestTile(h), unit: v.tileUnit()}
	v.reset(s)
	windows := v.ascending
	low := v.windows[windows[0]].low(at)
	for len(old.rest) > 0 {
		start, _, body, ok := old.next()
		if !ok {
			return v.corrupt()
		}
		for start < low {
			v.finish(s, at, windows[0], dst)
			if windows = windows[1:]; len(windows) == 0 {
				return nil
			}
			low = v.windows[windows[0]].low(at)
		}
		if err := v.absorb(s, body, anchor{time: start}); err != nil {
			return err
		}
	}
	for _, w := range windows {
		v.finish(s, at, w, dst)
	}
	return nil
}

// tileReader walks over the tiles of a row.
type tileReader struct {
	unit  int64
	start int64 // of the tile read last; before the first, where it begins
	rest  []byte
	begun bool
}

// next reads one tile. place is the tile as it stands in the row without its distance from the one before it, and all that follows.
func (t *tileReader) next() (start int64, place, body []byte, ok bool) {
	if t.begun {
		var steps int64
		if steps, t.rest, ok = readTime(t.rest); !ok || steps == 0 || steps > t.start/t.unit {
			return 0, nil, nil, false
		}
		t.start -= steps * t.unit
	}
	t.begun = true
	place = t.rest
	body, t.rest, ok = readBytes(t.rest)
	return t.start, place, body, ok
}

// tileWriter builds the tiles of a new row, newest first. The tile at hand is one old tile, unchanged and still encoded,
// or what the cells hold.
type tileWriter struct {
	v    *View
	s    *Scratch
	out  []byte
	unit int64
	last int64 // start of the tile written last
	any  bool  // that there is one

	open   bool
	start  int64
	body   []byte // of the old tile
	merged bool   // the cells hold the tile
}

// addTile puts an old tile that began at from into the tile that begins at start.
func (w *tileWriter) addTile(start int64, body []byte, from int64) error {
	fresh := w.turnTo(start)
	if fresh && from == start {
		w.body, w.merged = body, false
		return nil
	}
	if err := w.merge(); err != nil {
		return err
	}
	return w.v.absorb(w.s, body, anchor{time: from})
}

// addEvent puts the event of the scratch into the tile that begins at start. It comes before the old tiles of the same
// start, so that there is nothing to decode yet.
func (w *tileWriter) addEvent(start int64) {
	w.turnTo(start)
	w.v.reset(w.s)
	w.v.addEvent(w.s)
	w.merged = true
}

// turnTo makes the tile that begins at start the one at hand; fresh says that it is a new one.
func (w *tileWriter) turnTo(start int64) (fresh bool) {
	if w.open && w.start == start {
		return false
	}
	w.flush()
	w.open, w.start, w.body, w.merged = true, start, nil, false
	return true
}

// merge moves the tile at hand into the cells.
func (w *tileWriter) merge() error {
	if w.merged {
		return nil
	}
	w.merged = true
	w.v.reset(w.s)
	if w.body == nil {
		return nil
	}
	return w.v.absorb(w.s, w.body, anchor{time: w.start})
}

func (w *tileWriter) flush() {
	if !w.open {
		return
	}
	w.open = false
	w.out = w.appendPlace(w.start)
	if w.merged {
		w.out = w.v.appendPane(w.s, w.out, anchor{time: w.start})
	} else {
		w.out = appendBytes(w.out, w.body)
	}
	w.last, w.any = w.start, true
}

// appendPlace writes how far start lies before the tile written last. Where the first tile begins is known from the header.
func (w *tileWriter) appendPlace(start int64) []byte {
	if !w.any {
		return w.out
	}
	return appendUvarint(w.out, uint64((w.last-start)/w.unit))
}
