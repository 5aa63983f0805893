package server_test

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/freshet-ml/freshet/server"
)

// The simulations prove P1 (durable once), P2 (pure features), P3 (one release per prediction) and P5 (every job ends) on
// the whole way from the log to the stored prediction: random events, duplicates, clocks, batches, restarts, crashes, trims, sweeps
// and roll-ups; after and in between, every value is compared with brute force bit for bit.

var (
	simSeed = flag.Uint64("seed", 0, "seed of the simulations; 0: another one each time")
	simFor  = flag.Duration("simulate", 0, "simulate with one seed after the other for so long, instead of a few")
)

// choices is where a simulation takes its decisions from: a number from 0 to n−1. what tells a reader of a failure what for.
type choices func(n int, what string) int

// simT is what *testing.T and *rapid.T have in common.
type simT interface {
	Helper()
	Fatalf(format string, args ...any)
}

// simulations runs simulations with a seed each.
func simulations(t *testing.T, few int, stores func(t *testing.T, pick choices) simStores) {
	t.Helper()
	first := *simSeed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	if *simSeed != 0 && *simFor == 0 {
		few = 1
	}
	t.Logf("from seed %d; again with -seed", first)
	begin := time.Now()
	n := 0
	for ; n < few || time.Since(begin) < *simFor; n++ {
		seed := first + uint64(n)
		rng := rand.New(rand.NewPCG(seed, 0))
		pick := func(n int, _ string) int { return rng.IntN(n) }
		s := newSim(failsWith{t, seed}, t.TempDir(), pick, stores(t, pick))
		s.run(40 + rng.IntN(60))
		s.end()
	}
	t.Logf("%d simulations", n)
}

// failsWith tells the seed with each failure.
type failsWith struct {
	*testing.T
	seed uint64
}

func (t failsWith) Fatalf(format string, args ...any) {
	t.Helper()
	t.T.Fatalf("seed %d: "+format, append([]any{t.seed}, args...)...)
}

func TestSimulationInMemory(t *testing.T) {
	t.Parallel()
	few := 12
	if server.RaceDetector {
		few = 3
	}
	simulations(t, few, func(*testing.T, choices) simStores { return newMemStores() })
}

func TestSimulationOnDisk(t *testing.T) {
	t.Parallel()
	few := 6
	if server.RaceDetector {
		few = 2
	}
	simulations(t, few, func(_ *testing.T, pick choices) simStores { return newDiskStores(pick) })
}

// TestPurityProperty drives the same simulation by rapid, which makes a failure small.
func TestPurityProperty(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	checks := 0
	most := 30 // of the 100 that rapid makes: the others are empty
	if server.RaceDetector {
		most = 6
	}
	rapid.Check(t, func(t *rapid.T) {
		if checks++; checks > most && *simFor == 0 {
			return
		}
		pick := func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(t, what) }
		s := newSim(t, dir, pick, newMemStores())
		s.run(1 + pick(30, "steps"))
		s.end()
	})
}
