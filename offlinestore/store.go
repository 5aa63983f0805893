package offlinestore

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// Store is an offline store over any Driver. Its methods may be called concurrently.
type Store struct {
	d      Driver
	lanes  [freshet.Partitions]lane
	stored atomic.Uint64
}

// lane is what is remembered of one partition.
type lane struct {
	appending sync.Mutex

	mu     sync.Mutex
	cursor Cursor // where the last Read ended, so that the next one goes on from there; nil if at no place worth keeping
}

// New makes a Store of d. Closing the Store closes d.
func New(d Driver) *Store { return &Store{d: d} }

// Append stores records of partition: those that are stored already are passed over, the others must follow them without
// a gap. A call that is repeated therefore changes nothing. Returns PreconditionFailed where records don't follow each
// other, and the error of the sequence; what came before is stored then, or at least as far as Through says.
func (s *Store) Append(ctx context.Context, partition freshet.Partition, records iter.Seq2[*eventlog.Record, error]) error {
	if err := checkPartition(partition); err != nil {
		return err
	}
	l := &s.lanes[partition]
	l.appending.Lock()
	defer l.appending.Unlock()
	before := s.d.Through(partition)
	err := s.d.Append(ctx, partition, following(ctx, partition, before, records))
	s.stored.Add(uint64(s.d.Through(partition) - before))
	return err
}

// following gives those records that come after through, and an error instead of one that leaves a gap.
func following(ctx context.Context, partition freshet.Partition, through freshet.Offset, records iter.Seq2[*eventlog.Record, error]) iter.Seq2[*eventlog.Record, error] {
	return func(yield func(*eventlog.Record, error) bool) {
		for r, err := range records {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if r.Offset <= through {
				continue
			}
			if r.Offset != through+1 {
				yield(nil, freshet.Errorf(freshet.PreconditionFailed,
					"offline store: partition %d: record at offset %d cannot follow %d", partition, r.Offset, through))
				return
			}
			through++
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Through is the offset of the last record of partition that is stored, 0 if there is none.
func (s *Store) Through(partition freshet.Partition) freshet.Offset {
	if checkPartition(partition) != nil {
		return 0
	}
	return s.d.Through(partition)
}

// Stored is how many records were stored since the Store was made.
func (s *Store) Stored() uint64 { return s.stored.Load() }

// Open gives a cursor over the records of partition that scan asks for. The caller closes it.
func (s *Store) Open(ctx context.Context, partition freshet.Partition, scan eventlog.Scan) (Cursor, error) {
	if err := checkPartition(partition); err != nil {
		return nil, err
	}
	scan.From = max(scan.From, 1)
	return s.d.Open(ctx, partition, scan)
}

// Read appends to dst the records of partition from offset on, in order, at most limit; dst unchanged if there are none. A
// call that goes on where the one before has ended costs no search.
func (s *Store) Read(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, limit int) ([]eventlog.Record, error) {
	if err := checkPartition(partition); err != nil {
		return dst, err
	}
	from = max(from, 1)
	if limit <= 0 || from > s.d.Through(partition) {
		return dst, nil
	}
	c, err := s.cursor(ctx, partition, from)
	if err != nil {
		return dst, err
	}
	out, err := c.Next(ctx, dst, limit)
	if err != nil {
		_ = c.Close() // err says more
		return dst, err
	}
	s.keep(partition, c)
	return out, nil
}

// cursor is the one that stands at from, or a new one.
func (s *Store) cursor(ctx context.Context, partition freshet.Partition, from freshet.Offset) (Cursor, error) {
	l := &s.lanes[partition]
	l.mu.Lock()
	if c := l.cursor; c != nil && c.Offset() == from {
		l.cursor = nil
		l.mu.Unlock()
		return c, nil
	}
	l.mu.Unlock()
	return s.d.Open(ctx, partition, eventlog.Scan{From: from})
}

// keep remembers c for the next read. At the end nobody goes on, and what c holds is freed.
func (s *Store) keep(partition freshet.Partition, c Cursor) {
	if c.Offset() <= s.d.Through(partition) {
		l := &s.lanes[partition]
		l.mu.Lock()
		c, l.cursor = l.cursor, c
		l.mu.Unlock()
	}
	if c != nil {
		_ = c.Close() // it has been read: nothing is lost
	}
}

// Close closes the driver. Closing twice is no error.
func (s *Store) Close() error {
	for i := range s.lanes {
		l := &s.lanes[i]
		l.mu.Lock()
		if l.cursor != nil {
			_ = l.cursor.Close() // as in keep
			l.cursor = nil
		}
		l.mu.Unlock()
	}
	return s.d.Close()
}

func checkPartition(p freshet.Partition) error {
	if int(p) >= freshet.Partitions {
		return freshet.Errorf(freshet.InvalidArgument, "partition %d: expected 0 to %d", p, freshet.Partitions-1)
	}
	return nil
}
