// Package alloctest is a kit for tests: it counts what a hot path allocates, with the race detector on as without it. It
// never measures time.
package alloctest

import "testing"

// PerRun returns how many allocations one call of f makes after a first one that warms it up: the mean of runs calls,
// rounded down, as testing.AllocsPerRun counts them. Under the race detector a sync.Pool drops one of four values that it is
// given, on purpose; there PerRun returns the least of runs single calls, which is what f allocates while its pools keep.
// Like testing.AllocsPerRun it counts the whole process: not for parallel tests.
func PerRun(runs int, f func()) float64 {
	if !raceDetector {
		return testing.AllocsPerRun(runs, f)
	}
	least := testing.AllocsPerRun(1, f)
	for range runs - 1 {
		least = min(least, testing.AllocsPerRun(1, f))
	}
	return least
}
