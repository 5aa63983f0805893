package feature

import (
	"math"

	"github.com/freshet-ml/freshet/embed"
	"github.com/freshet-ml/freshet/feature/expression"
)

// vectorsCell adds vectors of one length, each component exactly.
type vectorsCell struct {
	n    uint64
	sums []fixed
	// embedder makes vectors of the texts that come; nil if vectors come.
	embedder embed.Embedder
	vector   []float32
}

func (c *vectorsCell) reset() {
	if c.n > 0 {
		c.n = 0
		clear(c.sums)
	}
}

func (c *vectorsCell) add(x *operand, _ *occurrence) {
	if !x.ok {
		return
	}
	c.n++
	if c.embedder == nil {
		for i, component := range x.value.Vec {
			f := fixedOf(component)
			c.sums[i].add(&f)
		}
		return
	}
	c.embedder.Embed(x.value.Str, c.vector)
	for i, component := range c.vector {
		f := fixedOf(embeddingUnit(component))
		c.sums[i].add(&f)
	}
}

// embeddingUnit rounds a component of a vector of length 1 to a multiple of 2^-32: the direction of the mean does not change to
// speak of, and a sum takes five bytes instead of up to eight.
func embeddingUnit(x float32) float64 {
	const unit = 1.0 / (1 << 32)
	return math.RoundToEven(float64(x)/unit) * unit
}

func (c *vectorsCell) absorb(b []byte, _ anchor) (rest []byte, ok bool) {
	n, rest, ok := readUvarint(b)
	if !ok || n == 0 {
		return rest, ok
	}
	c.n += n
	for i := range c.sums {
		var sum fixed
		if rest, ok = readExact(rest, sum[:]); !ok {
			return nil, false
		}
		c.sums[i].add(&sum)
	}
	return rest, true
}

func (c *vectorsCell) append(dst []byte, _ anchor) []byte {
	dst = appendUvarint(dst, c.n)
	if c.n == 0 {
		return dst
	}
	for i := range c.sums {
		dst = appendExact(dst, c.sums[i][:])
	}
	return dst
}

// mean is the mean of each component.
func (c *vectorsCell) mean() []float64 {
	vec := make([]float64, len(c.sums))
	for i := range vec {
		vec[i] = c.sums[i].over(c.n)
	}
	return vec
}

// direction is the mean made a vector of length 1, or of zeros if it is one. Squares are rounded before they are added: fused,
// they would differ between machines.
func (c *vectorsCell) direction() []float64 {
	vec := make([]float64, len(c.sums))
	squares := 0.0
	for i := range vec {
		vec[i] = c.sums[i].float()
		squares += float64(vec[i] * vec[i])
	}
	if squares == 0 {
		return vec
	}
	length := math.Sqrt(squares)
	for i := range vec {
		vec[i] /= length
	}
	return vec
}

func (c *call) centroid() (expression.Slot, error) {
	arg, in, err := c.operands(1, "a vector", expression.Vector)
	if err != nil {
		return expression.Slot{}, err
	}
	t := arg.Type()
	state := c.frame.component("vectors", in, func() cell { return &vectorsCell{sums: make([]fixed, t.Dim)} })
	return c.vectors(t, state, (*vectorsCell).mean), nil
}

func (c *call) embed() (expression.Slot, error) {
	e := c.frame.embedder
	if e == nil {
		return expression.Slot{}, c.errorf("there is no embedder here that could make vectors of texts")
	}
	_, in, err := c.operands(1, "a string", expression.String)
	if err != nil {
		return expression.Slot{}, err
	}
	c.frame.embeds = true
	dim := e.Dim()
	state := c.frame.component("embeddings", in, func() cell {
		return &vectorsCell{sums: make([]fixed, dim), embedder: e, vector: make([]float32, dim)}
	})
	return c.vectors(expression.Type{Kind: expression.Vector, Dim: dim}, state, (*vectorsCell).direction), nil
}

func (c *call) vectors(t expression.Type, state int, of func(*vectorsCell) []float64) expression.Slot {
	return c.frame.aggregate(t, state, func(c cell, _ int64) expression.Value {
		v := c.(*vectorsCell)
		if v.n == 0 {
			return expression.Value{}
		}
		return expression.Value{Kind: expression.Vector, Vec: of(v)}
	})
}
