package progress

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/alloctest"
)

func TestMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Mark
		done := make(chan error, 3)
		for _, at := range []freshet.Offset{3, 5, 9} {
			go func() { done <- m.Wait(t.Context(), at) }()
		}
		m.Advance(5)
		m.Advance(4) // never backwards
		synctest.Wait()
		if m.At() != 5 || len(done) != 2 {
			t.Fatalf("at %d, %d woken, want 5 and 2", m.At(), len(done))
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Fatalf("a reached offset: %v", err)
			}
		}
		m.Close()
		if err := <-done; freshet.CodeOf(err) != freshet.Unavailable {
			t.Fatalf("after close: %v, want unavailable", err)
		}
		if err := m.Wait(t.Context(), 5); err != nil {
			t.Fatalf("a reached offset after close: %v", err)
		}
	})
}

func TestMarkContext(t *testing.T) {
	var m Mark
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want canceled", err)
	}
}

func TestAdvanceDoesNotAllocate(t *testing.T) {
	var m Mark
	o := freshet.Offset(0)
	if n := alloctest.PerRun(100, func() { o++; m.Advance(o) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
