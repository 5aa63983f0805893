package feature

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// exactExp2 is 2^(f/2^64) in units of 2^-63, rounded down, by way of math/big: the square roots of 2, 2^½, … for the bits of f.
func exactExp2(f uint64) uint64 {
	const precision = 300
	x, root := big.NewFloat(1).SetPrec(precision), big.NewFloat(2).SetPrec(precision)
	for bit := 63; bit >= 0; bit-- {
		root.Sqrt(root)
		if f>>bit&1 == 1 {
			x.Mul(x, root)
		}
	}
	whole, _ := x.SetMantExp(x, 63).Int(nil)
	return whole.Uint64()
}

func TestExp2(t *testing.T) {
	t.Parallel()
	check := func(f uint64) (below uint64) {
		got, want := exp2(f), exactExp2(f)
		if got > want || want-got > 8 {
			t.Errorf("2^(%d/2^64) is %x, want %x", f, got, want)
		}
		return want - got
	}
	var worst uint64
	for i := range uint64(256) {
		worst = max(worst, check(i<<56), check(i<<56-1))
	}
	t.Logf("at most %d units of 2^-63 below", worst)
	if exp2(0) != 1<<63 || exp2(math.MaxUint64) < 1<<63 {
		t.Error("the ends are wrong")
	}
	rapid.Check(t, func(t *rapid.T) { check(rapid.Uint64().Draw(t, "f")) })
}
