package feature

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestDecayAgainstTheFormula(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		halfLife := rapid.SampledFrom([]int64{second, 59 * second, 10 * minute, hour, 7 * day, 400 * day}).Draw(t, "half-life")
		c := decayCell{halfLife: halfLife}
		const start = 1_741_003_200_000
		last, want, size := int64(start), 0.0, 0.0
		type event struct {
			t int64
			x float64
		}
		var events []event
		for range rapid.IntRange(0, 30).Draw(t, "events") {
			e := event{start + rapid.Int64Range(0, min(100*halfLife, 800*day)).Draw(t, "t"), rapid.Float64Range(-1e6, 1e6).Draw(t, "x")}
			events = append(events, e)
			last = max(last, e.t)
			c.add(&operand{ok: true, num: e.x}, &occurrence{time: e.t})
		}
		at := last + rapid.Int64Range(0, 3*halfLife).Draw(t, "later")
		for _, e := range events {
			if age := at - e.t; age <= 64*halfLife {
				part := e.x * math.Exp2(-float64(age)/float64(halfLife))
				want += part
				size += math.Abs(part)
			}
		}
		// Beside the rounding of the formula, what is 64 half-lives old may count or not, and each x is rounded to 2^-64.
		if got := c.value(at); math.Abs(got-want) > 1e-12*size+1e-11 {
			t.Fatalf("the sum at %d is %v, want %v", at, got, want)
		}
	})
}

func TestDecayEnds(t *testing.T) {
	t.Parallel()
	for _, x := range []float64{1, -3, maxSummand} {
		c := decayCell{halfLife: hour}
		c.add(&operand{ok: true, num: x}, &occurrence{time: hour * 1000})
		for age := range int64(65) {
			if got, want := c.value(hour*(1000+age)), math.Ldexp(x, -int(age)); got != want {
				t.Errorf("%v after %d half-lives is %v, want %v", x, age, got, want)
			}
		}
		if got := c.value(hour * 1065); got != 0 {
			t.Errorf("%v after 65 half-lives is %v", x, got)
		}
	}
}

// An event counts x·2^(after/half-life) in its span, rounded once: half a unit of 2^-64, and the error of the power.
func TestGrown(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := summand().Draw(t, "x")
		halfLife := rapid.Int64Range(second, 400*day).Draw(t, "half-life")
		after := rapid.Int64Range(0, halfLife-1).Draw(t, "after")
		f := grown(x, after, halfLife)
		got := new(big.Float).SetFloat64(f.float())
		want := new(big.Float).SetInt(exactInt(x))
		fraction, _ := new(big.Int).DivMod(new(big.Int).Lsh(big.NewInt(after), 64), big.NewInt(halfLife), new(big.Int))
		want.Mul(want, new(big.Float).SetInt(new(big.Int).SetUint64(exactExp2(fraction.Uint64()))))
		want.SetMantExp(want, -63-fractionBits)
		off, _ := got.Sub(got, want).Float64()
		size, _ := want.Float64()
		if math.Abs(off) > math.Abs(size)*0x1p-52+0x1p-64 {
			t.Fatalf("%v after %d of %d is %v, want %v", x, after, halfLife, f.float(), size)
		}
	})
}
