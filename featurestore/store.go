package featurestore

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/freshet-ml/freshet"
)

// Store is the portable type in front of a Driver.
type Store struct {
	d                             Driver
	holds                         [freshet.Partitions]sync.RWMutex // held to take rows back: see Through
	applied, checkpoints, refused atomic.Uint64
}

// New returns a Store over d.
func New(d Driver) *Store { return &Store{d: d} }

// Stats are counts since the start.
type Stats struct {
	RowsApplied uint64
	Checkpoints uint64
	Refused     uint64 // writes under an epoch that is over
}

// Acquire makes the caller the owner of partition; see Driver.
func (s *Store) Acquire(ctx context.Context, partition freshet.Partition, views []freshet.ViewID) (Ownership, error) {
	if err := check(partition); err != nil {
		return Ownership{}, err
	}
	s.holds[partition].Lock()
	defer s.holds[partition].Unlock()
	o, err := s.d.Acquire(ctx, partition, views)
	if err != nil {
		return o, freshet.Errorf("", "acquire partition %d: %w", partition, err)
	}
	return o, nil
}

// Apply makes rows visible together with the offset through which they are up to date; see Driver. A row's offset must
// not lie behind through.
func (s *Store) Apply(ctx context.Context, partition freshet.Partition, epoch freshet.Epoch, through freshet.Offset, rows []freshet.Row) error {
	if err := check(partition); err != nil {
		return err
	}
	for i := range rows {
		if rows[i].Offset > through {
			return freshet.Errorf(freshet.InvalidArgument, "row %q of view %016x: offset %d is after %d, the offset it is applied with", rows[i].Key, rows[i].View, rows[i].Offset, through)
		}
	}
	if err := s.d.Apply(ctx, partition, epoch, through, rows); err != nil {
		s.count(err)
		return freshet.Errorf("", "apply to partition %d: %w", partition, err)
	}
	s.applied.Add(uint64(len(rows)))
	return nil
}

// Checkpoint makes what was applied to partition survive a restart; see Driver.
func (s *Store) Checkpoint(ctx context.Context, partition freshet.Partition, epoch freshet.Epoch, views []freshet.ViewID, filled []Filled) error {
	if err := s.d.Checkpoint(ctx, partition, epoch, views, filled); err != nil {
		s.count(err)
		return freshet.Errorf("", "checkpoint partition %d: %w", partition, err)
	}
	s.checkpoints.Add(1)
	return nil
}

// Drop removes the rows of all views but those of keep; see Driver.
func (s *Store) Drop(ctx context.Context, partition freshet.Partition, epoch freshet.Epoch, keep []freshet.ViewID) error {
	if err := check(partition); err != nil {
		return err
	}
	if err := s.d.Drop(ctx, partition, epoch, keep); err != nil {
		s.count(err)
		return freshet.Errorf("", "drop rows of partition %d: %w", partition, err)
	}
	return nil
}

func (s *Store) count(err error) {
	if freshet.CodeOf(err) == freshet.PreconditionFailed {
		s.refused.Add(1)
	}
}

// Get appends to dst the row of each view for the entity with key, with nil Data where there is none. All are read at
// one moment or later: what Wait has promised is in them.
func (s *Store) Get(ctx context.Context, dst []freshet.Row, key freshet.Key, views ...freshet.ViewID) ([]freshet.Row, error) {
	return s.d.Get(ctx, dst, freshet.PartitionOf(key), key, views)
}

// Scan appends to dst rows of view in partition from the key from on; see Driver.
func (s *Store) Scan(ctx context.Context, dst []freshet.Row, partition freshet.Partition, view freshet.ViewID, from freshet.Key, limit int) ([]freshet.Row, error) {
	if err := check(partition); err != nil {
		return dst, err
	}
	rows, err := s.d.Scan(ctx, dst, partition, view, from, limit)
	if err != nil {
		return dst, freshet.Errorf("", "scan partition %d: %w", partition, err)
	}
	return rows, nil
}

