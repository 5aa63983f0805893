package onnxmodel

import (
	"slices"
)

// product is a multiplication of matrices: for each of batches, out[m,n] = Σ a[m,k]·b[k,n], summed in the order of k.
type product struct {
	a, b, out  *tensor
	m, k, n    int
	fromA      []int32 // where the matrices of each batch begin
	fromB      []int32
	aRow, aCol int // steps between rows and columns
	bRow, bCol int
	alpha      float64
	bias       *tensor
	biasIndex  []int32 // element of bias for each of out; nil: the same
	beta       float64
}

func (c *call) matrices() (a, b *tensor, err error) {
	if a, err = c.input(0, dtype.floating); err != nil {
		return nil, nil, err
	}
	b, err = c.input(1, func(d dtype) bool { return d == a.kind })
	return a, b, err
}

func matMul(c *call) (bind, error) {
	if err := c.count(2, 2); err != nil {
		return nil, err
	}
	a, b, err := c.matrices()
	if err != nil {
		return nil, err
	}
	if len(a.shape) == 0 || len(b.shape) == 0 {
		return nil, invalid("shapes %v and %v: a single number is no matrix", a.shape, b.shape)
	}
	left, right := a.shape, b.shape
	if len(left) == 1 {
		left = []int{1, left[0]}
	}
	if len(right) == 1 {
		right = []int{right[0], 1}
	}
	la, lb := len(left)-2, len(right)-2
	p := product{a: a, b: b, m: left[la], k: left[la+1], n: right[lb+1], alpha: 1}
	if p.k != right[lb] {
		return nil, invalid("shapes %v and %v: inner dimensions %d and %d differ", a.shape, b.shape, p.k, right[lb])
	}
	p.aRow, p.aCol, p.bRow, p.bCol = p.k, 1, p.n, 1
	batch, err := broadcast(left[:la], right[:lb])
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(batch)
	if len(a.shape) > 1 {
		shape = append(shape, p.m)
	}
	if len(b.shape) > 1 {
		shape = append(shape, p.n)
	}
	if p.fromA, err = c.blocks(left[:la], batch, p.m*p.k); err != nil {
		return nil, err
	}
	if p.fromB, err = c.blocks(right[:lb], batch, p.k*p.n); err != nil {
		return nil, err
	}
	return c.multiply(p, shape)
}

// blocks are where the matrices of size elements begin that a batch of some shape spreads over another.
func (c *call) blocks(shape, batch []int, size int) ([]int32, error) {
	count := elements(batch)
	if count < 0 {
		return nil, c.spend(maxElements+1, 0, 0)
	}
	index, err := c.spread(shape, batch)
	if err != nil {
		return nil, err
	}
	if err := c.spend(0, count, 0); err != nil {
		return nil, err
	}
	from := make([]int32, count)
	for i := range from {
		from[i] = int32(at(index, i) * size)
	}
	return from, nil
}

func gemm(c *call) (bind, error) {
	if err := c.count(2, 3); err != nil {
		return nil, err
	}
	a, b, err := c.matrices()
	if err != nil {
		return nil, err
	}
	if len(a.shape) != 2 || len(b.shape) != 2 {
		return nil, invalid("shapes %v and %v: expected two matrices", a.shape, b.shape)
	}
	p := product{a: a, b: b, fromA: []int32{0}, fromB: []int32{0}}
	if p.alpha, err = c.floatAttr("alpha", 1); err != nil {
		return nil, err
	}
	if p.beta, err = c.floatAttr("beta", 1); err != nil {
		return nil, err
	}
	turnA, err := c.flag("transA", false)
	if err != nil {
		return nil, err
	}
	turnB, err := c.flag("transB", false)
	if err != nil {
		return nil, err
	}
	p.m, p.k, p.aRow, p.aCol = sides(a.shape, turnA)
	var inner int
	inner, p.n, p.bRow, p.bCol = sides(b.shape, turnB)
	if inner != p.k {
		return nil, invalid("shapes %v and %v: inner dimensions %d and %d differ", a.shape, b.shape, p.k, inner)
	}
	shape := []int{p.m, p.n}
	if t := c.optional(2); t != nil && p.beta != 0 {
		if p.bias, err = c.input(2, func(d dtype) bool { return d == a.kind }); err != nil {
			return nil, err
		}
		if both, err := broadcast(t.shape, shape); err != nil || !slices.Equal(both, shape) {
			return nil, invalid("C has shape %v, which does not extend to %v", t.shape, shape)
		}
		if p.biasIndex, err = c.spread(t.shape, shape); err != nil {
			return nil, err
		}
	}
	return c.multiply(p, shape)
}

