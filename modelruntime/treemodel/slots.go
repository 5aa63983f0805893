package treemodel

import (
	"math"
	"sync"
)

// policy is what becomes of a value before it is compared. Whatever the policy, LightGBM first takes |x| ≤ 1e-35 for 0, and
// XGBoost first rounds to float32; of the numerical ones it knows the last two.
type policy uint8

const (
	missingIsZero    policy = iota // NaN is 0
	zeroGoesLeft                   // NaN and 0 go left
	zeroGoesRight                  // … right
	nanGoesLeft                    // NaN goes left
	nanGoesRight                   // … right
	categorySet                    // LightGBM: left if the value is in a set of codes
	othersLeft                     // XGBoost: right if it is in the set or NaN
	othersAndNaNLeft               // XGBoost: right if it is in the set
)

const zeroBound = float64(float32(1e-35))

// slots turns a row of inputs into what the nodes compare: one value for each pair of a feature and a policy that the model
// uses, and one for each set of categories. What goes left whatever the threshold becomes −Inf, what goes right NaN: the
// first is ≤ every threshold and the second ≤ none, those of ±Inf included.
type slots struct {
	single   bool                  // XGBoost: values are rounded to float32 first
	count    int                   // with slot 0, which is always −Inf
	features [categorySet][]uint32 // by policy, in the order of the slots
	sets     []categorySlots
	pool     sync.Pool // of *slotBuffer
}

// categorySlots are the sets of one categorical feature, in consecutive slots.
type categorySlots struct {
	feature uint32
	policy  policy
	sets    [][]uint32 // bit c of a set: it holds code c
}

type slotBuffer struct {
	values []float64
	scores []float64 // of models with fewer outputs than sums
}

func (b *slotBuffer) sums(n int) []float64 {
	if cap(b.scores) < n {
		b.scores = make([]float64, n)
	}
	return b.scores[:n]
}

func (s *slots) buffer(rows int) *slotBuffer {
	b, _ := s.pool.Get().(*slotBuffer)
	if b == nil {
		b = &slotBuffer{}
	}
	if need := rows * s.count; cap(b.values) < need {
		b.values = make([]float64, need)
	}
	b.values = b.values[:rows*s.count]
	return b
}

func (s *slots) release(b *slotBuffer) { s.pool.Put(b) }

// fill writes the slots of rows rows of inputs to x.
func (s *slots) fill(inputs, x []float64, rows int) {
	width := len(inputs) / rows
	for row := range rows {
		s.fillRow(inputs[row*width:(row+1)*width], x[row*s.count:(row+1)*s.count])
	}
}

func (s *slots) fillRow(input, x []float64) {
	x[0] = math.Inf(-1)
	if s.single {
		s.fillSingle(input, x)
		return
	}
	at := 1
	for p, features := range s.features {
		zero, missing := policy(p).replacements()
		for _, f := range features {
			v := input[f]
			if math.Abs(v) <= zeroBound {
				v = zero
			}
			if v != v {
				v = missing
			}
			x[at] = v
			at++
		}
	}
	for i := range s.sets {
		at = s.sets[i].fill(input, x, at)
	}
}

// replacements are what stands in for zero and for NaN.
func (p policy) replacements() (zero, missing float64) {
	left, right := math.Inf(-1), math.NaN()
	switch p {
	case zeroGoesLeft:
		return left, left
	case zeroGoesRight:
		return right, right
	case nanGoesLeft:
		return 0, left
	case nanGoesRight:
		return 0, right
	}
	return 0, 0
}

// fillSingle is fillRow for XGBoost.
func (s *slots) fillSingle(input, x []float64) {
	at := 1
	for _, f := range s.features[nanGoesLeft] {
		v := float64(float32(input[f]))
		if v != v {
			v = math.Inf(-1)
		}
		x[at] = v
		at++
	}
	for _, f := range s.features[nanGoesRight] {
		x[at] = float64(float32(input[f])) // NaN goes right by itself
		at++
	}
	for i := range s.sets {
		at = s.sets[i].fillSingle(input, x, at)
	}
}

// fill writes −Inf for each set that holds the code and NaN for the others. NaN, negative and fractional codes are taken
// as the library takes them: the first two are in no set, 1.7 is 1 (and −0.5 is 0).
func (c *categorySlots) fill(input, x []float64, at int) int {
	v := input[c.feature]
	code := -1
	if v > -1 && v < math.MaxInt32 {
		code = int(v)
	}
	word, bit := uint(code)/32, uint(code)%32
	for _, set := range c.sets {
		value := math.NaN()
		if code >= 0 && word < uint(len(set)) && set[word]>>bit&1 == 1 {
			value = math.Inf(-1)
		}
		x[at] = value
		at++
	}
	return at
}

// fillSingle is fill for XGBoost: codes are rounded to float32 and then cut off, and those of the set go right.
func (c *categorySlots) fillSingle(input, x []float64, at int) int {
	v := float32(input[c.feature])
	left, right := math.Inf(-1), math.NaN()
	if v != v && c.policy == othersLeft {
		left = right
	}
	word, bit := uint(math.MaxUint), uint(0)
	if v >= 0 && v < maxCategory {
		word, bit = uint(v)/32, uint(v)%32
	}
	for _, set := range c.sets {
		x[at] = left
		if word < uint(len(set)) && set[word]>>bit&1 == 1 {
			x[at] = right
		}
		at++
	}
	return at
}
