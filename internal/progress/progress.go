// Package progress is a kit: an offset that only grows and that many goroutines can wait for. It knows nothing of what
// the offset means.
package progress

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/freshet-ml/freshet"
)

// Mark is an offset that only grows. The zero Mark is at 0 and ready to use; it must not be copied.
type Mark struct {
	at     atomic.Uint64
	mu     sync.Mutex
	closed bool
	moved  chan struct{} // closed when the mark moves; nil while nobody waits, so that moving costs nobody anything
}

// At is where the mark is.
func (m *Mark) At() freshet.Offset { return freshet.Offset(m.at.Load()) }

// Advance moves the mark to offset, if that is further, and wakes those who wait.
func (m *Mark) Advance(offset freshet.Offset) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if uint64(offset) <= m.at.Load() {
		return
	}
	m.at.Store(uint64(offset))
	m.wake()
}

// Reset puts the mark at offset, also backwards: for a new owner who starts from a checkpoint.
func (m *Mark) Reset(offset freshet.Offset) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at.Store(uint64(offset))
	m.wake()
}

// Wait returns when the mark is at offset or further, with ctx's error when ctx ends, or with Unavailable after Close.
func (m *Mark) Wait(ctx context.Context, offset freshet.Offset) error {
	for {
		if m.At() >= offset {
			return nil
		}
		m.mu.Lock()
		if m.closed {
			m.mu.Unlock()
			return freshet.Errorf(freshet.Unavailable, "closed while waiting for offset %d", offset)
		}
		if m.At() >= offset {
			m.mu.Unlock()
			return nil
		}
		if m.moved == nil {
			m.moved = make(chan struct{})
		}
		moved := m.moved
		m.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends all waiting, now and later. The mark itself can still be read.
func (m *Mark) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.wake()
}

func (m *Mark) wake() {
	if m.moved != nil {
		close(m.moved)
		m.moved = nil
	}
}
