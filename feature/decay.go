package feature

import (
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/freshet-ml/freshet/feature/expression"
)

// Decayed sums are kept in spans of one half-life each, on a grid that begins in 1970 and does not depend on the panes of the
// row. An event adds x·2^((t − start)/half_life) to its span, rounded once to a multiple of 2^-64; from then on all is exact.
// At T, a span that began k half-lives before that of T counts 2^-k times: a shift. So the sum over the spans is exact as
// well, and one factor, how far T is into its own span, and one rounding make the value. How events came, and how panes
// were cut and merged, leaves no trace.

// maxSpans is for how many spans an event counts, beginning with its own: what is older than 64 half-lives is 0, and never
// less old is dropped.
const maxSpans = 65

// decayCell keeps the spans that can still count at or after the newest of them. That only moves on, so that a span that is
// there in the end was never dropped.
type decayCell struct {
	halfLife int64  // milliseconds
	spans    []span // newest first
}

type span struct {
	index int64 // since 1970
	sum   fixed
}

func (c *decayCell) reset() { c.spans = c.spans[:0] }

func (c *decayCell) add(x *operand, e *occurrence) {
	if !x.ok || math.Abs(x.num) > maxSummand {
		return
	}
	index := e.time / c.halfLife
	sum := grown(x.num, e.time-index*c.halfLife, c.halfLife)
	c.offer(index, &sum)
}

// grown is x·2^(after/halfLife) for after < halfLife.
func grown(x float64, after, halfLife int64) fixed {
	f := fixedOf(x)
	if after == 0 {
		return f
	}
	fraction, _ := bits.Div64(uint64(after), 0, uint64(halfLife))
	m, negative := magnitudeOf(f[:])
	p := m.timesWord(exp2(fraction)) // in units of 2^-127
	var carry uint64
	p[0], carry = bits.Add64(p[0], 1<<62, 0)
	for i := 1; i < len(f); i++ {
		p[i], carry = bits.Add64(p[i], 0, carry)
	}
	p, _ = p.shifted(-63)
	copy(f[:], p[:])
	if negative {
		negate(f[:])
	}
	return f
}

func (c *decayCell) offer(index int64, sum *fixed) {
	at := 0
	for at < len(c.spans) && c.spans[at].index > index {
		at++
	}
	switch {
	case at < len(c.spans) && c.spans[at].index == index:
		c.spans[at].sum.add(sum)
		return
	case at > 0 && index <= c.spans[0].index-maxSpans:
		return
	}
	c.spans = slices.Insert(c.spans, at, span{index: index, sum: *sum})
	for last := len(c.spans) - 1; c.spans[last].index <= c.spans[0].index-maxSpans; last-- {
		c.spans = c.spans[:last]
	}
}

// absorb reads the number of spans, how far the newest lies behind that of the anchor, each next before the one before it,
// and their sums.
func (c *decayCell) absorb(b []byte, at anchor) (rest []byte, ok bool) {
	left, rest, ok := readUvarint(b)
	index := at.time / c.halfLife
	for first := true; ok && left > 0; left-- {
		var steps int64
		if steps, rest, ok = readTime(rest); !ok {
			break
		}
		if first {
			index += steps
		} else {
			index -= steps + 1
		}
		first = false
		if index < 0 {
			return nil, false
		}
		var sum fixed
		if rest, ok = readExact(rest, sum[:]); ok {
			c.offer(index, &sum)
		}
	}
	return rest, ok
}

func (c *decayCell) append(dst []byte, at anchor) []byte {
	dst = appendUvarint(dst, uint64(len(c.spans)))
	for i := range c.spans {
		s := &c.spans[i]
		if i == 0 {
			dst = appendUvarint(dst, uint64(s.index-at.time/c.halfLife))
		} else {
			dst = appendUvarint(dst, uint64(c.spans[i-1].index-s.index-1))
		}
		dst = appendExact(dst, s.sum[:])
	}
	return dst
}

// value is the decayed sum at a moment that is not before any event.
func (c *decayCell) value(at int64) float64 {
	now := at / c.halfLife
	var sum wide // in units of 2^-128
	for i := range c.spans {
		s := &c.spans[i]
		age := now - s.index
		if age < 0 || age >= maxSpans {
			continue
		}
		w := s.sum.raised(64 - uint(age))
		sum.add(&w)
	}
	m, negative := magnitudeOf(sum[:])
	exponent := -2 * fractionBits
	if into := at - now*c.halfLife; into > 0 {
		// 2^(−into/half_life) is half of 2^((half_life − into)/half_life).
		fraction, _ := bits.Div64(uint64(c.halfLife-into), 0, uint64(c.halfLife))
		m = m.timesWord(exp2(fraction))
		exponent -= 63 + 1
	}
	return signed(m.float(exponent), negative)
}

// raised is f·2^by for by ≤ 64.
func (f *fixed) raised(by uint) wide {
	w := f.wide()
	if by == 64 {
		return wide{0, w[0], w[1], w[2], w[3]}
	}
	// A shift by 64, which Go defines as 0, is meant where by is 0.
	return wide{w[0] << by, w[1]<<by | w[0]>>(64-by), w[2]<<by | w[1]>>(64-by), w[3]<<by | w[2]>>(64-by), w[4]<<by | w[3]>>(64-by)}
}

func (c *call) decay() (expression.Slot, error) {
	if len(c.args) < 2 {
		return expression.Slot{}, c.errorf("it needs %s and a half-life, such as \"7d\"", numbersAndBools)
	}
	text, ok := c.args[1].Text()
	if !ok {
		return expression.Slot{}, c.argumentErrorf(1, "the half-life %s must be a text, such as \"7d\"", c.args[1])
	}
	halfLife, err := parseDuration(text)
	if err != nil {
		return expression.Slot{}, c.argumentErrorf(1, "half-life: %w", err)
	}
	_, in, err := c.operands(2, numbersAndBools, expression.Number, expression.Bool)
	if err != nil {
		return expression.Slot{}, err
	}
	state := c.frame.component("decay "+strconv.FormatInt(halfLife, 10), in, func() cell { return &decayCell{halfLife: halfLife} })
	return c.frame.aggregate(expression.Type{Kind: expression.Number}, state, func(c cell, at int64) expression.Value {
		return number(c.(*decayCell).value(at))
	}), nil
}
