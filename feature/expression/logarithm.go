package expression

import "math"

// logarithm is the natural logarithm of x, the same bits on every machine, which math.Log does not promise: processors differ in whether a
// product is rounded before it is added. It is off by two units of the last place at most; NaN below zero, −Inf at zero.
func logarithm(x float64) float64 {
	switch {
	case x != x || math.IsInf(x, 1):
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	fraction, exponent := math.Frexp(x) // in [½, 1)
	if fraction < math.Sqrt2/2 {
		fraction, exponent = fraction*2, exponent-1
	}
	// ln x = exponent·ln 2 + ln fraction, and ln fraction = 2·artanh(s) = 2s + 2s³/3 + 2s⁵/5 + …, with |s| < 0.172: what follows the
	// 21st power does not count.
	f := fraction - 1
	s := f / (2 + f)
	square := s * s
	rest := 0.0
	for n := 21; n >= 3; n -= 2 {
		rest = float64(square * (rest + 2/float64(n)))
	}
	// 2s = f − f·s, of which f is exact. ln 2 is a number of 32 bits, whose multiples are exact, and the rest of it.
	const (
		ln2High = 0xb17217f7p-32
		ln2Low  = 0x1.a39ef35793c76p-33
	)
	low := float64(float64(exponent) * ln2Low)
	return float64(float64(exponent)*ln2High) + (f - (float64(f*s) - float64(s*rest) - low))
}
