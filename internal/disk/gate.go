package disk

import (
	"context"
	"sync"

	"github.com/freshet-ml/freshet"
)

// Gate lets the calls of a driver in until it is closed, and has Close wait for those that are in. The zero Gate is open.
type Gate struct {
	mu     sync.RWMutex
	closed bool
}

// Enter lets a call in, which must Leave. It returns ctx's error if ctx has ended, and Unavailable, naming what is
// closed, after Close.
func (g *Gate) Enter(ctx context.Context, what string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.RLock()
	if g.closed {
		g.mu.RUnlock()
		return freshet.Errorf(freshet.Unavailable, "the %s is closed", what)
	}
	return nil
}

// Leave ends a call that Enter let in.
func (g *Gate) Leave() { g.mu.RUnlock() }

// Close waits for the calls that are in and lets no other in. Closing twice is no error.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}
