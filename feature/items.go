package feature

import (
	"cmp"

	"github.com/freshet-ml/freshet/feature/expression"
)

// item is the value of an expression at one event. Times decide the order, then ids as bytes. The slices are those of the
// row it was read from, or of an arena of the cell.
type item struct {
	time  int64
	id    []byte
	value []byte // as appendValue writes it: most are only passed on
}

// compareTo orders an item and an event by (event_time, event_id).
func (i *item) compareTo(time int64, id []byte) int {
	if c := cmp.Compare(i.time, time); c != 0 {
		return c
	}
	return cmp.Compare(string(i.id), string(id))
}

// readItem reads an item that is written relative to the anchor.
func readItem(b []byte, at anchor) (i item, rest []byte, ok bool) {
	i.time, i.id, rest = at.time, at.id, b
	if !at.single {
		if i.time, rest, ok = readTime(rest); !ok {
			return item{}, nil, false
		}
		i.time += at.time
		if i.id, rest, ok = readBytes(rest); !ok {
			return item{}, nil, false
		}
	}
	i.value, rest, ok = skipValue(rest)
	return i, rest, ok
}

func (i *item) append(dst []byte, at anchor) []byte {
	if !at.single {
		dst = appendUvarint(dst, uint64(i.time-at.time))
		dst = appendBytes(dst, i.id)
	}
	return append(dst, i.value...)
}

// arena holds the ids and values that cells copy from events.
type arena struct{ bytes []byte }

// keep copies an event's id and value.
func (a *arena) keep(x *operand, kind expression.Kind, e *occurrence) item {
	from := len(a.bytes)
	a.bytes = append(a.bytes, e.id...)
	mid := len(a.bytes)
	a.bytes = appendOperand(a.bytes, x, kind)
	end := len(a.bytes)
	return item{time: e.time, id: a.bytes[from:mid:mid], value: a.bytes[mid:end:end]}
}

// edgeCell keeps the first or the last item.
type edgeCell struct {
	kind  expression.Kind
	first bool
	has   bool
	item  item
	arena arena
}

func (c *edgeCell) reset() {
	c.has = false
	c.arena.bytes = c.arena.bytes[:0]
}

func (c *edgeCell) add(x *operand, e *occurrence) {
	if !x.ok || !c.wants(e.time, e.id) {
		return
	}
	// The item before is no longer needed; its bytes may be overwritten.
	c.arena.bytes = c.arena.bytes[:0]
	c.has, c.item = true, c.arena.keep(x, c.kind, e)
}

func (c *edgeCell) wants(time int64, id []byte) bool {
	if !c.has {
		return true
	}
	order := c.item.compareTo(time, id)
	return c.first && order > 0 || !c.first && order < 0
}

func (c *edgeCell) absorb(b []byte, at anchor) ([]byte, bool) {
	n, rest, ok := readUvarint(b)
	if !ok || n == 0 {
		return rest, ok
	}
	i, rest, ok := readItem(rest, at)
	if ok && c.wants(i.time, i.id) {
		c.has, c.item = true, i
	}
	return rest, ok
}

func (c *edgeCell) append(dst []byte, at anchor) []byte {
	if !c.has {
		return append(dst, 0)
	}
	return c.item.append(append(dst, 1), at)
}

// listCell keeps the last n items, newest first.
type listCell struct {
	kind  expression.Kind
	n     int
	items []item
	arena arena
}

func (c *listCell) reset() {
	c.items = c.items[:0]
	c.arena.bytes = c.arena.bytes[:0]
}

func (c *listCell) add(x *operand, e *occurrence) {
	if !x.ok {
		return
	}
	if at := c.place(e.time, e.id); at < c.n {
		c.insert(at, c.arena.keep(x, c.kind, e))
	}
}

// place is how many items are newer. Panes are read newest first, so that the end is tried first.
func (c *listCell) place(time int64, id []byte) int {
	lo, hi := 0, len(c.items)
	if hi > 0 && c.items[hi-1].compareTo(time, id) >= 0 {
		return hi
	}
	for lo < hi {
		mid := (lo + hi) / 2
		if c.items[mid].compareTo(time, id) >= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

func (c *listCell) insert(at int, i item) {
	if len(c.items) < c.n {
		c.items = append(c.items, item{})
	}
	copy(c.items[at+1:], c.items[at:])
	c.items[at] = i
}

func (c *listCell) absorb(b []byte, at anchor) ([]byte, bool) {
	n, rest, ok := readUvarint(b)
	for ; ok && n > 0; n-- {
		var i item
		if i, rest, ok = readItem(rest, at); ok {
			if place := c.place(i.time, i.id); place < c.n {
				c.insert(place, i)
			}
		}
	}
	return rest, ok
}

func (c *listCell) append(dst []byte, at anchor) []byte {
	dst = appendUvarint(dst, uint64(len(c.items)))
	for i := range c.items {
		dst = c.items[i].append(dst, at)
	}
	return dst
}
