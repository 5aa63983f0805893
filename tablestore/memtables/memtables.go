// Package memtables is a tablestore.Driver in memory: for tests, simulations and trials. It never bounds its memory and
// keeps nothing after Close.
package memtables

import (
	"bytes"
	"context"
	"sync"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/tablestore"
)

// Store is the driver.
type Store struct {
	mu     sync.RWMutex
	closed bool
	rows   map[place]tablestore.Row
}

type place struct {
	table freshet.TableName
	key   freshet.Key
}

var _ tablestore.Driver = (*Store)(nil)

// New makes an empty store.
func New() *Store { return &Store{rows: map[place]tablestore.Row{}} }

// Put implements tablestore.Driver.
func (s *Store) Put(ctx context.Context, ties tablestore.Ties, rows []tablestore.Row) ([]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	stored := make([]bool, len(rows))
	for i, r := range rows {
		at := place{r.Table, r.Key}
		if kept, ok := s.rows[at]; ok && !r.Replaces(&kept, ties) {
			continue
		}
		r.Data = append([]byte(nil), r.Data...)
		s.rows[at], stored[i] = r, true
	}
	return stored, nil
}

// Get implements tablestore.Driver.
func (s *Store) Get(ctx context.Context, table freshet.TableName, key freshet.Key) (tablestore.Row, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return tablestore.Row{}, false, err
	}
	r, ok := s.rows[place{table, key}]
	r.Data = bytes.Clone(r.Data)
	return r, ok, nil
}

// Erase implements tablestore.Driver.
func (s *Store) Erase(ctx context.Context, tables []freshet.TableName, key freshet.Key) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	before := len(s.rows)
	for _, t := range tables {
		delete(s.rows, place{t, key})
	}
	return before - len(s.rows), nil
}

// Close implements tablestore.Driver.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.rows = true, nil
	return nil
}

func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return freshet.Errorf(freshet.Unavailable, "the table store is closed")
	}
	return ctx.Err()
}
