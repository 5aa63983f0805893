package diskqueue

import (
	"github.com/freshet-ml/freshet"
)

// backlog is what is in memory of every outstanding job: 64 bytes without a pointer, so that a million of them cost the
// garbage collector nothing. The jobs themselves are on disk.
type backlog struct {
	entries []entry       // entries[0] is not used
	free    ref           // of a list along next
	lists   [classes]list // all, by class in the order of their sequence
	count   int
	chains  map[uint64]chain // by subject hash
}

// list is the first and the last entry of a list along next.
type list struct{ first, last ref }

// ref names an entry; 0 is none.
type ref uint32

type entry struct {
	sequence   uint64
	offset     freshet.Offset // of the first event that the job stands for
	superseded freshet.Offset // the first newer job of the same subject that was acknowledged; 0 if none was
	enqueued   freshet.Timestamp
	at         int64 // Unix nanoseconds: when it becomes visible, while it is hidden
	prev, next ref   // by sequence
	newer      ref   // the next job of the same subject, by offset
	slot       int32 // its place in the heap that holds it
	where      place
	begun      bool   // there is an attempts record
	told       bool   // there is a history record
	delayed    bool   // it has a NotBefore: its record may have been written more than once
	name       uint32 // a hash of the job's id
}

// place says where an entry waits.
type place uint8

const (
	fresh  place = iota // never leased since the start, in the order of sequence
	hidden              // in the heap by moment
	due                 // in the heap by sequence
)

// chain is the list of the outstanding jobs of one subject hash, by offset.
type chain struct{ first, last ref }

func newBacklog() backlog {
	return backlog{entries: make([]entry, 1), chains: make(map[uint64]chain)}
}

// at is the entry of r. It moves when another is added.
func (b *backlog) at(r ref) *entry { return &b.entries[r] }

// add puts an entry at the end of its class; its sequence is larger than any before there.
func (b *backlog) add(e entry, subject uint64) ref {
	r := b.free
	if r != 0 {
		b.free = b.at(r).next
	} else {
		r = ref(len(b.entries))
		b.entries = append(b.entries, entry{})
	}
	l := &b.lists[classOf(e.sequence)]
	e.prev, e.next, e.newer = l.last, 0, 0
	*b.at(r) = e
	if l.last != 0 {
		b.at(l.last).next = r
	} else {
		l.first = r
	}
	l.last = r
	b.count++
	b.link(r, subject)
	return r
}

// link puts r into its subject's chain: at its end, unless r is a dead letter that came back.
func (b *backlog) link(r ref, subject uint64) {
	c, ok := b.chains[subject]
	switch offset := b.at(r).offset; {
	case !ok:
		c = chain{r, r}
	case b.at(c.last).offset <= offset:
		b.at(c.last).newer = r
		c.last = r
	case b.at(c.first).offset > offset:
		b.at(r).newer = c.first
		c.first = r
	default:
		before := c.first
		for b.at(b.at(before).newer).offset <= offset {
			before = b.at(before).newer
		}
		b.at(r).newer = b.at(before).newer
		b.at(before).newer = r
	}
	b.chains[subject] = c
}

// remove takes out r, which is in no heap.
func (b *backlog) remove(r ref, subject uint64) {
	b.unlink(r, subject)
	e := b.at(r)
	l := &b.lists[classOf(e.sequence)]
	if e.prev != 0 {
		b.at(e.prev).next = e.next
	} else {
		l.first = e.next
	}
	if e.next != 0 {
		b.at(e.next).prev = e.prev
	} else {
		l.last = e.prev
	}
	b.count--
	if b.count == 0 && len(b.entries) > 1<<16 {
		*b = newBacklog() // give a large backlog's memory back once it is worked off
		return
	}
	*e = entry{next: b.free}
	b.free = r
}

func (b *backlog) unlink(r ref, subject uint64) {
	c := b.chains[subject]
	newer := b.at(r).newer
	if c.first == r {
		c.first = newer
		if newer == 0 {
			delete(b.chains, subject)
			return
		}
		b.chains[subject] = c
		return
	}
	before := c.first
	for b.at(before).newer != r {
		before = b.at(before).newer
	}
	b.at(before).newer = newer
	if c.last == r {
		c.last = before
		b.chains[subject] = c
	}
}

// pending says whether a job of subject through the offset is outstanding.
func (b *backlog) pending(subject uint64, through freshet.Offset) bool {
	c, ok := b.chains[subject]
	return ok && b.at(c.first).offset <= through
}

// waiting is the last job of subject that a newer one may still replace; 0 if there is none.
func (b *backlog) waiting(subject uint64) ref {
	last := ref(0)
	for r := b.chains[subject].first; r != 0; r = b.at(r).newer {
		if e := b.at(r); e.delayed && !e.begun && e.superseded == 0 {
			last = r
		}
	}
	return last
}

// named are the sequences of the jobs whose ids have this hash: of the one that is looked for, and rarely of another.
func (b *backlog) named(name uint32) (sequences []uint64) {
	for i := range b.entries { // a million in some milliseconds
		if e := &b.entries[i]; e.name == name && e.sequence != 0 {
			sequences = append(sequences, e.sequence)
		}
	}
	return sequences
}

// fresh is r, or the first behind it that waits to be leased for the first time.
func (b *backlog) fresh(r ref) ref {
	for r != 0 && b.at(r).where != fresh {
		r = b.at(r).next
	}
	return r
}

// superseding are the jobs of subject for which self, whose cause is at offset, is the first newer one if it is acknowledged.
func (b *backlog) superseding(subject uint64, self ref, offset freshet.Offset) []ref {
	var older []ref
	for r := b.chains[subject].first; r != 0 && b.at(r).offset < offset; r = b.at(r).newer {
		if s := b.at(r).superseded; r != self && (s == 0 || s > offset) {
			older = append(older, r)
		}
	}
	return older
}

// heap is a priority queue of entries, which know their place in it.
type heap struct {
	refs []ref
	less func(a, b *entry) bool
}

func bySequence(a, b *entry) bool { return rank(a.sequence) < rank(b.sequence) }
func byMoment(a, b *entry) bool   { return a.at < b.at }

func (h *heap) top() ref {
	if len(h.refs) == 0 {
		return 0
	}
	return h.refs[0]
}

func (h *heap) push(b *backlog, r ref) {
	h.refs = append(h.refs, r)
	h.up(b, len(h.refs)-1)
}

func (h *heap) remove(b *backlog, r ref) {
	i, last := int(b.at(r).slot), len(h.refs)-1
	moved := h.refs[last]
	h.refs = h.refs[:last]
	if i == last {
		return
	}
	h.set(b, i, moved)
	h.down(b, i)
	h.up(b, int(b.at(moved).slot))
}

func (h *heap) set(b *backlog, i int, r ref) {
	h.refs[i] = r
	b.at(r).slot = int32(i)
}

func (h *heap) up(b *backlog, i int) {
	r := h.refs[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(b.at(r), b.at(h.refs[parent])) {
			break
		}
		h.set(b, i, h.refs[parent])
		i = parent
	}
	h.set(b, i, r)
}

func (h *heap) down(b *backlog, i int) {
	r := h.refs[i]
	for {
		child := 2*i + 1
		if child >= len(h.refs) {
			break
		}
		if right := child + 1; right < len(h.refs) && h.less(b.at(h.refs[right]), b.at(h.refs[child])) {
			child = right
		}
		if !h.less(b.at(h.refs[child]), b.at(r)) {
			break
		}
		h.set(b, i, h.refs[child])
		i = child
	}
	h.set(b, i, r)
}
