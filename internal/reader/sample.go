package reader

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
)

// Served is a view as it was read from a row for somebody.
type Served struct {
	Release *release.Opened
	View    *feature.View
	Row     freshet.Row // without Data if there was none
	At      freshet.Timestamp
	Values  []expression.Value
}

// Sample waits for the next read from rows and returns one of its views. It is called by one goroutine. Returns ctx's error when it ends.
func (r *Reader) Sample(ctx context.Context) (Served, error) {
	r.sampler.wanted.Store(true)
	select {
	case s := <-r.sampler.next:
		return s, nil
	case <-ctx.Done():
		return Served{}, ctx.Err()
	}
}

// sampler hands a read to whoever wants one. It costs a read that is not wanted one atomic load.
type sampler struct {
	wanted *atomic.Bool
	next   chan Served
}

func newSampler() sampler { return sampler{wanted: &atomic.Bool{}, next: make(chan Served, 1)} }

func (s *sampler) offer(rel *release.Opened, views []*feature.View, rows []freshet.Row, at freshet.Timestamp, values []expression.Value) {
	if len(views) == 0 || !s.wanted.Load() || !s.wanted.CompareAndSwap(true, false) {
		return
	}
	chosen := rand.IntN(len(views))
	for _, v := range views[:chosen] {
		values = values[len(v.Features()):]
	}
	v := views[chosen]
	served := Served{Release: rel, View: v, Row: rows[chosen], At: at, Values: slices.Clone(values[:len(v.Features())])}
	select {
	case s.next <- served:
	default: // a sampler that gave up has left one
	}
}
