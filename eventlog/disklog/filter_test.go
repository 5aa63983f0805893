package disklog

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/zeebo/xxh3"

	"github.com/freshet-ml/freshet/internal/alloctest"
)

func hashOf(i int) idHash {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(i))
	return xxh3.Hash128Seed(b[:], 42)
}

func TestFilterKnowsWhatItWasGiven(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		ids    int
		budget int64
		layers int
		wrong  float64 // of new ids: the share that may be known at most
	}{
		{"one", 1, 1 << 30, 1, 0.001},
		{"first layer", 30_000, 1 << 30, 1, 0.01},
		{"several layers", 1_000_000, 1 << 30, 4, 0.03},
		{"no budget", 100_000, 0, 1, 1},
		{"budget for two layers and a part of one", 200_000, 400 << 10, 3, 0.03},
		{"budget for two layers", 200_000, 330 << 10, 2, 0.1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var f filter
			var budget filterBudget
			budget.left.Store(c.budget)
			for i := range c.ids {
				f.add(hashOf(i), &budget)
			}
			for i := range c.ids {
				if !f.mayHave(hashOf(i)) {
					t.Fatalf("id %d is not in the filter", i)
				}
			}
			if len(f.layers) != c.layers {
				t.Errorf("%d layers, expected %d", len(f.layers), c.layers)
			}
			wrong := 0
			const n = 100_000
			for i := range n {
				if f.mayHave(hashOf(c.ids + i)) {
					wrong++
				}
			}
			if share := float64(wrong) / n; share > c.wrong {
				t.Errorf("%.2f %% of new ids may be known, expected at most %.2f %%", 100*share, 100*c.wrong)
			} else {
				t.Logf("%.3f %%, %.2f bytes an id", 100*share, float64(f.bytes())/math.Max(1, float64(c.ids)))
			}
		})
	}
}

func TestFilterDoesNotAllocate(t *testing.T) {
	var f filter
	var budget filterBudget
	i := 0
	f.add(hashOf(i), &budget)
	if n := alloctest.PerRun(1000, func() {
		i++
		f.add(hashOf(i), &budget)
		f.mayHave(hashOf(-i))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
