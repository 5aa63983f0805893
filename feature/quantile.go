package feature

import (
	"cmp"
	"math"
	"slices"

	"github.com/freshet-ml/freshet/feature/expression"
)

// Quantiles are read from a histogram, whose bins are never joined: it is the same in whatever order numbers came. Each power of
// two is cut into binsPerOctave bins of equal width. That takes two fifths more bins than a logarithm would, but needs none:
// the bin is the exponent and a few bits of the float64, the same on every machine.
const binsPerOctave = 50

const (
	minExponent = -1074 // of the least float64 above zero
	maxExponent = 52    // of the largest number below 2^53; that itself begins the octave after it
	maxBin      = (maxExponent + 1 - minExponent + 1) * binsPerOctave
)

// binOf numbers bins in the order of their numbers: zero is 0, those below it are negative.
func binOf(x float64) int {
	if x == 0 {
		return 0
	}
	fraction, exponent := math.Frexp(math.Abs(x)) // fraction in [½, 1)
	mantissa := math.Float64bits(fraction) & (1<<52 - 1)
	bin := (exponent-1-minExponent)*binsPerOctave + int(mantissa*binsPerOctave>>52) + 1
	if x < 0 {
		return -bin
	}
	return bin
}

// middleOf is the number from which no number of the bin differs by more than 1/(2·binsPerOctave + 1) of itself: the
// harmonic mean of its edges.
func middleOf(bin int) float64 {
	if bin == 0 {
		return 0
	}
	at := max(bin, -bin) - 1
	edge := binsPerOctave + at%binsPerOctave // the bin is from edge to edge + 1, in units of 2^exponent / binsPerOctave
	middle := float64(2*edge*(edge+1)) / float64((2*edge+1)*binsPerOctave)
	return math.Copysign(math.Ldexp(middle, at/binsPerOctave+minExponent), float64(bin))
}

// quantileCell counts the numbers of each bin.
type quantileCell struct{ bins []bin }

type bin struct {
	at int
	n  uint64
}

func (c *quantileCell) reset() { c.bins = c.bins[:0] }

func (c *quantileCell) add(x *operand, _ *occurrence) {
	if x.ok && math.Abs(x.num) <= maxSummand {
		c.offer(binOf(x.num), 1, 0)
	}
}

// offer counts n numbers of a bin, which is looked for from a place on. It returns the place after it.
func (c *quantileCell) offer(at int, n uint64, from int) int {
	i := len(c.bins)
	if i > 0 && at <= c.bins[i-1].at {
		var found bool
		i, found = slices.BinarySearchFunc(c.bins[from:], at, func(b bin, at int) int { return cmp.Compare(b.at, at) })
		i += from
		if found {
			c.bins[i].n += n
			return i + 1
		}
	}
	c.bins = slices.Insert(c.bins, i, bin{at: at, n: n})
	return i + 1
}

// Bins are written from this one on: most numbers are not far from 1, on the side of the large ones.
const firstBin = (0-minExponent)*binsPerOctave + 1

// absorb reads the number of bins, then for each how far it lies behind the one before, and the number in it: in one, if
// that is 1.
func (c *quantileCell) absorb(b []byte, _ anchor) (rest []byte, ok bool) {
	left, rest, ok := readUvarint(b)
	at, place := -maxBin, 0
	for first := true; ok && left > 0; left-- {
		var step uint64
		n := uint64(1)
		if step, rest, ok = readUvarint(rest); ok && step&1 == 1 {
			n, rest, ok = readUvarint(rest)
		}
		if !ok {
			return nil, false
		}
		step >>= 1
		switch {
		case step > 4*maxBin:
			return nil, false
		case first:
			at, first = firstBin+unzigzag(step), false
		default:
			at += int(step) + 1
		}
		if at < -maxBin || at > maxBin {
			return nil, false
		}
		place = c.offer(at, n, place)
	}
	return rest, ok
}

func (c *quantileCell) append(dst []byte, _ anchor) []byte {
	dst = appendUvarint(dst, uint64(len(c.bins)))
	for i, b := range c.bins {
		var step uint64
		if i == 0 {
			step = zigzag(b.at - firstBin)
		} else {
			step = uint64(b.at - c.bins[i-1].at - 1)
		}
		if b.n == 1 {
			dst = appendUvarint(dst, step<<1)
			continue
		}
		dst = appendUvarint(dst, step<<1|1)
		dst = appendUvarint(dst, b.n)
	}
	return dst
}

func zigzag(i int) uint64   { return uint64(i)<<1 ^ uint64(i>>63) }
func unzigzag(u uint64) int { return int(u>>1) ^ -int(u&1) }

// quantile is the element at index ⌊q·(n − 1)⌋, as near as its bin says; ok is false if there is none.
func (c *quantileCell) quantile(q float64) (x float64, ok bool) {
	if len(c.bins) == 0 {
		return 0, false
	}
	var n uint64
	for _, b := range c.bins {
		n += b.n
	}
	index := uint64(q * float64(n-1))
	last := len(c.bins) - 1
	for _, b := range c.bins[:last] {
		if index < b.n {
			return middleOf(b.at), true
		}
		index -= b.n
	}
	return middleOf(c.bins[last].at), true
}

func (c *call) quantile() (expression.Slot, error) {
	if len(c.args) < 2 {
		return expression.Slot{}, c.errorf("it needs %s and which quantile, such as 0.95", numbersAndBools)
	}
	q, ok := c.args[1].Number()
	if !ok || q < 0 || q > 1 {
		return expression.Slot{}, c.argumentErrorf(1, "%s is no quantile; it must be a number from 0 to 1, written out", c.args[1])
	}
	_, in, err := c.operands(2, numbersAndBools, expression.Number, expression.Bool)
	if err != nil {
		return expression.Slot{}, err
	}
	state := c.frame.component("quantile", in, func() cell { return &quantileCell{} })
	return c.frame.aggregate(expression.Type{Kind: expression.Number}, state, func(c cell, _ int64) expression.Value {
		x, ok := c.(*quantileCell).quantile(q)
		if !ok {
			return expression.Value{}
		}
		return number(x)
	}), nil
}
