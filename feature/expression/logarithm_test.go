package expression

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestLogarithm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := math.Float64frombits(rapid.Uint64Range(1<<52, 0x7fefffffffffffff).Draw(t, "a normal number above zero"))
		if rapid.Bool().Draw(t, "near 1") {
			x = 1 + rapid.Float64Range(-0.5, 1).Draw(t, "off 1")
		}
		got, want := logarithm(x), math.Log(x)
		if unit := math.Nextafter(math.Abs(want), math.Inf(1)) - math.Abs(want); math.Abs(got-want) > 3*unit {
			t.Fatalf("log %v is %v, want %v: off by %v units of the last place", x, got, want, math.Abs(got-want)/unit)
		}
	})
	for x, want := range map[float64]uint64{ // on every machine
		1: 0, 2: 0x3fe62e42fefa39ef, 3: 0x3ff193ea7aad030a, 10: 0x40026bb1bbb55516, 0.1: 0xc0026bb1bbb55515, 0.9999999: 0xbe7ad7f2b1049b9f,
		1e300: 0x4085963447f87fb5, 1e-310: 0xc0864e69394d9508, math.SmallestNonzeroFloat64: 0xc0874385446d71c3,
	} {
		if got := math.Float64bits(logarithm(x)); got != want {
			t.Errorf("log %v is %#x, want %#x", x, got, want)
		}
	}
	if x := logarithm(0); !math.IsInf(x, -1) {
		t.Errorf("log 0 is %v", x)
	}
	for _, x := range []float64{-1, math.NaN(), math.Inf(-1)} {
		if got := logarithm(x); got == got {
			t.Errorf("log %v is %v", x, got)
		}
	}
	if x := logarithm(math.Inf(1)); !math.IsInf(x, 1) {
		t.Errorf("log of infinity is %v", x)
	}
}
