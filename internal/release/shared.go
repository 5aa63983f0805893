package release

import (
	"context"
	"fmt"
	"sync"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/table"
)

// shared are the tables or the models of releases that are open: each is loaded once, and let go when the last release that has
// it is closed. The zero one is ready; all methods may be called concurrently.
type shared[K comparable, V any] struct {
	end func(V) error // lets one go; nil: nothing is to be done

	mu     sync.Mutex
	loaded map[K]*sharing[V]
}

// tableKey tells tables apart: the same file may be read in several ways.
type tableKey struct {
	file freshet.Digest
	spec string
}

func keyOf(file freshet.Digest, spec table.Spec) tableKey {
	return tableKey{file, fmt.Sprintf("%#v", spec)}
}

// sharing is one of them, which may still be loading.
type sharing[V any] struct {
	users int
	done  chan struct{} // closed when the fields below are set
	value V
	err   error
}

// take gives what belongs to key, which load loads if nobody has it. Of several that take it at once, one loads and the others
// wait, until ctx ends. The caller calls give when it needs it no more; the error is that of letting it go.
func (s *shared[K, V]) take(ctx context.Context, key K, load func() (V, error)) (value V, give func() error, err error) {
	if err := ctx.Err(); err != nil {
		return value, nil, err
	}
	one, first := s.join(key)
	if first {
		one.value, one.err = load()
		close(one.done)
	}
	select {
	case <-one.done:
		err = one.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	give = func() error { return s.leave(key, one) }
	if err != nil {
		_ = give() // err says more
		return value, nil, err
	}
	return one.value, give, nil
}

// join counts the caller in; first says that it has to load.
func (s *shared[K, V]) join(key K) (one *sharing[V], first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one = s.loaded[key]
	if first = one == nil; first {
		one = &sharing[V]{done: make(chan struct{})}
		if s.loaded == nil {
			s.loaded = map[K]*sharing[V]{}
		}
		s.loaded[key] = one
	}
	one.users++
	return one, first
}

// leave counts the caller out. The last one to leave comes after the one who has loaded it.
func (s *shared[K, V]) leave(key K, one *sharing[V]) error {
	s.mu.Lock()
	one.users--
	last := one.users == 0
	if last {
		delete(s.loaded, key)
	}
	s.mu.Unlock()
	if !last || one.err != nil || s.end == nil {
		return nil
	}
	return s.end(one.value)
}
