package eventlog

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
)

// DefaultHorizon is how long an event's id is remembered where nothing else is configured.
const DefaultHorizon = 24 * time.Hour

// Log is an event log over any Driver: it validates what goes in and counts. Its methods may be called concurrently.
type Log struct {
	d          Driver
	calls      atomic.Uint64
	appended   atomic.Uint64
	duplicates atomic.Uint64
}

// New makes a Log of d. Closing the Log closes d.
func New(d Driver) *Log { return &Log{d: d} }

// Append puts the entries at the end of their partitions, all or none, and returns when they are durable: what became of
// each, in their order. Returns InvalidArgument naming the field if an entry breaks the limits of validate.go, and
// Unavailable when the log is closed. If ctx ends first its error is returned, and the entries may or may not be in the
// log: appending them again is safe within the dedupe horizon. The entries' contents must not be changed afterwards,
// whatever Append returned.
func (l *Log) Append(ctx context.Context, entries []Entry) ([]Appended, error) {
	if err := validate(entries); err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, nil
	}
	out, err := l.d.Append(ctx, entries)
	if err != nil {
		return nil, err
	}
	l.count(out)
	return out, nil
}

func (l *Log) count(out []Appended) {
	var duplicates uint64
	for i := range out {
		if out[i].Duplicate {
			duplicates++
		}
	}
	l.calls.Add(1)
	l.duplicates.Add(duplicates)
	l.appended.Add(uint64(len(out)) - duplicates)
}

// Read appends to dst the durable records of partition from offset on, in order, and returns dst unchanged if there are
// none. It reads at most limit of them, and fewer where they are large: Head says whether more are there. Offsets below 1
// are 1. Returns ErrTrimmed, with code NotFound, if the log no longer has that one.
func (l *Log) Read(ctx context.Context, dst []Record, partition freshet.Partition, from freshet.Offset, limit int) ([]Record, error) {
	if err := checkPartition(partition); err != nil {
		return dst, err
	}
	if limit <= 0 {
		return dst, nil
	}
	return l.d.Read(ctx, dst, partition, max(from, 1), limit)
}

// Trim forgets the oldest records of partition, at or before through: as many as the driver can, never the last one.
// Whoever still needs them must have copied them before.
func (l *Log) Trim(ctx context.Context, partition freshet.Partition, through freshet.Offset) error {
	if err := checkPartition(partition); err != nil {
		return err
	}
	return l.d.Trim(ctx, partition, through)
}

// Start is the offset of the first record of partition that the log still has; 1 if it has none.
func (l *Log) Start(partition freshet.Partition) freshet.Offset {
	if checkPartition(partition) != nil {
		return 1
	}
	return l.d.Start(partition)
}

// Head is the offset of the last durable record of partition, 0 if it is empty.
func (l *Log) Head(partition freshet.Partition) freshet.Offset {
	if checkPartition(partition) != nil {
		return 0
	}
	return l.d.Head(partition)
}

// Wait returns when Head(partition) ≥ offset, with ctx's error when ctx ends, or with Unavailable when the log is closed.
func (l *Log) Wait(ctx context.Context, partition freshet.Partition, offset freshet.Offset) error {
	if err := checkPartition(partition); err != nil {
		return err
	}
	return l.d.Wait(ctx, partition, offset)
}

// Close ends all waiting calls with an Unavailable error. Closing twice is no error.
func (l *Log) Close() error { return l.d.Close() }
