package feature

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// exactInt is x as a multiple of 2^-64, rounded half to even, by way of math/big.
func exactInt(x float64) *big.Int {
	f := new(big.Float).SetPrec(2000).SetFloat64(x)
	f.SetMantExp(f, fractionBits)
	whole, _ := f.Int(nil) // towards zero
	rest := new(big.Float).SetPrec(2000).Sub(f, new(big.Float).SetPrec(2000).SetInt(whole))
	half := big.NewFloat(0.5)
	if c := rest.Abs(rest).Cmp(half); c > 0 || c == 0 && whole.Bit(0) == 1 {
		step := int64(1)
		if math.Signbit(x) {
			step = -1
		}
		whole.Add(whole, big.NewInt(step))
	}
	return whole
}

func nearest(num, den *big.Int) float64 {
	if num.Sign() == 0 {
		return 0
	}
	x, _ := new(big.Rat).SetFrac(num, den).Float64()
	return x
}

// summand draws numbers of all magnitudes that may be added, ties of the rounding among them.
func summand() *rapid.Generator[float64] {
	return rapid.Custom(func(t *rapid.T) float64 {
		switch rapid.IntRange(0, 5).Draw(t, "shape") {
		case 0:
			return float64(rapid.IntRange(-1000, 1000).Draw(t, "whole"))
		case 1:
			return float64(rapid.IntRange(-100000, 100000).Draw(t, "cents")) / 100
		case 2: // around the last bit that counts
			return math.Ldexp(float64(rapid.IntRange(-64, 64).Draw(t, "units")), -rapid.IntRange(60, 70).Draw(t, "bits"))
		case 3:
			return math.Ldexp(float64(rapid.Int64Range(-1<<53, 1<<53).Draw(t, "mantissa")), -rapid.IntRange(0, 130).Draw(t, "exponent"))
		case 4:
			return rapid.SampledFrom([]float64{1 << 53, -1 << 53, 1<<53 - 1, 1e15, -1e15, 0.1, math.SmallestNonzeroFloat64, 0}).Draw(t, "edge")
		}
		return rapid.Float64Range(-maxSummand, maxSummand).Draw(t, "any")
	})
}

func requireBits(t *rapid.T, what string, got, want float64) {
	t.Helper()
	if math.Float64bits(got) != math.Float64bits(want) {
		t.Fatalf("%s = %v (%x), want %v (%x)", what, got, math.Float64bits(got), want, math.Float64bits(want))
	}
}

func TestSumsAgainstBig(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		xs := rapid.SliceOfN(summand(), 1, 30).Draw(t, "xs")
		var sum fixed
		want := new(big.Int)
		for _, x := range xs {
			f := fixedOf(x)
			sum.add(&f)
			want.Add(want, exactInt(x))
		}
		unit := new(big.Int).Lsh(big.NewInt(1), fractionBits)
		requireBits(t, "sum", sum.float(), nearest(want, unit))
		n := rapid.Uint64Range(1, 1<<rapid.IntRange(1, 63).Draw(t, "bits")).Draw(t, "n")
		requireBits(t, "mean", sum.over(n), nearest(want, new(big.Int).Mul(unit, new(big.Int).SetUint64(n))))

		coded := appendExact(nil, sum[:])
		var back fixed
		rest, ok := readExact(append(coded, 1, 2), back[:])
		if !ok || len(rest) != 2 || back != sum {
			t.Fatalf("%x is read as %x, want %x", coded, back, sum)
		}
	})
}

