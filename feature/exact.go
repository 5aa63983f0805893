package feature

import (
	"math"
	"math/bits"
)

// Exact sums. Every x is rounded once to a multiple of 2^-64; from then on all is integer arithmetic, which is associative
// and commutative, so that a sum cannot depend on the order of arrival or on how panes were merged. Results are rounded
// once, to the nearest float64, ties to even. math/big would do the same, but allocates for each number.

// maxSummand is the largest |x| that counts in what adds (features.md §4); one beyond it counts as null.
const maxSummand = 1 << 53

// fractionBits is how many bits of a fixed lie behind the point.
const fractionBits = 64

// fixed is a sum: a two's complement integer of 192 bits in units of 2^-64, least significant word first. 2^63 summands of
// the largest size fit.
type fixed [3]uint64

// fixedOf rounds x, |x| ≤ maxSummand, to a multiple of 2^-64, half to even.
func fixedOf(x float64) fixed {
	u := math.Float64bits(x)
	exponent := int(u >> 52 & 0x7ff)
	if exponent == 0 {
		return fixed{} // zero, or a subnormal far below 2^-65
	}
	mantissa := u&(1<<52-1) | 1<<52
	shift := exponent - 1075 + fractionBits // x = mantissa · 2^(shift−64)
	var f fixed
	switch {
	case shift >= 64:
		f[1] = mantissa << (shift - 64)
	case shift >= 0:
		f[0], f[1] = mantissa<<shift, mantissa>>(64-shift)
	case shift >= -53:
		whole, rest, half := mantissa>>-shift, mantissa&(1<<-shift-1), uint64(1)<<(-shift-1)
		if rest > half || rest == half && whole&1 == 1 {
			whole++
		}
		f[0] = whole
	}
	if u>>63 != 0 {
		negate(f[:])
	}
	return f
}

func (f *fixed) add(g *fixed) {
	var carry uint64
	f[0], carry = bits.Add64(f[0], g[0], 0)
	f[1], carry = bits.Add64(f[1], g[1], carry)
	f[2], _ = bits.Add64(f[2], g[2], carry)
}

// float is the sum, rounded once.
func (f *fixed) float() float64 {
	m, negative := magnitudeOf(f[:])
	return signed(m.float(-fractionBits), negative)
}

// over is the sum divided by n > 0, rounded once.
func (f *fixed) over(n uint64) float64 {
	m, negative := magnitudeOf(f[:])
	if m[2] == 0 {
		return signed(quotient(m[1], m[0], n, -fractionBits), negative)
	}
	return signed(ratio(&m, &magnitude{n}, -fractionBits), negative)
}

// square is f² for one summand, in units of 2^-128.
func (f *fixed) square() wide {
	m, _ := magnitudeOf(f[:])
	lo := m[0]
	hi := m[1] // a summand has no more than 117 bits
	var w wide
	var carry uint64
	w[1], w[0] = bits.Mul64(lo, lo)
	w[3], w[2] = bits.Mul64(hi, hi)
	crossHi, crossLo := bits.Mul64(lo, hi)
	for range 2 {
		w[1], carry = bits.Add64(w[1], crossLo, 0)
		w[2], carry = bits.Add64(w[2], crossHi, carry)
		w[3] += carry
	}
	return w
}

// wide is a two's complement integer of 320 bits, least significant word first: wide enough for every product of moments
// of 2^64 events (features.md's times take 48 bits, summands 117), and of squares for 2^42.
type wide [5]uint64

func wideOf(n uint64) wide { return wide{n} }

func (f *fixed) wide() wide {
	w := wide{f[0], f[1], f[2]}
	if int64(f[2]) < 0 {
		w[3], w[4] = math.MaxUint64, math.MaxUint64
	}
	return w
}

func (w *wide) add(v *wide) {
	var carry uint64
	for i := range w {
		w[i], carry = bits.Add64(w[i], v[i], carry)
	}
}

func (w *wide) sub(v *wide) {
	var borrow uint64
	for i := range w {
		w[i], borrow = bits.Sub64(w[i], v[i], borrow)
	}
}

// times is the product modulo 2^320, which is the product where that fits.
func (w *wide) times(v *wide) wide {
	var p wide
	for i, a := range w {
		if a == 0 {
			continue
		}
		var carry uint64
		for j := 0; i+j < len(p); j++ {
			hi, lo := bits.Mul64(a, v[j])
			var c uint64
			lo, c = bits.Add64(lo, carry, 0)
			hi += c
			p[i+j], c = bits.Add64(p[i+j], lo, 0)
			carry = hi + c
		}
	}
	return p
}

// scaled is w times k modulo 2^320.
func (w *wide) scaled(k int64) wide {
	m := uint64(k)
	if k < 0 {
		m = -m
	}
	var p wide
	var carry uint64
	for i, a := range w {
		hi, lo := bits.Mul64(a, m)
		var c uint64
		p[i], c = bits.Add64(lo, carry, 0)
		carry = hi + c
	}
	if k < 0 {
		negate(p[:])
	}
	return p
}

func (w *wide) isZero() bool { return *w == wide{} }

// negate turns a two's complement number into its opposite.
func negate(words []uint64) {
	carry := uint64(1)
	for i := range words {
		words[i], carry = bits.Add64(^words[i], 0, carry)
	}
}

