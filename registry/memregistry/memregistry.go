// Package memregistry is a registry.Driver in memory: for tests, simulations and trials. It never bounds its memory and
// keeps nothing after Close.
package memregistry

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/registry"
)

// Store is the driver.
type Store struct {
	mu     sync.RWMutex
	closed bool
	blobs  map[freshet.Digest]kept
	log    [][]byte
}

type kept struct {
	data []byte
	at   freshet.Timestamp
}

var _ registry.Driver = (*Store)(nil)

// New makes an empty store.
func New() *Store { return &Store{blobs: map[freshet.Digest]kept{}} }

// Put implements registry.Driver.
func (s *Store) Put(ctx context.Context, digest freshet.Digest, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.blobs[digest] = kept{data, freshet.TimestampOf(time.Now())}
	return nil
}

// Open implements registry.Driver.
func (s *Store) Open(ctx context.Context, digest freshet.Digest) (registry.Blob, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	b, ok := s.blobs[digest]
	if !ok {
		return nil, none(digest)
	}
	return blob{bytes.NewReader(b.data), digest}, nil
}

type blob struct {
	*bytes.Reader
	digest freshet.Digest
}

func (b blob) Name() string { return "blob " + string(b.digest) }
func (b blob) Close() error { return nil }

// Stat implements registry.Driver.
func (s *Store) Stat(ctx context.Context, digest freshet.Digest) (registry.Info, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return registry.Info{}, err
	}
	b, ok := s.blobs[digest]
	if !ok {
		return registry.Info{}, none(digest)
	}
	return b.info(digest), nil
}

func (k kept) info(digest freshet.Digest) registry.Info {
	return registry.Info{Digest: digest, Size: int64(len(k.data)), PutAt: k.at}
}

// List implements registry.Driver.
func (s *Store) List(ctx context.Context) ([]registry.Info, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	all := make([]registry.Info, 0, len(s.blobs))
	for digest, b := range s.blobs {
		all = append(all, b.info(digest))
	}
	slices.SortFunc(all, func(a, b registry.Info) int { return cmp.Compare(a.Digest, b.Digest) })
	return all, nil
}

// Delete implements registry.Driver.
func (s *Store) Delete(ctx context.Context, digest freshet.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	delete(s.blobs, digest)
	return nil
}

// Append implements registry.Driver.
func (s *Store) Append(ctx context.Context, revision registry.Revision, data []byte) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil || revision != s.newest()+1 {
		return false, err
	}
	s.log = append(s.log, bytes.Clone(data))
	return true, nil
}

// Read implements registry.Driver.
func (s *Store) Read(ctx context.Context, revision registry.Revision) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	if revision == 0 || revision > s.newest() {
		return nil, freshet.Errorf(freshet.NotFound, "registry: there is no revision %d", revision)
	}
	return bytes.Clone(s.log[revision-1]), nil
}

// Head implements registry.Driver.
func (s *Store) Head(ctx context.Context) (registry.Revision, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	return s.newest(), nil
}

func (s *Store) newest() registry.Revision { return registry.Revision(len(s.log)) }

// Close implements registry.Driver.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.blobs, s.log = true, nil, nil
	return nil
}

func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return freshet.Errorf(freshet.Unavailable, "the registry is closed")
	}
	return ctx.Err()
}

func none(digest freshet.Digest) error {
	return freshet.Errorf(freshet.NotFound, "registry: there is no blob %s", digest)
}
