// Package diskoutbox is the outbox.Driver of the embedded store: the one Pebble store of the server. A message that is not durable yet is written before its job is acknowledged,
// in the same write-ahead log, so a crash cannot take it and leave the acknowledgement.
package diskoutbox

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/outbox"
)

// Store is the driver.
type Store struct {
	db   *pebble.DB
	gate disk.Gate // held while db is used, so that Close waits for that
}

var _ outbox.Driver = (*Store)(nil)

// New makes the driver. db must stay open until Close.
func New(db *disk.DB) *Store { return &Store{db: db.Pebble()} }

const storeName = "outbox"

func (s *Store) key(k []byte) []byte {
	return append(append(make([]byte, 0, len(k)+1), disk.PrefixOutbox), k...)
}

// Get implements outbox.Driver.
func (s *Store) Get(ctx context.Context, key []byte) ([]byte, bool, error) {
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return nil, false, err
	}
	defer s.gate.Leave()
	value, closer, err := s.db.Get(s.key(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, storeError(err)
	}
	defer closer.Close()
	return bytes.Clone(value), true, nil
}

// Scan implements outbox.Driver.
func (s *Store) Scan(ctx context.Context, from, to []byte, each func(key, value []byte) bool) error {
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return err
	}
	defer s.gate.Leave()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: s.key(from), UpperBound: s.key(to)})
	if err != nil {
		return storeError(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return storeError(err)
		}
		if !each(it.Key()[1:], value) {
			return nil
		}
	}
	return storeError(it.Error())
}

// Write implements outbox.Driver.
func (s *Store) Write(ctx context.Context, changes []outbox.Change, durable bool) error {
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return err
	}
	defer s.gate.Leave()
	b := s.db.NewBatch()
	defer b.Close()
	for _, c := range changes {
		var err error
		if c.Value == nil {
			err = b.Delete(s.key(c.Key), nil)
		} else {
			err = b.Set(s.key(c.Key), c.Value, nil)
		}
		if err != nil {
			return storeError(err)
		}
	}
	sync := pebble.NoSync
	if durable {
		sync = pebble.Sync
	}
	return storeError(b.Commit(sync))
}

// Close implements outbox.Driver. The store below stays open.
func (s *Store) Close() error {
	s.gate.Close()
	return nil
}

func storeError(err error) error {
	if err == nil {
		return nil
	}
	return freshet.Errorf(freshet.Internal, storeName+": %w", err)
}