// magnitude is an integer without a sign of up to 384 bits, least significant word first.
type magnitude [6]uint64

// magnitudeOf splits a two's complement number of at most six words.
func magnitudeOf(words []uint64) (m magnitude, negative bool) {
	n := copy(m[:], words)
	negative = int64(words[len(words)-1]) < 0
	if negative {
		negate(m[:n])
	}
	return m, negative
}

func (m *magnitude) bitLen() int {
	for i := len(m) - 1; i >= 0; i-- {
		if m[i] != 0 {
			return i*64 + bits.Len64(m[i])
		}
	}
	return 0
}

// shifted is m · 2^by, where that fits; lost says whether a shift to the right lost bits that were not 0.
func (m *magnitude) shifted(by int) (s magnitude, lost bool) {
	if by >= 0 {
		words, rest := by/64, by%64
		for i := len(s) - 1; i >= words; i-- {
			s[i] = m[i-words] << rest
			if rest > 0 && i > words {
				s[i] |= m[i-words-1] >> (64 - rest)
			}
		}
		return s, false
	}
	words, rest := -by/64, -by%64
	for i := range m {
		switch j := i - words; {
		case j < 0:
			lost = lost || m[i] != 0
		default:
			s[j] = m[i] >> rest
			if rest > 0 && i+1 < len(m) {
				s[j] |= m[i+1] << (64 - rest)
			}
		}
	}
	if rest > 0 && words < len(m) {
		lost = lost || m[words]<<(64-rest) != 0
	}
	return s, lost
}

// float is m · 2^exponent, rounded once.
func (m *magnitude) float(exponent int) float64 {
	n := m.bitLen()
	if n == 0 {
		return 0
	}
	top := (n - 1) / 64
	shift := top*64 + 64 - n
	head := m[top] << shift
	sticky := false
	if top > 0 {
		head |= m[top-1] >> (64 - shift)
		sticky = m[top-1]<<shift != 0
		for _, w := range m[:top-1] {
			sticky = sticky || w != 0
		}
	}
	return rounded(head, sticky, exponent+n-64)
}

// rounded is head · 2^exponent to the nearest float64, ties to even, for a head whose highest bit is set. sticky says that
// the true number lies a little higher. The result must be a normal number, as all sums and their quotients are.
func rounded(head uint64, sticky bool, exponent int) float64 {
	const drop, half = 11, 1 << 10
	m, rest := head>>drop, head&(1<<drop-1)
	if rest > half || rest == half && (sticky || m&1 == 1) {
		m++
	}
	return float64(m) * math.Float64frombits(uint64(exponent+drop+1023)<<52)
}

// ratio is num / den · 2^exponent for den > 0 of at most four words, rounded once.
func ratio(num, den *magnitude, exponent int) float64 {
	n, d := num.bitLen(), den.bitLen()
	if n == 0 {
		return 0
	}
	// One digit of Knuth's algorithm D in base 2^64 gives all the bits there are to keep: num is shifted so that the quotient
	// has 63 or 64 bits, then both so that the divisor fills its words.
	shift := d + 63 - n
	fill := (64 - d%64) % 64
	u, lost := num.shifted(shift + fill)
	v, _ := den.shifted(fill)
	k := (d + fill) / 64
	q := uint64(math.MaxUint64)
	if u[k] < v[k-1] {
		q, _ = bits.Div64(u[k], u[k-1], v[k-1])
	}
	p := v.timesWord(q)
	for p.compare(&u) > 0 {
		q--
		p.subtract(&v)
	}
	sticky := lost || p != u
	lead := bits.LeadingZeros64(q)
	return rounded(q<<lead, sticky, exponent-shift-lead)
}

// quotient is ratio for a numerator of two words and a divisor of one, in a fifth of the time.
func quotient(hi, lo, n uint64, exponent int) float64 {
	if hi == 0 {
		if lo == 0 {
			return 0
		}
		hi, lo, exponent = lo, 0, exponent-64
	}
	// Both are shifted until their highest bits are set, the numerator by one less if the quotient would not fit a word.
	a, b := bits.LeadingZeros64(hi), bits.LeadingZeros64(n)
	hi, lo, n = hi<<a|lo>>(64-a), lo<<a, n<<b
	exponent += b - a
	sticky := false
	if hi >= n {
		sticky = lo&1 != 0
		hi, lo, exponent = hi>>1, hi<<63|lo>>1, exponent+1
	}
	q, rest := bits.Div64(hi, lo, n)
	lead := bits.LeadingZeros64(q)
	return rounded(q<<lead, sticky || rest != 0, exponent-lead)
}

func (m *magnitude) timesWord(k uint64) (p magnitude) {
	var carry uint64
	for i, a := range m {
		hi, lo := bits.Mul64(a, k)
		var c uint64
		p[i], c = bits.Add64(lo, carry, 0)
		carry = hi + c
	}
	return p
}

func (m *magnitude) compare(n *magnitude) int {
	for i := len(m) - 1; i >= 0; i-- {
		if m[i] != n[i] {
			if m[i] < n[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

func (m *magnitude) subtract(n *magnitude) {
	var borrow uint64
	for i := range m {
		m[i], borrow = bits.Sub64(m[i], n[i], borrow)
	}
}

func signed(x float64, negative bool) float64 {
	if negative {
		return -x
	}
	return x
}
