// Package memlog is an event log in memory: for tests, for simulation, and for a server that may forget everything when
// it stops. It keeps all records until they are trimmed and starts no goroutine, so it may be used inside a testing/synctest bubble. It never
// writes to disk.
package memlog

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// Options of New. The zero value is usual.
type Options struct {
	Horizon time.Duration // how long an event's id is remembered. Defaults to eventlog.DefaultHorizon
}

// maxReadBytes of payload end a Read, as in a driver that must bound its memory.
const maxReadBytes = 4 << 20

var errClosed = freshet.Errorf(freshet.Unavailable, "the event log is closed")

// Log implements eventlog.Driver.
type Log struct {
	mu         sync.Mutex
	partitions [freshet.Partitions]partition
	ids        ids
	groups     uint64
	closed     bool
}

type partition struct {
	records      []eventlog.Record // record i has offset trimmed+i+1
	trimmed      freshet.Offset    // the last one that was
	maxEventTime freshet.Timestamp
	changed      chan struct{} // closed at the next append or at Close; nil while nobody waits
}

var (
	_ eventlog.Driver         = (*Log)(nil)
	_ eventlog.GroupCommitter = (*Log)(nil)
)

// New makes an empty log.
func New(o *Options) *Log {
	if o == nil {
		o = &Options{}
	}
	return &Log{ids: newIDs(cmp.Or(o.Horizon, eventlog.DefaultHorizon))}
}

// Append implements eventlog.Driver.
func (l *Log) Append(ctx context.Context, entries []eventlog.Entry) ([]eventlog.Appended, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	out := make([]eventlog.Appended, len(entries))
	for i, e := range entries {
		out[i] = l.append(e)
	}
	l.groups++
	return out, nil
}

func (l *Log) append(e eventlog.Entry) eventlog.Appended {
	if l.ids.known(e) {
		return eventlog.Appended{Duplicate: true, Places: l.heads(e.Entities)}
	}
	l.ids.add(e)
	places := make([]freshet.Place, len(e.Entities))
	for i, entity := range e.Entities {
		p := freshet.PartitionOf(entity.Key)
		places[i] = freshet.Place{Partition: p, Offset: l.partitions[p].append(e.Event, entity)}
	}
	return eventlog.Appended{Places: places}
}

// heads are places that cover everything in the entities' partitions, the accepted event included.
func (l *Log) heads(entities []freshet.Entity) []freshet.Place {
	places := make([]freshet.Place, len(entities))
	for i, entity := range entities {
		p := freshet.PartitionOf(entity.Key)
		places[i] = freshet.Place{Partition: p, Offset: l.partitions[p].head()}
	}
	return places
}

func (p *partition) append(e freshet.Event, entity freshet.Entity) freshet.Offset {
	p.records = append(p.records, eventlog.Record{
		Event: e, Entity: entity, Offset: p.head() + 1, MaxEventTime: p.maxEventTime,
	})
	p.maxEventTime = max(p.maxEventTime, e.EventTime)
	p.wake()
	return p.head()
}

func (p *partition) head() freshet.Offset { return p.trimmed + freshet.Offset(len(p.records)) }

func (p *partition) wake() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// Read implements eventlog.Driver.
func (l *Log) Read(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, limit int) ([]eventlog.Record, error) {
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return dst, errClosed
	}
	p := &l.partitions[partition]
	if from = max(from, 1); from <= p.trimmed {
		return dst, eventlog.Trimmed(partition, from, p.trimmed+1)
	}
	read := 0
	for o := from; o <= p.head() && limit > 0 && read < maxReadBytes; o++ {
		r := p.records[o-p.trimmed-1]
		r.Event.Payload = bytes.Clone(r.Event.Payload)
		dst = append(dst, r)
		read += len(r.Event.Payload)
		limit--
	}
	return dst, nil
}

// Trim implements eventlog.Driver.
func (l *Log) Trim(ctx context.Context, partition freshet.Partition, through freshet.Offset) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	p := &l.partitions[partition]
	if len(p.records) == 0 {
		return nil
	}
	through = min(through, p.head()-1)
	if through <= p.trimmed {
		return nil
	}
	p.records = slices.Clone(p.records[through-p.trimmed:]) // lets go of the memory of the others
	p.trimmed = through
	return nil
}

// Start implements eventlog.Driver.
func (l *Log) Start(partition freshet.Partition) freshet.Offset {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.partitions[partition].trimmed + 1
}

// Head implements eventlog.Driver.
func (l *Log) Head(partition freshet.Partition) freshet.Offset {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.partitions[partition].head()
}

// Groups is the number of calls of Append: each is made at once.
func (l *Log) Groups() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.groups
}

// Wait implements eventlog.Driver.
func (l *Log) Wait(ctx context.Context, partition freshet.Partition, offset freshet.Offset) error {
	for {
		changed, err := l.changed(partition, offset)
		if err != nil || changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// changed is nil if offset has been reached, otherwise closed at the next append to the partition.
func (l *Log) changed(partition freshet.Partition, offset freshet.Offset) (<-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.partitions[partition]
	if l.closed {
		return nil, errClosed
	}
	if p.head() >= offset {
		return nil, nil
	}
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed, nil
}

// Close implements eventlog.Driver.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for i := range l.partitions {
		l.partitions[i].wake()
	}
	return nil
}
