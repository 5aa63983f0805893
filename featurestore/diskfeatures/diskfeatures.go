// Package diskfeatures keeps feature rows in the embedded Pebble store, with the hot ones in memory in front: reads and
// writes touch memory, a checkpoint writes what has changed since the last. It never syncs by itself: rows are derived
// from the event log, whose own sync carries them along, and what a crash takes is replayed from the checkpoint.
//
// The format is docs/formats/featurestore.md.
package diskfeatures

import (
	"context"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/internal/progress"
)

// Options say how much memory the rows may take. The zero value is good.
type Options struct {
	// HotBytes bounds the rows kept in memory, keys and bookkeeping included. Rows changed since the last checkpoint count
	// and stay until it is taken: only with more of them than HotBytes there may be more. Defaults to 256 MB.
	HotBytes int64
}

// Store implements featurestore.Driver.
type Store struct {
	db         *pebble.DB
	hotBytes   int64 // for each partition
	partitions [freshet.Partitions]partition
}

type partition struct {
	applied progress.Mark

	mu        sync.RWMutex
	closed    bool
	epoch     freshet.Epoch
	saved     featurestore.Saved // the checkpoint; Through is earlier if replay had to start earlier
	rows      map[rowKey]*hotRow
	dirty     []dirtyRow                           // those that the last checkpoint does not have, each once
	bytes     int64                                // of rows
	evictions uint64                               // how often rows were dropped from memory: see Get
	removed   map[freshet.ViewID]freshet.Timestamp // nil: not read from disk yet
	// whole says of a view whether all its rows are in rows: one that began empty, none of whose rows was dropped since. What is
	// not in memory is not on disk either. A view that is not in it was not looked for on disk yet.
	whole map[freshet.ViewID]bool
}

type rowKey struct {
	view freshet.ViewID
	key  freshet.Key
}

// hotRow is a row in memory. It changes under the partition's lock; its data is never written to.
type hotRow struct {
	data   []byte // nil: known not to be there
	offset freshet.Offset
	dirty  bool // in the partition's list
}

type dirtyRow struct {
	rowKey
	*hotRow
}

var _ featurestore.Driver = (*Store)(nil)

// rowOverhead is what a row costs in memory beside its key and data when it costs most, its map having just grown: 75 bytes of
// map, 48 of hotRow, 5 of what the allocator rounds up.
const rowOverhead = 128

// maxDirtyKept bounds the list of dirty rows that is kept for the next checkpoint.
const maxDirtyKept = 8192

