package receiver

import (
	"context"
	"sync"
)

// turns lets owners wait for an event and for a change at once: a turn is a context that ends at the next change.
type turns struct {
	parent context.Context
	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
}

func newTurns(ctx context.Context) *turns {
	t := &turns{parent: ctx}
	t.ctx, t.cancel = context.WithCancel(ctx)
	return t
}

// now is the turn that goes on. Take it before you look at what may change.
func (t *turns) now() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ctx
}

// next ends the turn and begins another.
func (t *turns) next() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cancel()
	t.ctx, t.cancel = context.WithCancel(t.parent)
}

func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cancel()
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
