package diskfeatures

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
)

// Drop deletes the rows of a view as a range: it costs the same however many there are.
func (s *Store) Drop(_ context.Context, p freshet.Partition, epoch freshet.Epoch, keep []freshet.ViewID) error {
	// Read before the lock: the owner, who is here, is the only one who adds rows.
	views, err := s.stored(p)
	if err != nil {
		return err
	}
	removed, err := s.removedOf(p)
	if err != nil {
		return err
	}
	part := &s.partitions[p]
	part.mu.Lock()
	defer part.mu.Unlock()
	if err := part.own(epoch); err != nil {
		return err
	}
	gone := func(v freshet.ViewID) bool { return !slices.Contains(keep, v) }
	batch := s.db.NewBatch()
	defer batch.Close()
	for _, v := range views {
		if gone(v) {
			from, to := rowsOf(p, v)
			if err := batch.DeleteRange(from, to, nil); err != nil {
				return err
			}
		}
	}
	for v := range removed {
		if gone(v) {
			if err := batch.Delete(removedKey(p, v), nil); err != nil {
				return err
			}
		}
	}
	// Together with the rows: a checkpoint that still named them would have a view come back empty and look whole.
	saved := part.saved.Without(keep)
	if err := setCheckpoint(batch, p, checkpoint{epoch, saved}); err != nil {
		return err
	}
	// Under the lock, so that no sweep puts a row back that it has read before.
	if err := batch.Commit(pebble.NoSync); err != nil {
		return err
	}
	part.saved = saved
	maps.DeleteFunc(part.removed, func(v freshet.ViewID, _ freshet.Timestamp) bool { return gone(v) })
	part.dirty = slices.DeleteFunc(part.dirty, func(d dirtyRow) bool { return gone(d.view) })
	for k, hot := range part.rows {
		if gone(k.view) {
			part.drop(k, hot)
		}
	}
	maps.DeleteFunc(part.whole, func(v freshet.ViewID, _ bool) bool { return gone(v) })
	part.evictions++ // also for rows that somebody has just read from disk
	return nil
}

// stored are the views that have rows of partition on disk: a seek each.
func (s *Store) stored(p freshet.Partition) (views []freshet.ViewID, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{rowPrefix, byte(p)}, UpperBound: []byte{rowPrefix, byte(p) + 1}})
	if err != nil {
		return nil, err
	}
	for ok := it.First(); ok; {
		v, whole := viewOf(it.Key())
		if !whole {
			err := freshet.Errorf(freshet.Internal, "damaged row key % x", it.Key())
			return nil, errors.Join(err, it.Close())
		}
		views = append(views, v)
		_, next := rowsOf(p, v)
		ok = it.SeekGE(next)
	}
	return views, it.Close()
}