// Sweep puts rows that say the same at the moment at and later in the place of those that have not changed meanwhile; see
// Driver.
func (s *Store) Sweep(ctx context.Context, partition freshet.Partition, epoch freshet.Epoch, at freshet.Timestamp, rows []freshet.Row) (swept int, err error) {
	if err := check(partition); err != nil {
		return 0, err
	}
	if swept, err = s.d.Sweep(ctx, partition, epoch, at, rows); err != nil {
		s.count(err)
		return swept, freshet.Errorf("", "sweep partition %d: %w", partition, err)
	}
	return swept, nil
}

// Removed is the moment before which nothing is known about an entity with key that has no row in view, because a sweep
// may have removed it; 0 if none has. It is asked after Get.
func (s *Store) Removed(key freshet.Key, view freshet.ViewID) (freshet.Timestamp, error) {
	return s.d.Removed(freshet.PartitionOf(key), view)
}

// Applied is the offset through which the rows of partition are visible.
func (s *Store) Applied(partition freshet.Partition) freshet.Offset { return s.d.Applied(partition) }

// Wait returns when the rows of partition are visible through offset, or with ctx's error.
func (s *Store) Wait(ctx context.Context, partition freshet.Partition, offset freshet.Offset) error {
	if err := check(partition); err != nil {
		return err
	}
	return s.d.Wait(ctx, partition, offset)
}

// Through calls read when the rows of partition are visible through offset, and keeps them so until read returns: a new owner, who
// takes back what was not checkpointed, waits for it. So read must be short, and must not wait for rows of partition
// itself. Returns read's error, or Wait's, and then read was not called.
func (s *Store) Through(ctx context.Context, partition freshet.Partition, offset freshet.Offset, read func() error) error {
	for {
		if err := s.Wait(ctx, partition, offset); err != nil {
			return err
		}
		if done, err := s.through(partition, offset, read); done {
			return err
		}
	}
}

func (s *Store) through(partition freshet.Partition, offset freshet.Offset, read func() error) (done bool, err error) {
	s.holds[partition].RLock()
	defer s.holds[partition].RUnlock()
	if s.d.Applied(partition) < offset {
		return false, nil // taken back since they were waited for
	}
	return true, read()
}

// Stats counts what has happened since New.
func (s *Store) Stats() Stats {
	return Stats{RowsApplied: s.applied.Load(), Checkpoints: s.checkpoints.Load(), Refused: s.refused.Load()}
}

// Close closes the driver.
func (s *Store) Close() error { return s.d.Close() }

func check(partition freshet.Partition) error {
	if partition >= freshet.Partitions {
		return freshet.Errorf(freshet.InvalidArgument, "partition %d: there are 0 … %d", partition, freshet.Partitions-1)
	}
	return nil
}

// Saved is what a checkpoint says: what a driver's Acquire reads and its Drop changes.
type Saved struct {
	Through freshet.Offset
	Views   []freshet.ViewID // kept through it
	Filled  []Filled         // none of Views
}

// Clone is a copy that shares nothing with s.
func (s Saved) Clone() Saved {
	s.Views, s.Filled = slices.Clone(s.Views), slices.Clone(s.Filled)
	return s
}

// Equal tells whether both say the same, in the same order.
func (s Saved) Equal(t Saved) bool {
	return s.Through == t.Through && slices.Equal(s.Views, t.Views) && slices.Equal(s.Filled, t.Filled)
}

// Reach says for each view how far its rows go.
func (s Saved) Reach() map[freshet.ViewID]freshet.Offset {
	reach := make(map[freshet.ViewID]freshet.Offset, len(s.Views)+len(s.Filled))
	for _, f := range s.Filled {
		reach[f.View] = f.Through
	}
	for _, v := range s.Views {
		reach[v] = s.Through
	}
	return reach
}

// Start is the offset after which views must be replayed.
func (s Saved) Start(views []freshet.ViewID) freshet.Offset {
	start, reach := s.Through, s.Reach()
	for _, v := range views {
		start = min(start, reach[v])
	}
	return start
}

// Without is s after a Drop of all views but those of keep.
func (s Saved) Without(keep []freshet.ViewID) Saved {
	gone := func(v freshet.ViewID) bool { return !slices.Contains(keep, v) }
	s.Views = slices.DeleteFunc(slices.Clone(s.Views), gone)
	s.Filled = slices.DeleteFunc(slices.Clone(s.Filled), func(f Filled) bool { return gone(f.View) })
	return s
}
