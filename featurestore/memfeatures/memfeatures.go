// Package memfeatures keeps feature rows in memory. Checkpoints are remembered as well, so that a new owner starts where
// a real store would; nothing outlives the process. It is for tests and simulations.
package memfeatures

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/internal/progress"
)

// Store implements featurestore.Driver.
type Store struct {
	partitions [freshet.Partitions]partition
}

type partition struct {
	mu      sync.Mutex
	closed  bool
	epoch   freshet.Epoch
	applied progress.Mark
	rows    map[rowKey]freshet.Row
	durable map[rowKey]freshet.Row // rows as of the checkpoint
	saved   featurestore.Saved     // the checkpoint
	removed map[freshet.ViewID]freshet.Timestamp
}

type rowKey struct {
	view freshet.ViewID
	key  freshet.Key
}

var _ featurestore.Driver = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	s := &Store{}
	for i := range s.partitions {
		s.partitions[i].rows = map[rowKey]freshet.Row{}
		s.partitions[i].removed = map[freshet.ViewID]freshet.Timestamp{}
	}
	return s
}

var errClosed = freshet.Errorf(freshet.Unavailable, "the feature store is closed")

func (s *Store) Acquire(_ context.Context, p freshet.Partition, views []freshet.ViewID) (featurestore.Ownership, error) {
	part := &s.partitions[p]
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.closed {
		return featurestore.Ownership{}, errClosed
	}
	part.epoch++
	part.rows = maps.Clone(part.durable)
	if part.rows == nil {
		part.rows = map[rowKey]freshet.Row{}
	}
	start := part.saved.Start(views)
	part.applied.Reset(start)
	return featurestore.Ownership{Epoch: part.epoch, Checkpoint: start, Views: part.saved.Reach()}, nil
}

func (s *Store) Apply(_ context.Context, p freshet.Partition, epoch freshet.Epoch, through freshet.Offset, rows []freshet.Row) error {
	part := &s.partitions[p]
	part.mu.Lock()
	defer part.mu.Unlock()
	if err := part.own(epoch); err != nil {
		return err
	}
	for _, r := range rows {
		k := rowKey{r.View, r.Key}
		if r.Data == nil {
			delete(part.rows, k)
			continue
		}
		part.rows[k] = r
	}
	part.applied.Advance(through)
	return nil
}

func (s *Store) Checkpoint(_ context.Context, p freshet.Partition, epoch freshet.Epoch, views []freshet.ViewID, filled []featurestore.Filled) error {
	part := &s.partitions[p]
	part.mu.Lock()
	defer part.mu.Unlock()
	if err := part.own(epoch); err != nil {
		return err
	}
	part.durable = maps.Clone(part.rows)
	part.saved = featurestore.Saved{Through: part.applied.At(), Views: slices.Clone(views), Filled: slices.Clone(filled)}
	return nil
}

func (s *Store) Drop(_ context.Context, p freshet.Partition, epoch freshet.Epoch, keep []freshet.ViewID) error {
	part := &s.partitions[p]
	part.mu.Lock()
	defer part.mu.Unlock()
	if err := part.own(epoch); err != nil {
		return err
	}
	gone := func(k rowKey, _ freshet.Row) bool { return !slices.Contains(keep, k.view) }
	maps.DeleteFunc(part.rows, gone)
	maps.DeleteFunc(part.durable, gone)
	maps.DeleteFunc(part.removed, func(v freshet.ViewID, _ freshet.Timestamp) bool { return !slices.Contains(keep, v) })
	part.saved = part.saved.Without(keep)
	return nil
}

func (part *partition) own(epoch freshet.Epoch) error {
	if part.closed {
		return errClosed
	}
	if epoch != part.epoch {
		return freshet.Errorf(freshet.PreconditionFailed, "epoch %d is over, the partition is owned under %d", epoch, part.epoch)
	}
	return nil
}

func (s *Store) Get(_ context.Context, dst []freshet.Row, p freshet.Partition, key freshet.Key, views []freshet.ViewID) ([]freshet.Row, error) {
	part := &s.partitions[p]
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.closed {
		return dst, errClosed
	}
	for _, v := range views {
		r, ok := part.rows[rowKey{v, key}]
		if !ok {
			r = freshet.Row{View: v, Key: key}
		}
		dst = append(dst, r)
	}
	return dst, nil
}

func (s *Store) Scan(_ context.Context, dst []freshet.Row, p freshet.Partition, view freshet.ViewID, from freshet.Key, limit int) ([]freshet.Row, error) {
	part := &s.partitions[p]
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.closed {
		return dst, errClosed
	}
	var keys []freshet.Key
	for k := range part.durable {
		if k.view == view && k.key >= from {
			keys = append(keys, k.key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys[:min(len(keys), limit)] {
		dst = append(dst, part.durable[rowKey{view, key}])
	}
	return dst, nil
}

func (s *Store) Sweep(_ context.Context, p freshet.Partition, epoch freshet.Epoch, at freshet.Timestamp, rows []freshet.Row) (swept int, err error) {
	part := &s.partitions[p]
	part.mu.Lock()
	defer part.mu.Unlock()
	if err := part.own(epoch); err != nil {
		return 0, err
	}
	for _, r := range rows {
		k := rowKey{r.View, r.Key}
		now, ok := part.rows[k]
		saved, wasSaved := part.durable[k]
		if !ok || !wasSaved || now.Offset != r.Offset || saved.Offset != r.Offset {
			continue
		}
		swept++
		if r.Data == nil {
			delete(part.rows, k)
			delete(part.durable, k)
			part.removed[r.View] = max(part.removed[r.View], at)
			continue
		}
		part.rows[k], part.durable[k] = r, r
	}
	return swept, nil
}

func (s *Store) Removed(p freshet.Partition, view freshet.ViewID) (freshet.Timestamp, error) {
	part := &s.partitions[p]
	part.mu.Lock()
	defer part.mu.Unlock()
	return part.removed[view], nil
}

func (s *Store) Applied(p freshet.Partition) freshet.Offset { return s.partitions[p].applied.At() }

func (s *Store) Wait(ctx context.Context, p freshet.Partition, offset freshet.Offset) error {
	return s.partitions[p].applied.Wait(ctx, offset)
}

func (s *Store) Close() error {
	for i := range s.partitions {
		part := &s.partitions[i]
		part.mu.Lock()
		part.closed = true
		part.mu.Unlock()
		part.applied.Close()
	}
	return nil
}