func TestSlopeAgainstBig(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 20).Draw(t, "n")
		anchorTime := rapid.Int64Range(0, 253402300799999).Draw(t, "anchor")
		spread := rapid.SampledFrom([]int64{0, 1, 1000, day, 253402300799999}).Draw(t, "spread")
		times, xs := make([]int64, n), make([]float64, n)
		all := numbersCell{needs: numbersNeeds{counts: true, moments: true}}
		parts := [2]numbersCell{all, all}
		for i := range n {
			times[i] = min(anchorTime+rapid.Int64Range(0, spread).Draw(t, "t"), 253402300799999)
			xs[i] = summand().Draw(t, "x")
			x, e := operand{ok: true, num: xs[i]}, occurrence{time: times[i]}
			all.add(&x, &e)
			parts[rapid.IntRange(0, 1).Draw(t, "part")].add(&x, &e)
		}
		st, stt, sx, sxt := new(big.Int), new(big.Int), new(big.Int), new(big.Int)
		for i := range n {
			ti, xi := big.NewInt(times[i]), exactInt(xs[i])
			st.Add(st, ti)
			stt.Add(stt, new(big.Int).Mul(ti, ti))
			sx.Add(sx, xi)
			sxt.Add(sxt, new(big.Int).Mul(xi, ti))
		}
		bn := big.NewInt(int64(n))
		num := new(big.Int).Sub(new(big.Int).Mul(bn, sxt), new(big.Int).Mul(sx, st))
		den := new(big.Int).Sub(new(big.Int).Mul(bn, stt), new(big.Int).Mul(st, st))
		slope, ok := all.slope()
		if ok != (den.Sign() != 0) {
			t.Fatalf("slope is there: %v", ok)
		}
		if !ok {
			return
		}
		num.Mul(num, big.NewInt(1000))
		requireBits(t, "slope", slope, nearest(num, den.Lsh(den, fractionBits)))

		// Encoded relative to two anchors and merged, it is the same.
		merged := numbersCell{needs: numbersNeeds{counts: true, moments: true}}
		for i, p := range parts {
			at := anchor{time: anchorTime - int64(i)}
			if rest, ok := merged.absorb(p.append(nil, at), at); !ok || len(rest) > 0 {
				t.Fatal("cannot be read")
			}
		}
		if merged != all {
			t.Fatalf("merged %+v, want %+v", merged, all)
		}
	})
}

func TestFixedOf(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := summand().Draw(t, "x")
		f := fixedOf(x)
		m, negative := magnitudeOf(f[:])
		got := new(big.Int)
		for i := len(m) - 1; i >= 0; i-- {
			got.Lsh(got, 64)
			got.Or(got, new(big.Int).SetUint64(m[i]))
		}
		if negative {
			got.Neg(got)
		}
		if want := exactInt(x); got.Cmp(want) != 0 {
			t.Fatalf("%v is %v, want %v", x, got, want)
		}
	})
}

func TestVarianceAgainstBig(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		xs := rapid.SliceOfN(summand(), 2, 30).Draw(t, "xs")
		if rapid.Bool().Draw(t, "all equal") {
			for i := range xs {
				xs[i] = xs[0]
			}
		}
		c := numbersCell{needs: numbersNeeds{counts: true, squares: true}}
		sum, squares := new(big.Int), new(big.Int)
		for _, x := range xs {
			c.add(&operand{ok: true, num: x}, &occurrence{})
			exact := exactInt(x)
			sum.Add(sum, exact)
			squares.Add(squares, new(big.Int).Mul(exact, exact))
		}
		n := big.NewInt(int64(len(xs)))
		num := new(big.Int).Mul(n, squares)
		num.Sub(num, new(big.Int).Mul(sum, sum))
		den := new(big.Int).Mul(n, new(big.Int).Sub(n, big.NewInt(1)))
		got, ok := c.variance()
		if !ok {
			t.Fatal("there is no variance")
		}
		requireBits(t, "variance", got, nearest(num, den.Lsh(den, 2*fractionBits)))
	})
	one := numbersCell{needs: numbersNeeds{counts: true, squares: true}}
	one.add(&operand{ok: true, num: 1}, &occurrence{})
	if _, ok := one.variance(); ok {
		t.Error("one number has a variance")
	}
}
