package disklog

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

const (
	maxGroupEvents = 4096     // of a group, unless one call alone has more
	maxGroupBytes  = 4 << 20  // of payload, likewise
	maxBlockBytes  = 32 << 10 // of records, unless one alone has more

	maxScratchBytes = 256 << 10 // that a scratch buffer may keep from one group to the next
)

// group is a number of calls that become durable together.
type group struct {
	calls  []*call
	batch  *pebble.Batch // nil if all events were duplicates
	blocks []placedBlock
	err    error // of putting it into the store
}

type placedBlock struct {
	partition freshet.Partition
	block
}

// committer decides the order of events. It is one goroutine; nothing else touches its fields.
type committer struct {
	log   *Log
	ids   *ids
	lanes [freshet.Partitions]lane
	used  []freshet.Partition // lanes that have got records, some twice
	// The group's blocks, one after another in data; until store, their data fields are not set.
	blocks []placedBlock
	ends   []int // of each block in data
	data   []byte
	key    []byte // scratch
}

// lane collects the records of the next block of a partition.
type lane struct {
	records      []byte
	count        int
	first        freshet.Offset
	base         freshet.Timestamp
	maxEventTime freshet.Timestamp // in the partition before the first
}

func (c *committer) run() {
	defer close(c.log.committed)
	for {
		select {
		case <-c.log.closing:
			return
		case first := <-c.log.calls:
			if g := c.collect(first); len(g.calls) > 0 {
				c.commit(g)
				c.log.committed <- g
			}
		}
	}
}

// collect takes the calls that wait already. It never waits for more: while a group is synced the next ones gather.
func (c *committer) collect(first *call) *group {
	g := &group{}
	events, size := 0, 0
	for call := first; ; {
		if call.take() {
			g.calls = append(g.calls, call)
			events += len(call.entries)
			for i := range call.entries {
				size += len(call.entries[i].Event.Payload)
			}
		}
		if events >= maxGroupEvents || size >= maxGroupBytes {
			return g
		}
		select {
		case call = <-c.log.calls:
		default:
			return g
		}
	}
}

// commit orders the group's events and hands them to Pebble. When it returns they are in the write-ahead log and visible
// inside the store, but not durable.
func (c *committer) commit(g *group) {
	b := c.log.disk.Pebble().NewBatch()
	c.ids.begin()
	for _, call := range g.calls {
		c.order(call)
	}
	for _, p := range c.used {
		c.seal(p)
	}
	c.used = c.used[:0]
	g.err = c.ids.end(b)
	g.blocks = c.store(b)
	if b.Empty() {
		_ = b.Close()
		return
	}
	g.batch = b
	if g.err == nil {
		g.err = apply(c.log.disk.Pebble(), b)
	}
}

// order gives each new event of the call its places.
func (c *committer) order(call *call) {
	n := 0
	for i := range call.entries {
		n += len(call.entries[i].Entities)
	}
	places := make([]freshet.Place, 0, n)
	call.out = make([]eventlog.Appended, len(call.entries))
	for i := range call.entries {
		e := &call.entries[i]
		start := len(places)
		duplicate := c.ids.addUnlessKnown(e)
		for _, entity := range e.Entities {
			p := freshet.PartitionOf(entity.Key)
			if !duplicate {
				c.add(p, &e.Event, entity)
			}
			// For a duplicate: whatever is assigned by now. The accepted event is not behind it, and the answer is given
			// after all groups before this one.
			places = append(places, freshet.Place{Partition: p, Offset: c.log.partitions[p].assigned})
		}
		call.out[i] = eventlog.Appended{Duplicate: duplicate, Places: places[start:len(places):len(places)]}
	}
}

func (c *committer) add(p freshet.Partition, e *freshet.Event, entity freshet.Entity) {
	state, l := &c.log.partitions[p], &c.lanes[p]
	if l.count == 0 {
		c.used = append(c.used, p)
		l.first, l.base, l.maxEventTime = state.assigned+1, e.IngestTime, state.maxEventTime
	}
	l.records = appendRecord(l.records, l.base, e, entity)
	l.count++
	state.assigned++
	state.maxEventTime = max(state.maxEventTime, e.EventTime)
	if len(l.records) >= maxBlockBytes {
		c.seal(p)
	}
}

// seal makes a block of what the partition's lane has collected, if anything.
func (c *committer) seal(p freshet.Partition) {
	l := &c.lanes[p]
	if l.count == 0 {
		return
	}
	c.data = appendBlock(c.data, l.maxEventTime, l.base, l.count, l.records)
	c.blocks = append(c.blocks, placedBlock{partition: p, block: block{first: l.first, count: l.count}})
	c.ends = append(c.ends, len(c.data))
	l.count = 0
	l.records = reuse(l.records)
}

// store puts the sealed blocks into b and returns them with data of their own.
func (c *committer) store(b *pebble.Batch) []placedBlock {
	if len(c.blocks) == 0 {
		return nil
	}
	blocks := append([]placedBlock(nil), c.blocks...)
	data := bytes.Clone(c.data)
	start := 0
	for i := range blocks {
		blocks[i].data = data[start:c.ends[i]:c.ends[i]]
		start = c.ends[i]
		c.key = appendBlockKey(c.key[:0], blocks[i].partition, blocks[i].first)
		_ = b.Set(c.key, blocks[i].data, nil) // a batch in memory takes everything
	}
	c.blocks, c.ends, c.data = c.blocks[:0], c.ends[:0], reuse(c.data)
	return blocks
}

// reuse is scratch, empty, unless one large group has made it too large to keep.
func reuse(scratch []byte) []byte {
	if cap(scratch) > maxScratchBytes {
		return nil
	}
	return scratch[:0]
}

// apply hands the batch to Pebble without waiting for the sync. Pebble panics where it finds that the write-ahead log has
// failed before; here that is an error like the failure itself.
func apply(db *pebble.DB, b *pebble.Batch) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("write-ahead log: %v", r)
		}
	}()
	return db.ApplyNoSyncWait(b, pebble.Sync)
}
