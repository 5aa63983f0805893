package disklog

import (
	"context"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/freshet-ml/freshet"
)

// partition is one lane of the log.
type partition struct {
	// Only the committer touches these: they run ahead of what is durable.
	assigned     freshet.Offset
	maxEventTime freshet.Timestamp

	head  atomic.Uint64 // the last durable offset
	start atomic.Uint64 // the first that has not been trimmed, of a block
	trims sync.Mutex    // held while trimming

	mu      sync.Mutex
	changed chan struct{} // closed when head rises; nil while nobody waits
	tail    []block       // the newest blocks, without a gap, the last one ending at head
}

// block is an encoded block that is in Pebble as well. Its data is not changed any more.
type block struct {
	first freshet.Offset
	count int
	data  []byte
}

func (b block) last() freshet.Offset { return b.first + freshet.Offset(b.count) - 1 }

// publish makes a block that has become durable visible: readers see it and those who wait for it go on.
func (p *partition) publish(b block) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tail = append(p.tail, b)
	p.head.Store(uint64(b.last()))
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// evict drops the oldest block of the tail; there must be one.
func (p *partition) evict() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tail[0] = block{} // lets go of its bytes
	p.tail = p.tail[1:]
	if len(p.tail) == 0 {
		p.tail = nil
	}
}

// appendTail appends to dst the blocks that hold the offsets from … from+limit−1, as far as they are there. It returns
// false if the first of them is no longer in memory.
func (p *partition) appendTail(dst []block, from freshet.Offset, limit int) ([]block, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tail) == 0 || from < p.tail[0].first {
		return dst, false
	}
	i := sort.Search(len(p.tail), func(i int) bool { return p.tail[i].last() >= from })
	end := i
	for end < len(p.tail) && p.tail[end].first-from < freshet.Offset(limit) || end == i && end < len(p.tail) {
		end++
	}
	return append(slices.Grow(dst, end-i), p.tail[i:end]...), true
}

// Wait implements eventlog.Driver.
func (l *Log) Wait(ctx context.Context, partition freshet.Partition, offset freshet.Offset) error {
	p := &l.partitions[partition]
	for {
		select {
		case <-l.closing:
			return errClosed
		default:
		}
		if freshet.Offset(p.head.Load()) >= offset {
			return nil
		}
		changed := p.changedSince(offset)
		if changed == nil {
			continue
		}
		select {
		case <-changed:
		case <-l.closing:
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// changedSince is nil if head has reached offset, otherwise closed when head rises.
func (p *partition) changedSince(offset freshet.Offset) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if freshet.Offset(p.head.Load()) >= offset {
		return nil
	}
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}
