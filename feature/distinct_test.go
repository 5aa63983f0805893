package feature

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The standard error of the estimate is that of the contract, from the first number that is estimated on.
func TestDistinctError(t *testing.T) {
	t.Parallel()
	const trials = 60
	for _, n := range []int{65, 100, 300, 1000, 3000, 10_000, 30_000, 100_000} {
		var squares, bias float64
		for seed := range uint64(trials) {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			c := distinctCell{}
			for range n {
				c.offer(rng.Uint64())
			}
			off := (c.count() - float64(n)) / float64(n)
			squares += off * off
			bias += off
		}
		rms, mean := math.Sqrt(squares/trials), bias/trials
		t.Logf("%d values: standard error %.2f %%, bias %.2f %%", n, 100*rms, 100*mean)
		// What 60 trials show scatters by a tenth. Near 65, which is the least estimate, errors are to one side.
		if rms > 0.017*1.2 || math.Abs(mean) > 0.01 {
			t.Errorf("%d values: standard error %.4f, bias %.4f", n, rms, mean)
		}
	}
}

// The hashes of values that differ little, and the least and largest numbers, are as good as random ones.
func TestDistinctNumbers(t *testing.T) {
	t.Parallel()
	c := distinctCell{}
	var value []byte
	for i := range 50_000 {
		value = appendNumber(value[:0], float64(i))
		c.offer(hashOf(value))
		n := float64(i + 1)
		if i > 2*maxExact && i%100 != 0 {
			continue
		}
		if got := c.count(); n <= maxExact && got != n || math.Abs(got-n) > 0.06*n {
			t.Fatalf("%v distinct numbers are %v", n, got)
		}
	}
}

func TestEstimateAtTheEnds(t *testing.T) {
	t.Parallel()
	var r registers
	if got := r.estimate(); got != 0 {
		t.Errorf("no values are %v", got)
	}
	r.add(0)
	if r[0] != maxRank {
		t.Errorf("the rank of 0 is %d, want %d", r[0], maxRank)
	}
	r.add(math.MaxUint64)
	if r[len(r)-1] != 1 {
		t.Errorf("the rank of all ones is %d, want 1", r[len(r)-1])
	}
	if got := r.estimate(); got != 2 {
		t.Errorf("two values are %v", got)
	}
}