// New opens the rows in db. o may be nil.
func New(db *pebble.DB, o *Options) *Store {
	s := &Store{db: db, hotBytes: 256 << 20}
	if o != nil && o.HotBytes > 0 {
		s.hotBytes = o.HotBytes
	}
	s.hotBytes /= freshet.Partitions
	for i := range s.partitions {
		s.partitions[i].forget()
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
	saved, err := s.readCheckpoint(p)
	if err != nil {
		return featurestore.Ownership{}, err
	}
	saved.epoch++
	// Not synced: should the new epoch be lost in a crash, its owner is gone as well and has left nothing behind.
	if err := s.db.Set(checkpointKey(p), encodeCheckpoint(saved), pebble.NoSync); err != nil {
		return featurestore.Ownership{}, err
	}
	own := featurestore.Ownership{Epoch: saved.epoch, Checkpoint: saved.Start(views), Views: saved.Reach()}
	part.forget()
	part.epoch, part.saved = saved.epoch, saved.Saved
	part.saved.Through = own.Checkpoint
	part.applied.Reset(own.Checkpoint)
	return own, nil
}

// forget drops all rows from memory: a new owner replays them from the checkpoint.
func (part *partition) forget() {
	part.rows, part.dirty, part.bytes = map[rowKey]*hotRow{}, nil, 0
	part.whole = map[freshet.ViewID]bool{}
	part.evictions++
}

func (s *Store) readCheckpoint(p freshet.Partition) (checkpoint, error) {
	b, closer, err := s.db.Get(checkpointKey(p))
	if err == pebble.ErrNotFound {
		return checkpoint{}, nil
	}
	if err != nil {
		return checkpoint{}, err
	}
	defer closer.Close()
	c, err := decodeCheckpoint(b)
	if err != nil {
		return c, err
	}
	c.Filled, err = s.readFilled(p)
	return c, err
}

func (s *Store) readFilled(p freshet.Partition) ([]featurestore.Filled, error) {
	b, closer, err := s.db.Get(filledKey(p))
	if err == pebble.ErrNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return decodeFilled(b)
}

func (s *Store) Apply(_ context.Context, p freshet.Partition, epoch freshet.Epoch, through freshet.Offset, rows []freshet.Row) error {
	part := &s.partitions[p]
	part.mu.Lock()
	defer part.mu.Unlock()
	if err := part.own(epoch); err != nil {
		return err
	}
	for _, r := range rows {
		k, hot := part.put(r)
		if !hot.dirty {
			hot.dirty = true
			part.dirty = append(part.dirty, dirtyRow{k, hot})
		}
	}
	part.evict(s.hotBytes)
	part.applied.Advance(through)
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

// put puts r into memory, in the place of what is there of it. The key that it returns is the one to keep.
func (part *partition) put(r freshet.Row) (rowKey, *hotRow) {
	k := rowKey{r.View, r.Key}
	hot, ok := part.rows[k]
	if ok {
		part.bytes += int64(cap(r.Data) - cap(hot.data))
	} else {
		hot = &hotRow{}
		// A copy: the key of a row that an event has changed is a part of what was read of the event.
		k.key = freshet.Key(strings.Clone(string(k.key)))
		part.rows[k] = hot
		part.bytes += size(k, r.Data)
	}
	hot.data, hot.offset = r.Data, r.Offset
	return k, hot
}

func size(k rowKey, data []byte) int64 { return int64(len(k.key)+cap(data)) + rowOverhead }

func (s *Store) Checkpoint(_ context.Context, p freshet.Partition, epoch freshet.Epoch, views []freshet.ViewID, filled []featurestore.Filled) error {
	part := &s.partitions[p]
	part.mu.RLock()
	defer func() { part.mu.RUnlock() }()
	if err := part.own(epoch); err != nil {
		return err
	}
	next := featurestore.Saved{Through: part.applied.At(), Views: views, Filled: filled}
	if len(part.dirty) == 0 && next.Equal(part.saved) {
		return nil
	}
	batch := s.db.NewBatch()
	defer batch.Close()
	var key, value []byte
	for _, d := range part.dirty {
		key = appendRowKey(key[:0], p, d.rowKey)
		if d.data == nil {
			if err := batch.Delete(key, nil); err != nil {
				return err
			}
			continue
		}
		value = appendRow(value[:0], d.offset, d.data)
		if err := batch.Set(key, value, nil); err != nil {
			return err
		}
	}
	// Rows and offset in one batch: a restart finds both or neither.
	if err := setCheckpoint(batch, p, checkpoint{epoch, next}); err != nil {
		return err
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		return err
	}
	// The owner applies nothing meanwhile (see Driver), so what was dirty above is what is clean now.
	part.mu.RUnlock()
	part.settle(epoch, next, s.hotBytes)
	part.mu.RLock()
	return nil
}

// setCheckpoint writes what the checkpoint says. Filled views are rare: without any their key is not there.
func setCheckpoint(batch *pebble.Batch, p freshet.Partition, c checkpoint) error {
	if err := batch.Set(checkpointKey(p), encodeCheckpoint(c), nil); err != nil {
		return err
	}
	if len(c.Filled) == 0 {
		return batch.Delete(filledKey(p), nil)
	}
	return batch.Set(filledKey(p), encodeFilled(c.Filled), nil)
}

// settle notes that everything of the checkpoint is on its way to disk, and drops rows while there are too many. If somebody
// has acquired the partition since the checkpoint was written, he began with it, and what is dirty now is his: nothing is
// noted.
func (part *partition) settle(epoch freshet.Epoch, saved featurestore.Saved, hotBytes int64) {
	part.mu.Lock()
	defer part.mu.Unlock()
	if epoch != part.epoch {
		return
	}
	part.saved = saved.Clone()
	for _, d := range part.dirty {
		d.dirty = false
	}
	clear(part.dirty) // lets go of rows that are dropped
	part.dirty = part.dirty[:0]
	if cap(part.dirty) > maxDirtyKept {
		part.dirty = nil
	}
	part.evict(hotBytes)
}

// evict drops rows that the last checkpoint has while there are too many in memory. A map's order is as good as random:
// a hot row that is dropped comes back with its next read. Where most rows are dirty it would look at many for each that it
// drops, so it waits for the checkpoint.
func (part *partition) evict(hotBytes int64) {
	if part.bytes <= hotBytes || len(part.dirty) > len(part.rows)/2 {
		return
	}
	for k, hot := range part.rows {
		if part.bytes <= hotBytes*7/8 {
			return
		}
		if !hot.dirty {
			part.drop(k, hot)
		}
	}
}

func (part *partition) drop(k rowKey, hot *hotRow) {
	delete(part.rows, k)
	part.bytes -= size(k, hot.data)
	if hot.data != nil {
		part.whole[k.view] = false
	}
	part.evictions++
}

func (s *Store) Get(_ context.Context, dst []freshet.Row, p freshet.Partition, key freshet.Key, views []freshet.ViewID) ([]freshet.Row, error) {
	part := &s.partitions[p]
	start := len(dst)
	missing := 0
	part.mu.RLock()
	if part.closed {
		part.mu.RUnlock()
		return dst, errClosed
	}
	evictions := part.evictions
	for _, v := range views {
		r := freshet.Row{View: v, Key: key}
		if hot, ok := part.rows[rowKey{v, key}]; ok {
			r.Offset, r.Data = hot.offset, hot.data
		} else if !part.whole[v] {
			missing++
		}
		dst = append(dst, r)
	}
	if missing == 0 {
		part.mu.RUnlock()
		return dst, nil
	}
	// Still under the lock, so that rows found in memory and rows read from disk belong to one moment.
	found, err := s.find(p, part, dst[start:])
	part.mu.RUnlock()
	if err != nil {
		return dst[:start], err
	}
	part.remember(found, evictions, s.hotBytes)
	return dst, nil
}

// findings are what a Get has learned from the disk.
type findings struct {
	rows []freshet.Row
	none []freshet.ViewID // have no row at all
	some []freshet.ViewID
}

// find fills the rows that are not in memory from disk.
func (s *Store) find(p freshet.Partition, part *partition, rows []freshet.Row) (findings, error) {
	f := findings{rows: rows}
	for i := range rows {
		r := &rows[i]
		if _, ok := part.rows[rowKey{r.View, r.Key}]; ok || part.whole[r.View] {
			continue
		}
		if _, known := part.whole[r.View]; !known {
			some, err := s.anyRow(p, r.View)
			if err != nil {
				return f, err
			}
			if !some {
				f.none = append(f.none, r.View)
				continue
			}
			f.some = append(f.some, r.View)
		}
		if err := s.read(p, r); err != nil {
			return f, err
		}
	}
	return f, nil
}

// read fills r from disk and leaves it as it is if it is not there.
func (s *Store) read(p freshet.Partition, r *freshet.Row) error {
	var buf [64]byte
	b, closer, err := s.db.Get(appendRowKey(buf[:0], p, rowKey{r.View, r.Key}))
	if err == pebble.ErrNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	defer closer.Close()
	return decodeRow(b, r)
}

// anyRow tells whether a view has a row on disk.
func (s *Store) anyRow(p freshet.Partition, v freshet.ViewID) (bool, error) {
	lower, upper := rowsOf(p, v)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return false, err
	}
	some := it.First()
	return some, it.Close()
}

// remember keeps rows that were read from disk in memory, and that there are none: a title that nobody has played is
// asked for as often as the others. If rows were dropped since they were read, one of them may have been
// newer than what was read: then nothing is kept.
func (part *partition) remember(f findings, evictions uint64, hotBytes int64) {
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.closed || part.evictions != evictions {
		return
	}
	for _, v := range f.none {
		part.whole[v] = true
	}
	for _, v := range f.some {
		part.whole[v] = false
	}
	for _, r := range f.rows {
		if _, ok := part.rows[rowKey{r.View, r.Key}]; !ok && !part.whole[r.View] {
			part.put(r)
		}
	}
	part.evict(hotBytes)
}

func (s *Store) Applied(p freshet.Partition) freshet.Offset { return s.partitions[p].applied.At() }

func (s *Store) Wait(ctx context.Context, p freshet.Partition, offset freshet.Offset) error {
	return s.partitions[p].applied.Wait(ctx, offset)
}

// HotRows is how many rows are in memory, and their bytes.
func (s *Store) HotRows() (rows int, bytes int64) {
	for i := range s.partitions {
		part := &s.partitions[i]
		part.mu.RLock()
		rows += len(part.rows)
		bytes += part.bytes
		part.mu.RUnlock()
	}
	return rows, bytes
}

// Close forgets what is not checkpointed; the Pebble store stays open, it belongs to the caller.
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
