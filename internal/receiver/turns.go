package receiver

import (
	"context"
	"sync"

	"github.com/freshet-ml/freshet"
)

// turns lets owners wait for an event and for a change at once: a turn is a context that ends at the next change. Each partition has
// turns of its own, so that what concerns one wakes only its owner.
type turns struct {
	parent context.Context
	mu     sync.Mutex
	each   [freshet.Partitions]turn
}

type turn struct {
	ctx    context.Context
	cancel context.CancelFunc
}

func newTurns(ctx context.Context) *turns {
	t := &turns{parent: ctx}
	for p := range t.each {
		t.begin(freshet.Partition(p))
	}
	return t
}

func (t *turns) begin(p freshet.Partition) {
	one := &t.each[p]
	one.ctx, one.cancel = context.WithCancel(t.parent)
}

// now is the turn of p that goes on. Take it before you look at what may change.
func (t *turns) now(p freshet.Partition) context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.each[p].ctx
}

// next ends the turn of p and begins another.
func (t *turns) next(p freshet.Partition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.each[p].cancel()
	t.begin(p)
}

func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := range t.each {
		t.each[p].cancel()
	}
}

// signal wakes all who wait for it when something has moved. The zero signal is ready to use.
type signal struct {
	mu sync.Mutex
	c  chan struct{}
}

// next is closed when fire is called the next time. Take it before you look at what may move.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c == nil {
		s.c = make(chan struct{})
	}
	return s.c
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c != nil {
		close(s.c)
		s.c = nil
	}
}
