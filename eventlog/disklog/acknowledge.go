package disklog

import (
	"github.com/freshet-ml/freshet"
)

// acknowledger waits for each group's sync, in order, makes the group visible and answers its calls. It is one goroutine;
// nothing else touches its fields.
type acknowledger struct {
	log       *Log
	tailBytes int // that may be kept
	kept      int
	oldest    []evictable // one for each block of a tail, in the order in which they came
	failed    error
}

type evictable struct {
	partition freshet.Partition
	bytes     int
}

// blockOverhead is what a block in a tail costs besides its data.
const blockOverhead = 64

func (a *acknowledger) run() {
	defer close(a.log.stopped)
	for g := range a.log.committed {
		if err := a.sync(g); err != nil {
			a.fail(err)
		}
		if a.failed == nil {
			a.publish(g)
		}
		for _, c := range g.calls {
			c.finish(a.failed)
		}
	}
}

// sync waits until the group is durable. Once one group has failed none after it counts: a sync that succeeds after a
// failed one proves nothing.
func (a *acknowledger) sync(g *group) error {
	if a.failed != nil {
		return a.failed
	}
	if g.err != nil {
		return g.err
	}
	if g.batch == nil {
		return nil
	}
	if err := g.batch.SyncWait(); err != nil {
		return err
	}
	a.log.groups.Add(1)
	_ = g.batch.Close() // gives its memory back
	return nil
}

func (a *acknowledger) fail(err error) {
	if a.failed != nil {
		return
	}
	a.failed = freshet.Errorf(freshet.Internal, "event log: %w", err)
	a.log.stop()
	a.log.disk.Fail(a.failed)
}

func (a *acknowledger) publish(g *group) {
	for _, b := range g.blocks {
		a.log.partitions[b.partition].publish(b.block)
		size := len(b.data) + blockOverhead
		a.oldest = append(a.oldest, evictable{b.partition, size})
		a.kept += size
	}
	for a.kept > a.tailBytes {
		o := a.oldest[0]
		a.oldest = a.oldest[1:]
		a.log.partitions[o.partition].evict()
		a.kept -= o.bytes
	}
}
