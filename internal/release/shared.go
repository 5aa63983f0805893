package release

import (
	"context"
	"fmt"
	"sync"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/table"
)

// sharedTables are the tables of releases that are open: each is loaded once, and forgotten when the last release that has it
// is closed. The zero one is ready; all methods may be called concurrently.
type sharedTables struct {
	mu     sync.Mutex
	tables map[tableKey]*sharedTable
}

// tableKey tells tables apart: the same file may be read in several ways.
type tableKey struct {
	file freshet.Digest
	spec string
}

func keyOf(file freshet.Digest, spec table.Spec) tableKey {
	return tableKey{file, fmt.Sprintf("%#v", spec)}
}

// sharedTable is one table, which may still be loading.
type sharedTable struct {
	users int
	done  chan struct{} // closed when the fields below are set
	table *table.Table
	err   error
}

// take gives the table of key, which load loads if nobody has it. Of several that take it at once, one loads and the others
// wait, until ctx ends. The caller calls give when it needs the table no more.
func (s *sharedTables) take(ctx context.Context, key tableKey, load func() (*table.Table, error)) (t *table.Table, give func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	shared, first := s.join(key)
	if first {
		shared.table, shared.err = load()
		close(shared.done)
	}
	select {
	case <-shared.done:
		err = shared.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	give = func() { s.leave(key, shared) }
	if err != nil {
		give()
		return nil, nil, err
	}
	return shared.table, give, nil
}

// join counts the caller in; first says that it has to load.
func (s *sharedTables) join(key tableKey) (t *sharedTable, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t = s.tables[key]
	if first = t == nil; first {
		t = &sharedTable{done: make(chan struct{})}
		if s.tables == nil {
			s.tables = map[tableKey]*sharedTable{}
		}
		s.tables[key] = t
	}
	t.users++
	return t, first
}

func (s *sharedTables) leave(key tableKey, t *sharedTable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(s.tables, key)
	}
}
