package feature

import "math"

// numbersCell adds numbers exactly, as far as the aggregates of the view need it: their number (all but sum), their sum, their
// squares (variance, stddev) and the moments of the times at which they came (slope).
type numbersCell struct {
	needs numbersNeeds

	n       uint64
	sum     fixed
	squares wide // Σx² in units of 2^-128
	// Moments of event times in milliseconds since 1970. A pane writes those of the times since its anchor, which are small.
	t, tt, xt wide // Σt, Σt², Σx·t in units of 2^-64
}

// numbersNeeds says what is kept beside the sum.
type numbersNeeds struct{ counts, squares, moments bool }

func (n *numbersNeeds) add(m numbersNeeds) {
	n.counts = n.counts || m.counts
	n.squares = n.squares || m.squares
	n.moments = n.moments || m.moments
}

func (c *numbersCell) reset() {
	c.n, c.sum = 0, fixed{}
	if c.needs.squares {
		c.squares = wide{}
	}
	if c.needs.moments {
		c.t, c.tt, c.xt = wide{}, wide{}, wide{}
	}
}

func (c *numbersCell) add(x *operand, e *occurrence) {
	if !x.ok || math.Abs(x.num) > maxSummand {
		return
	}
	f := fixedOf(x.num)
	c.n++
	c.sum.add(&f)
	if c.needs.squares {
		square := f.square()
		c.squares.add(&square)
	}
	if !c.needs.moments {
		return
	}
	t := wideOf(uint64(e.time))
	tt, xt := t.scaled(e.time), f.wide()
	xt = xt.scaled(e.time)
	c.t.add(&t)
	c.tt.add(&tt)
	c.xt.add(&xt)
}

func (c *numbersCell) absorb(b []byte, at anchor) (rest []byte, ok bool) {
	rest = b
	var p numbersCell
	if c.needs.counts {
		if p.n, rest, ok = readUvarint(rest); !ok {
			return nil, false
		}
		c.n += p.n
	}
	if rest, ok = readExact(rest, p.sum[:]); !ok {
		return nil, false
	}
	c.sum.add(&p.sum)
	if c.needs.squares {
		if rest, ok = readSquares(rest, &p.squares); !ok {
			return nil, false
		}
		c.squares.add(&p.squares)
	}
	if !c.needs.moments {
		return rest, true
	}
	for _, w := range [...]*wide{&p.t, &p.tt, &p.xt} {
		if rest, ok = readExact(rest, w[:]); !ok {
			return nil, false
		}
	}
	p.shift(at.time)
	c.t.add(&p.t)
	c.tt.add(&p.tt)
	c.xt.add(&p.xt)
	return rest, true
}

func (c *numbersCell) append(dst []byte, at anchor) []byte {
	if c.needs.counts {
		dst = appendUvarint(dst, c.n)
	}
	dst = appendExact(dst, c.sum[:])
	if c.needs.squares {
		dst = appendSquares(dst, &c.squares)
	}
	if !c.needs.moments {
		return dst
	}
	p := *c
	p.shift(-at.time)
	dst = appendExact(dst, p.t[:])
	dst = appendExact(dst, p.tt[:])
	return appendExact(dst, p.xt[:])
}

// shift makes the moments those of the times by milliseconds later: Σ(t+d) = Σt + nd, Σ(t+d)² = Σt² + 2dΣt + nd²,
// Σx(t+d) = Σxt + dΣx. All exact, so that no shift leaves a trace.
func (c *numbersCell) shift(by int64) {
	sum := c.sum.wide()
	dx := sum.scaled(by)
	c.xt.add(&dx)
	n := wideOf(c.n)
	nd := n.scaled(by)
	// 2dΣt + nd² = d(2Σt + nd) = d(Σt + Σ(t+d))
	both := c.t
	c.t.add(&nd)
	both.add(&c.t)
	both = both.scaled(by)
	c.tt.add(&both)
}

// slope is the least-squares slope of x over t per second; ok is false for fewer than two numbers and where all times are equal.
func (c *numbersCell) slope() (x float64, ok bool) {
	n, sum := wideOf(c.n), c.sum.wide()
	den, square := n.times(&c.tt), c.t.times(&c.t)
	den.sub(&square)
	if den.isZero() {
		return 0, false // also for n < 2
	}
	const millisecondsPerSecond = 1000
	num, cross := n.times(&c.xt), sum.times(&c.t)
	num.sub(&cross)
	num = num.scaled(millisecondsPerSecond)
	a, negative := magnitudeOf(num[:])
	b, _ := magnitudeOf(den[:])
	return signed(ratio(&a, &b, -fractionBits), negative), true
}

// variance is that of the sample, (nΣx² − (Σx)²) / n(n − 1); ok is false for fewer than two numbers.
func (c *numbersCell) variance() (x float64, ok bool) {
	if c.n < 2 {
		return 0, false
	}
	n, less, sum := wideOf(c.n), wideOf(c.n-1), c.sum.wide()
	num, square := n.times(&c.squares), sum.times(&sum)
	num.sub(&square)
	den := n.times(&less)
	a, negative := magnitudeOf(num[:])
	b, _ := magnitudeOf(den[:])
	// What is below zero is in no row of ours.
	return ratio(&a, &b, -2*fractionBits), !negative
}