// sides are the dimensions of a matrix that may be turned, and its steps between rows and columns.
func sides(shape []int, turned bool) (rows, columns, rowStep, columnStep int) {
	if turned {
		return shape[1], shape[0], 1, shape[1]
	}
	return shape[0], shape[1], shape[1], 1
}

func (c *call) multiply(p product, shape []int) (bind, error) {
	var err error
	if p.out, err = c.output(0, p.a.kind, shape); err != nil {
		return nil, err
	}
	if err := c.spend(0, 0, min(maxWork, p.out.count)*min(maxWork, p.k)); err != nil {
		return nil, err
	}
	if p.b.constant && !p.a.constant && len(p.fromB) == 1 && (p.bRow != 1 || p.bCol != p.k) {
		p.turn()
	}
	if p.a.kind == typeDouble {
		return productOf[float64](p), nil
	}
	return productOf[float32](p), nil
}

// turn copies a constant matrix so that its columns are contiguous: a layer of a network reads them one after the other.
func (p *product) turn() {
	t := *p.b
	if t.kind == typeFloat {
		t.f32 = turned(t.f32, p.k, p.n, p.bRow, p.bCol)
	} else {
		t.f64 = turned(t.f64, p.k, p.n, p.bRow, p.bCol)
	}
	p.b, p.bRow, p.bCol = &t, 1, p.k
}

func turned[T number](b []T, k, n, row, column int) []T {
	out := make([]T, k*n)
	for j := range n {
		for i := range k {
			out[j*k+i] = b[i*row+j*column]
		}
	}
	return out
}

func productOf[T float32 | float64](p product) bind {
	return func(m *machine) func() {
		a, b, out := values[T](m, p.a), values[T](m, p.b), values[T](m, p.out)
		var bias []T
		if p.bias != nil {
			bias = values[T](m, p.bias)
		}
		return func() {
			for i := range p.fromB {
				z := out[i*p.m*p.n : (i+1)*p.m*p.n]
				for row := range p.m {
					from := int(p.fromA[i]) + row*p.aRow
					multiplyRow(z[row*p.n:(row+1)*p.n], a[from:], p.aCol, b[p.fromB[i]:], p)
				}
			}
			if p.alpha != 1 || bias != nil {
				finish(out, bias, p)
			}
		}
	}
}

// multiplyRow is one row of the result.
func multiplyRow[T float32 | float64](z, a []T, step int, b []T, p product) {
	if step == 1 && p.bRow == 1 {
		dots(z, a[:p.k], b, p.bCol)
		return
	}
	for j := range z {
		var sum T
		for k := range p.k {
			sum += T(a[k*step] * b[k*p.bRow+j*p.bCol])
		}
		z[j] = sum
	}
}

// dots are the products of one row with columns that are step apart, four at a time: their sums do not wait for each other.
// Each is summed in order, without fused multiply-adds: same bits on every machine.
func dots[T float32 | float64](z, a, b []T, step int) {
	n, j := len(a), 0
	for ; j+4 <= len(z); j += 4 {
		b0, b1, b2, b3 := b[j*step:][:n], b[(j+1)*step:][:n], b[(j+2)*step:][:n], b[(j+3)*step:][:n]
		var s0, s1, s2, s3 T
		for k, v := range a {
			s0 += T(v * b0[k])
			s1 += T(v * b1[k])
			s2 += T(v * b2[k])
			s3 += T(v * b3[k])
		}
		z[j], z[j+1], z[j+2], z[j+3] = s0, s1, s2, s3
	}
	for ; j < len(z); j++ {
		column := b[j*step:][:n]
		var sum T
		for k, v := range a {
			sum += T(v * column[k])
		}
		z[j] = sum
	}
}

func finish[T float32 | float64](out, bias []T, p product) {
	alpha, beta := T(p.alpha), T(p.beta)
	for i := range out {
		v := T(alpha * out[i])
		if bias != nil {
			v += T(beta * bias[at(p.biasIndex, i)])
		}
		out[i] = v
	}
}
