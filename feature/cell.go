package feature

import "github.com/freshet-ml/freshet/feature/expression"

// A cell is the state of one component of an aggregate (a count, an exact sum, an extreme, the last events, …) over some
// events. The same cell takes single events and the encoded cells of panes; both are order-free, so that a value cannot depend
// on how events came or how panes were merged. Aggregates of a view that need the same component share it.
//
// A new aggregate is a new cell in a file of its own and an entry in the table of aggregate.go.
type cell interface {
	// reset makes the cell one of no events.
	reset()
	// add counts one event; x is the operand of the cell's input. What is kept of it is copied.
	add(x *operand, e *occurrence)
	// absorb counts the events of an encoded cell. The cell may refer to b until its next reset.
	absorb(b []byte, at anchor) (rest []byte, ok bool)
	// append encodes the cell.
	append(dst []byte, at anchor) []byte
}

// occurrence is when an event happened, and its place among those of the same moment.
type occurrence struct {
	time int64
	id   []byte
}

// operand is what an input makes of one event.
type operand struct {
	ok    bool // the condition is true and the argument is not null
	num   float64
	value expression.Value // for arguments that are not numbers, bools or times
}

// anchor is what a pane says about the times of its events, so that its cells need not repeat it.
type anchor struct {
	time int64  // all times are written as the distance from it; none is before it
	id   []byte // of the one event of the pane, if single
	// single: the pane is one event of this time and id.
	single bool
}

// countCell counts events.
type countCell struct{ n uint64 }

func (c *countCell) reset() { c.n = 0 }

func (c *countCell) add(x *operand, _ *occurrence) {
	if x.ok {
		c.n++
	}
}

func (c *countCell) absorb(b []byte, _ anchor) ([]byte, bool) {
	n, rest, ok := readUvarint(b)
	c.n += n
	return rest, ok
}

func (c *countCell) append(dst []byte, _ anchor) []byte { return appendUvarint(dst, c.n) }

// extremeCell keeps the least or the largest number or time.
type extremeCell struct {
	largest bool
	has     bool
	x       float64
}

func (c *extremeCell) reset() { c.has = false }

func (c *extremeCell) add(x *operand, _ *occurrence) {
	if x.ok {
		c.offer(x.num)
	}
}

func (c *extremeCell) offer(x float64) {
	if !c.has || c.largest && x > c.x || !c.largest && x < c.x {
		c.has, c.x = true, x
	}
}

func (c *extremeCell) absorb(b []byte, _ anchor) ([]byte, bool) {
	x, has, rest, ok := readNumber(b)
	if ok && has {
		c.offer(x)
	}
	return rest, ok
}

func (c *extremeCell) append(dst []byte, _ anchor) []byte {
	if !c.has {
		return append(dst, tagNone)
	}
	return appendNumber(dst, c.x)
}

// newestCell keeps the time of the newest event.
type newestCell struct {
	has  bool
	time int64
}

func (c *newestCell) reset() { *c = newestCell{} }

func (c *newestCell) add(x *operand, e *occurrence) {
	if x.ok {
		c.offer(e.time)
	}
}

func (c *newestCell) offer(t int64) {
	if !c.has || t > c.time {
		c.has, c.time = true, t
	}
}

func (c *newestCell) absorb(b []byte, at anchor) ([]byte, bool) {
	after, rest, ok := readTime(b)
	if ok && after > 0 {
		c.offer(at.time + after - 1)
	}
	return rest, ok
}

func (c *newestCell) append(dst []byte, at anchor) []byte {
	if !c.has {
		return append(dst, 0)
	}
	return appendUvarint(dst, uint64(c.time-at.time)+1)
}
