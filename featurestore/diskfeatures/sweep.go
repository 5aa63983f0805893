package diskfeatures

import (
	"context"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
	"github.com/freshet-ml/freshet"
)

// scanBytes is how much data a Scan takes at most, but for one row.
const scanBytes = 1 << 20

func (s *Store) Scan(ctx context.Context, dst []freshet.Row, p freshet.Partition, view freshet.ViewID, from freshet.Key, limit int) ([]freshet.Row, error) {
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	part := &s.partitions[p]
	part.mu.RLock()
	closed := part.closed
	part.mu.RUnlock()
	if closed {
		return dst, errClosed
	}
	lower := appendRowKey(nil, p, rowKey{view: view})
	prefix := len(lower)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: append(lower, from...), UpperBound: after(lower[:prefix])})
	if err != nil {
		return dst, err
	}
	defer it.Close()
	bytes := 0
	for ok := it.First(); ok && limit > 0 && bytes < scanBytes; ok = it.Next() {
		r := freshet.Row{View: view, Key: freshet.Key(it.Key()[prefix:])}
		if err := decodeRow(it.Value(), &r); err != nil {
			return dst, err
		}
		dst = append(dst, r)
		bytes += len(r.Data)
		limit--
	}
	return dst, it.Error()
}

// after is the first key behind all that begin with prefix, nil if there is none.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			next := append([]byte(nil), prefix[:i+1]...)
			next[i]++
			return next
		}
	}
	return nil
}

// Sweep writes to disk at once: what it may touch is on disk, the same as in memory. Under the lock, so that nothing
// comes between the look at a row and its end.
func (s *Store) Sweep(_ context.Context, p freshet.Partition, epoch freshet.Epoch, at freshet.Timestamp, rows []freshet.Row) (swept int, err error) {
	removed, err := s.removedOf(p)
	if err != nil {
		return 0, err
	}
	part := &s.partitions[p]
	part.mu.Lock()
	defer part.mu.Unlock()
	if err := part.own(epoch); err != nil {
		return 0, err
	}
	batch := s.db.NewBatch()
	defer batch.Close()
	fit := rows[:0:0]
	moments := map[freshet.ViewID]freshet.Timestamp{}
	var key, value []byte
	for _, r := range rows {
		if yes, err := s.unchanged(p, part, r); err != nil || !yes {
			if err != nil {
				return 0, err
			}
			continue
		}
		fit = append(fit, r)
		key = appendRowKey(key[:0], p, rowKey{r.View, r.Key})
		if r.Data != nil {
			value = appendRow(value[:0], r.Offset, r.Data)
			err = batch.Set(key, value, nil)
		} else {
			moments[r.View] = max(removed[r.View], at)
			err = batch.Delete(key, nil)
		}
		if err != nil {
			return 0, err
		}
	}
	for v, moment := range moments {
		if err := batch.Set(removedKey(p, v), binary.AppendUvarint(nil, uint64(moment)), nil); err != nil {
			return 0, err
		}
	}
	if len(fit) == 0 {
		return 0, nil
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		return 0, err
	}
	for v, moment := range moments {
		part.removed[v] = moment
	}
	part.evictions++ // whoever has read one of them from disk does not bring it back
	for _, r := range fit {
		if _, ok := part.rows[rowKey{r.View, r.Key}]; ok {
			part.put(r)
		}
	}
	return len(fit), nil
}

// unchanged tells whether the stored row is on disk as it is, with the offset of r.
func (s *Store) unchanged(p freshet.Partition, part *partition, r freshet.Row) (bool, error) {
	if hot, ok := part.rows[rowKey{r.View, r.Key}]; ok {
		return !hot.dirty && hot.data != nil && hot.offset == r.Offset, nil
	}
	now := freshet.Row{View: r.View, Key: r.Key}
	if err := s.read(p, &now); err != nil {
		return false, err
	}
	return now.Data != nil && now.Offset == r.Offset, nil
}

func (s *Store) Removed(p freshet.Partition, view freshet.ViewID) (freshet.Timestamp, error) {
	part := &s.partitions[p]
	part.mu.RLock()
	at, known := part.removed[view], part.removed != nil
	part.mu.RUnlock()
	if known {
		return at, nil
	}
	removed, err := s.removedOf(p)
	if err != nil {
		return 0, err
	}
	part.mu.RLock()
	defer part.mu.RUnlock()
	return removed[view], nil
}

// removedOf reads the moments of all views when they are first needed. Later they change in memory and on disk together.
func (s *Store) removedOf(p freshet.Partition) (map[freshet.ViewID]freshet.Timestamp, error) {
	part := &s.partitions[p]
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.removed != nil {
		return part.removed, nil
	}
	if part.closed {
		return nil, errClosed
	}
	prefix := checkpointKey(p)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: append(checkpointKey(p), 0), UpperBound: after(prefix)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	removed := map[freshet.ViewID]freshet.Timestamp{}
	for ok := it.First(); ok; ok = it.Next() {
		id := it.Key()[len(prefix):]
		if len(id) != 8 {
			continue // of something else that belongs to the checkpoint
		}
		at, n := binary.Uvarint(it.Value())
		if n <= 0 {
			return nil, freshet.Errorf(freshet.Internal, "partition %d: damaged moment of a sweep: % x: % x", p, it.Key(), it.Value())
		}
		removed[freshet.ViewID(binary.BigEndian.Uint64(id))] = freshet.Timestamp(at)
	}
	if err := it.Error(); err != nil {
		return nil, err
	}
	part.removed = removed
	return removed, nil
}
