package feature

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// anyNumber draws numbers of every magnitude that may be binned.
func anyNumber() *rapid.Generator[float64] {
	return rapid.Custom(func(t *rapid.T) float64 {
		if rapid.Bool().Draw(t, "tiny") {
			return math.Ldexp(rapid.Float64Range(-1, 1).Draw(t, "fraction"), -rapid.IntRange(0, 1074).Draw(t, "exponent")) + 0
		}
		return summand().Draw(t, "x")
	})
}

func TestBins(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x, y := anyNumber().Draw(t, "x"), anyNumber().Draw(t, "y")
		if x > y {
			x, y = y, x
		}
		if binOf(x) > binOf(y) {
			t.Fatalf("%v is in bin %d, %v in bin %d", x, binOf(x), y, binOf(y))
		}
		middle := middleOf(binOf(x))
		// Numbers below the normal ones have fewer bits than bins would need.
		if off := math.Abs(middle - x); off > math.Abs(x)/(2*binsPerOctave+1)*(1+1e-9) && off > math.SmallestNonzeroFloat64 {
			t.Fatalf("the middle of the bin of %v is %v", x, middle)
		}
	})
	for x, want := range map[float64]int{0: 0, math.SmallestNonzeroFloat64: 1, -math.SmallestNonzeroFloat64: -1, 1: firstBin, 2: firstBin + binsPerOctave} {
		if got := binOf(x); got != want {
			t.Errorf("%v is in bin %d, want %d", x, got, want)
		}
	}
	if got := binOf(-maxSummand); got < -maxBin {
		t.Errorf("bin %d is beyond the last, %d", got, maxBin)
	}
}

func TestQuantileIsNearTheElement(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		xs := rapid.SliceOfN(anyNumber(), 1, 60).Draw(t, "xs")
		q := rapid.SampledFrom([]float64{0, 0.1, 0.25, 0.5, 0.9, 0.99, 1}).Draw(t, "q")
		var c quantileCell
		for _, x := range xs {
			c.add(&operand{ok: true, num: x}, nil)
		}
		slices.Sort(xs)
		want := xs[int(math.Floor(q*float64(len(xs)-1)))]
		got, ok := c.quantile(q)
		if !ok || math.Abs(got-want) > 0.01*math.Abs(want) && math.Abs(got-want) > math.SmallestNonzeroFloat64 {
			t.Fatalf("quantile %v of %v is %v, want %v", q, xs, got, want)
		}
	})
}
