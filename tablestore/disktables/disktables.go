// Package disktables is the tablestore.Driver of the embedded store: one record for each table and entity key in the one
// Pebble store of the server. Pushed rows are derived from nothing, so each Put waits for a sync of the write-ahead log,
// which it shares with whoever waits at the same time. The package never looks at a clock and never removes a record: a
// tombstone and an expired row still say how new a row must be.
package disktables

import (
	"bytes"
	"context"
	"errors"
	"math/bits"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/zeebo/xxh3"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/tablestore"
)

// stripes is how many keys can be written at a time; a set of them is the bits of a uint64.
const stripes = 64

// Store is the driver.
type Store struct {
	disk    *disk.DB
	db      *pebble.DB
	gate    disk.Gate           // held while db is used, so that Close waits for that
	writing [stripes]sync.Mutex // by key: a Put reads before it writes
}

var _ tablestore.Driver = (*Store)(nil)

// New makes the driver. db must stay open until Close.
func New(db *disk.DB) *Store { return &Store{disk: db, db: db.Pebble()} }

// Put implements tablestore.Driver.
func (s *Store) Put(ctx context.Context, ties tablestore.Ties, rows []tablestore.Row) ([]bool, error) {
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	keys := make([][]byte, len(rows))
	for i := range rows {
		keys[i] = appendKey(nil, rows[i].Table, rows[i].Key)
	}
	b := s.db.NewIndexedBatch() // a later row of the same key sees the earlier one
	defer b.Close()
	stored, err := s.apply(b, ties, keys, rows)
	if err != nil {
		return nil, err
	}
	if err := s.sync(b); err != nil {
		return nil, err
	}
	return stored, nil
}

// apply compares and writes under the locks of all keys, and lets go of them before the sync: others may write the same
// keys while it is under way, and share the next.
func (s *Store) apply(b *pebble.Batch, ties tablestore.Ties, keys [][]byte, rows []tablestore.Row) ([]bool, error) {
	set := s.stripesOf(keys)
	s.lock(set)
	defer s.unlock(set)
	stored := make([]bool, len(rows))
	var value []byte
	for i := range rows {
		kept, found, err := get(b, keys[i])
		if err != nil {
			return nil, err
		}
		if found && !rows[i].Replaces(&kept, ties) {
			continue
		}
		value = appendRow(value[:0], &rows[i])
		if err := b.Set(keys[i], value, nil); err != nil {
			return nil, storeError(err)
		}
		stored[i] = true
	}
	if b.Empty() {
		return stored, nil
	}
	return stored, storeError(s.db.ApplyNoSyncWait(b, pebble.Sync))
}

// sync waits until the batch, and whatever was written before it, is on the disk. If nothing was written that is the row for
// whose sake nothing was: its own Put may still be waiting, and a crash would take both.
func (s *Store) sync(b *pebble.Batch) error {
	if b.Empty() {
		return storeError(s.db.LogData(nil, pebble.Sync))
	}
	if err := b.SyncWait(); err != nil {
		s.disk.Fail(err) // what is applied can be read already; after a restart it may be gone
		return storeError(err)
	}
	return nil
}

func (s *Store) stripesOf(keys [][]byte) (set uint64) {
	for _, key := range keys {
		set |= 1 << (xxh3.HashSeed(key, s.disk.Seed()) % stripes)
	}
	return set
}

// lock locks a set of stripes, always in the same order, so that two Puts never wait for each other.
func (s *Store) lock(set uint64) {
	for ; set != 0; set &= set - 1 {
		s.writing[bits.TrailingZeros64(set)].Lock()
	}
}

func (s *Store) unlock(set uint64) {
	for ; set != 0; set &= set - 1 {
		s.writing[bits.TrailingZeros64(set)].Unlock()
	}
}

// Get implements tablestore.Driver.
func (s *Store) Get(ctx context.Context, table freshet.TableName, key freshet.Key) (tablestore.Row, bool, error) {
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return tablestore.Row{}, false, err
	}
	defer s.gate.Leave()
	var stack [256]byte
	row, ok, err := get(s.db, appendKey(stack[:0], table, key))
	row.Table, row.Key = table, key
	return row, ok, err
}

// get reads the record at key from the store, or from a batch over it.
func get(from pebble.Reader, key []byte) (row tablestore.Row, ok bool, err error) {
	value, closer, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return row, false, nil
	}
	if err != nil {
		return row, false, storeError(err)
	}
	defer closer.Close()
	row, err = decodeRow(value)
	row.Data = bytes.Clone(row.Data)
	return row, err == nil, err
}

// Erase implements tablestore.Driver.
func (s *Store) Erase(ctx context.Context, tables []freshet.TableName, key freshet.Key) (int, error) {
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	keys := make([][]byte, len(tables))
	for i, t := range tables {
		keys[i] = appendKey(nil, t, key)
	}
	set := s.stripesOf(keys)
	s.lock(set)
	defer s.unlock(set)
	b := s.db.NewBatch()
	defer b.Close()
	n := 0
	for _, k := range keys {
		_, closer, err := s.db.Get(k)
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, storeError(err)
		}
		n++
		if err := errors.Join(closer.Close(), b.Delete(k, nil)); err != nil {
			return 0, storeError(err)
		}
	}
	if n == 0 {
		return 0, nil
	}
	return n, storeError(b.Commit(pebble.Sync))
}

// Close implements tablestore.Driver. The store below stays open.
func (s *Store) Close() error {
	s.gate.Close()
	return nil
}

// storeName is what the store is called in errors.
const storeName = "table store"

func storeError(err error) error {
	if err == nil {
		return nil
	}
	return freshet.Errorf(freshet.Internal, storeName+": %w", err)
}
