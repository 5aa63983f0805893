package feature

import "math"

// numbersCell adds numbers exactly, as far as the aggregates of the view need it: their number (mean, slope), their sum
// (sum, mean, slope) and the moments of the times at which they came (slope).
type numbersCell struct {
	counts  bool
	moments bool

	n   uint64
	sum fixed
	// Moments of event times in milliseconds since 1970. A pane writes those of the times since its anchor, which are small.
	t, tt, xt wide // Σt, Σt², Σx·t in units of 2^-64
}

func (c *numbersCell) reset() {
	c.n, c.sum = 0, fixed{}
	if c.moments {
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
	if !c.moments {
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
	if c.counts {
		if p.n, rest, ok = readUvarint(rest); !ok {
			return nil, false
		}
		c.n += p.n
	}
	if rest, ok = readExact(rest, p.sum[:]); !ok {
		return nil, false
	}
	c.sum.add(&p.sum)
	if !c.moments {
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
	if c.counts {
		dst = appendUvarint(dst, c.n)
	}
	dst = appendExact(dst, c.sum[:])
	if !c.moments {
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
