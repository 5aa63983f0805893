// Package memoutbox is an outbox.Driver in memory: for tests, simulations and trials. It never bounds its memory and keeps nothing after Close.
package memoutbox

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/outbox"
)

// Store is the driver.
type Store struct {
	mu     sync.RWMutex
	closed bool
	keys   []string // sorted
	values map[string][]byte
}

var _ outbox.Driver = (*Store)(nil)

// New makes an empty store.
func New() *Store { return &Store{values: map[string][]byte{}} }

// Get implements outbox.Driver.
func (s *Store) Get(ctx context.Context, key []byte) ([]byte, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, false, err
	}
	value, ok := s.values[string(key)]
	return bytes.Clone(value), ok, nil
}

// Scan implements outbox.Driver.
func (s *Store) Scan(ctx context.Context, from, to []byte, each func(key, value []byte) bool) error {
	s.mu.RLock()
	if err := s.usable(ctx); err != nil {
		s.mu.RUnlock()
		return err
	}
	low, _ := slices.BinarySearch(s.keys, string(from))
	high, _ := slices.BinarySearch(s.keys, string(to))
	keys := slices.Clone(s.keys[low:max(low, high)])
	s.mu.RUnlock()
	for _, key := range keys { // without the lock: each may write
		s.mu.RLock()
		value, ok := s.values[key]
		s.mu.RUnlock()
		if ok && !each([]byte(key), bytes.Clone(value)) {
			return nil
		}
	}
	return nil
}

// Write implements outbox.Driver.
func (s *Store) Write(ctx context.Context, changes []outbox.Change, _ bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	for _, c := range changes {
		key := string(c.Key)
		at, found := slices.BinarySearch(s.keys, key)
		switch {
		case c.Value == nil && found:
			s.keys = slices.Delete(s.keys, at, at+1)
			delete(s.values, key)
		case c.Value != nil:
			if !found {
				s.keys = slices.Insert(s.keys, at, key)
			}
			s.values[key] = append([]byte{}, c.Value...)
		}
	}
	return nil
}

// Close implements outbox.Driver.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.keys, s.values = true, nil, nil
	return nil
}

func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return freshet.Errorf(freshet.Unavailable, "the outbox is closed")
	}
	return ctx.Err()
}
