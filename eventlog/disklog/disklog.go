// Package disklog is the embedded event log: blocks of events in the Pebble store that all embedded drivers share, made
// durable by group commit. One goroutine, the committer, takes the calls that wait, decides their order, drops
// duplicates and writes one batch for all; while that is being synced it prepares the next. A second one acknowledges,
// strictly in that order. See docs/adr/0001-event-log-in-pebble.md and docs/formats/eventlog.md.
//
// It never acknowledges what a crash could undo, and never looks into a payload.
package disklog

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/internal/disk"
)

// Options of New. The zero value is usual.
type Options struct {
	// Horizon is how long an event's id is remembered. Defaults to eventlog.DefaultHorizon. It may be changed between
	// one New and the next; ids that were forgotten by then stay so.
	Horizon time.Duration
	// TailBytes bounds the memory for the newest records, which readers at the head take from there. Defaults to 32 MiB.
	TailBytes int
	// FilterBytes bounds the memory of the filter that tells new ids from known ones without a look at the disk: 2
	// bytes for each id of the horizon; with less memory it is slower, not wrong. Defaults to 64 MiB.
	FilterBytes int
}

const (
	defaultTailBytes   = 32 << 20
	defaultFilterBytes = 64 << 20

	maxWaitingCalls = 1024 // beyond those under way; further ones wait for a place
)

var errClosed = freshet.Errorf(freshet.Unavailable, "the event log is closed")

// Log implements eventlog.Driver.
type Log struct {
	disk       *disk.DB
	partitions [freshet.Partitions]partition
	groups     atomic.Uint64

	calls     chan *call
	committed chan *group   // unbuffered: at most one group is prepared while another is synced
	closing   chan struct{} // closed when no call is taken any more
	stopped   chan struct{} // closed when every call that was taken has got its answer
	closeOnce sync.Once
	running   sync.WaitGroup

	committer    committer
	acknowledger acknowledger
}

var (
	_ eventlog.Driver         = (*Log)(nil)
	_ eventlog.GroupCommitter = (*Log)(nil)
	_ eventlog.Selector       = (*Log)(nil)
	_ eventlog.Sizer          = (*Log)(nil)
)

// New opens the log in db. There must be one Log of a DB at a time.
// It starts the goroutines of the group commit and one that reads the ids of the past; Close ends them, and so does the end of db.
func New(db *disk.DB, o *Options) (*Log, error) {
	if o == nil {
		o = &Options{}
	}
	l := &Log{
		disk:      db,
		calls:     make(chan *call, maxWaitingCalls),
		committed: make(chan *group),
		closing:   make(chan struct{}),
		stopped:   make(chan struct{}),
	}
	l.acknowledger = acknowledger{log: l, tailBytes: cmp.Or(o.TailBytes, defaultTailBytes)}
	l.committer = committer{log: l}
	if err := l.recover(); err != nil {
		return nil, err
	}
	ids, err := openIDs(db, cmp.Or(o.Horizon, eventlog.DefaultHorizon), cmp.Or(o.FilterBytes, defaultFilterBytes))
	if err != nil {
		return nil, err
	}
	l.committer.ids = ids
	l.running.Go(func() { ids.scan(l.closing) })
	l.running.Go(l.committer.run)
	l.running.Go(l.acknowledger.run)
	db.BeforeClose(l.end)
	return l, nil
}

// recover reads where each partition begins and ends: its first and its last block say all.
func (l *Log) recover() error {
	for i := range l.partitions {
		if err := l.recoverPartition(freshet.Partition(i)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) recoverPartition(number freshet.Partition) error {
	p := &l.partitions[number]
	p.start.Store(1)
	it, err := l.disk.Pebble().NewIter(&pebble.IterOptions{LowerBound: blockKey(number, 0), UpperBound: blockKey(number+1, 0)})
	if err != nil {
		return partitionError(number, err)
	}
	defer it.Close()
	if !it.First() {
		if err := it.Error(); err != nil {
			return partitionError(number, err)
		}
		return nil
	}
	start, err := blockKeyOffset(it.Key())
	if err != nil {
		return err
	}
	it.Last()
	if err := it.Error(); err != nil {
		return partitionError(number, err)
	}
	head, maxEventTime, err := readBlockEnd(it, number)
	if err != nil {
		return err
	}
	p.assigned, p.maxEventTime = head, maxEventTime
	p.start.Store(uint64(start))
	p.head.Store(uint64(head))
	return nil
}

func readBlockEnd(it *pebble.Iterator, p freshet.Partition) (freshet.Offset, freshet.Timestamp, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return 0, 0, freshet.Errorf(freshet.Internal, "event log: partition %d: %w", p, err)
	}
	first, err := blockKeyOffset(it.Key())
	if err != nil {
		return 0, 0, err
	}
	count, maxEventTime, err := blockEnd(value)
	if err != nil {
		return 0, 0, freshet.Errorf("", "event log: partition %d, block at offset %d: %w", p, first, err)
	}
	return first + freshet.Offset(count) - 1, maxEventTime, nil
}

// Head implements eventlog.Driver.
func (l *Log) Head(partition freshet.Partition) freshet.Offset {
	return freshet.Offset(l.partitions[partition].head.Load())
}

// Groups is the number of groups made durable, one sync each, since New.
func (l *Log) Groups() uint64 { return l.groups.Load() }

// Close implements eventlog.Driver. Calls that the committer has taken get their answer first.
func (l *Log) Close() error {
	l.end()
	return nil
}

// end closes the log and waits until nothing of it runs any more.
func (l *Log) end() {
	l.stop()
	l.running.Wait()
}

// stop lets no further call in and ends those that wait.
func (l *Log) stop() { l.closeOnce.Do(func() { close(l.closing) }) }
