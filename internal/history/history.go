// Package history is a kit: the event log with all its past. What the log no longer has is read from the offline store, in
// the same order and through the same calls, so that a reader does not see where one ends and the other begins. It
// stores nothing and moves nothing.
package history

import (
	"context"
	"errors"
	"iter"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/offlinestore"
)

// Log is an event log whose past goes on in an offline store. Its methods may be called concurrently.
type Log struct {
	*eventlog.Log
	offline *offlinestore.Store
}

// New returns a Log over log and the store that its old records are moved to, which has them before the log trims them.
func New(log *eventlog.Log, offline *offlinestore.Store) *Log {
	return &Log{Log: log, offline: offline}
}

// Read is that of eventlog.Log, without a record that has been trimmed.
func (l *Log) Read(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, limit int) ([]eventlog.Record, error) {
	out, err := l.Log.Read(ctx, dst, partition, from, limit)
	if !errors.Is(err, eventlog.ErrTrimmed) {
		return out, err
	}
	old, offlineErr := l.offline.Read(ctx, dst, partition, from, limit)
	if offlineErr != nil {
		return dst, offlineErr
	}
	if len(old) == len(dst) {
		return dst, missing(partition, from, err)
	}
	return old, nil
}

// Pick is that of eventlog.Log, without a record that has been trimmed.
func (l *Log) Pick(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, n int, want eventlog.Want) (out []eventlog.Record, next freshet.Offset, err error) {
	out, next, err = l.Log.Pick(ctx, dst, partition, from, n, want)
	if !errors.Is(err, eventlog.ErrTrimmed) {
		return out, next, err
	}
	old, err := l.Read(ctx, dst, partition, from, n)
	if err != nil || len(old) == len(dst) {
		return dst, from, err
	}
	return want.Keep(old, len(dst)), old[len(old)-1].Offset + 1, nil
}

// missing is the error for a record that was trimmed and that the offline store does not have either.
func missing(partition freshet.Partition, from freshet.Offset, trimmed error) error {
	return freshet.Errorf(freshet.Internal, "the offline store does not have partition %d from offset %d on; put its files back: %w", partition, from, trimmed)
}

// scanRecords is how many records a Scan reads at a time.
const scanRecords = 1024

// Scan is that of eventlog.Log, beginning in the offline store if that is where the first records are.
func (l *Log) Scan(ctx context.Context, partition freshet.Partition, s eventlog.Scan) iter.Seq2[*eventlog.Record, error] {
	return func(yield func(*eventlog.Record, error) bool) {
		s.From = max(s.From, 1)
		for {
			if start := l.Start(partition); s.From < start {
				next, more := l.scanOffline(ctx, partition, s, start, yield)
				if !more {
					return
				}
				s.From = next
				continue
			}
			trimmed := false
			for r, err := range l.Log.Scan(ctx, partition, s) {
				if trimmed = errors.Is(err, eventlog.ErrTrimmed); trimmed {
					break // since the look at its start; what was read before lies before s.From
				}
				if !yield(r, err) || err != nil {
					return
				}
				s.From = r.Offset + 1
			}
			if !trimmed {
				return
			}
		}
	}
}

// scanOffline gives the records before end, perhaps some after it, and where to go on; more is false when it is over.
func (l *Log) scanOffline(ctx context.Context, partition freshet.Partition, s eventlog.Scan, end freshet.Offset, yield func(*eventlog.Record, error) bool) (next freshet.Offset, more bool) {
	fail := func(err error) (freshet.Offset, bool) {
		yield(nil, err)
		return 0, false
	}
	c, err := l.offline.Open(ctx, partition, s)
	if err != nil {
		return fail(err)
	}
	defer c.Close()
	if through := l.offline.Through(partition); through+1 < end {
		return fail(missing(partition, through+1, eventlog.Trimmed(partition, through+1, end)))
	}
	var records []eventlog.Record
	for c.Offset() < end {
		if records, err = c.Next(ctx, records[:0], scanRecords); err != nil {
			return fail(err)
		}
		for i := range records {
			if !yield(&records[i], nil) {
				return 0, false
			}
		}
	}
	return c.Offset(), true
}
