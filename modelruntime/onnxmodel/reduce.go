package onnxmodel

import (
	"math"
	"slices"
)

// reduction makes one number of many.
type reduction struct {
	first float64
	add   func(sum, x float64) float64
	last  func(sum float64, n int) float64
	whole func(sum, x int64) int64 // nil: integers are not read
	zero  int64                    // what whole begins with
	since int64                    // the version from which on axes is an input
}

func asItIs(sum float64, _ int) float64 { return sum }

func plus(sum, x float64) float64 { return sum + x }

// reductions are the operators that make one number of those along some axes.
func reductions() map[operator]build {
	all := make(map[operator]build)
	for name, r := range map[string]reduction{
		"ReduceSum":       {0, plus, asItIs, func(sum, x int64) int64 { return sum + x }, 0, 13},
		"ReduceMean":      {0, plus, func(sum float64, n int) float64 { return sum / float64(n) }, nil, 0, 18},
		"ReduceMax":       {math.Inf(-1), func(sum, x float64) float64 { return max(sum, x) }, asItIs, func(sum, x int64) int64 { return max(sum, x) }, math.MinInt64, 18},
		"ReduceMin":       {math.Inf(1), func(sum, x float64) float64 { return min(sum, x) }, asItIs, func(sum, x int64) int64 { return min(sum, x) }, math.MaxInt64, 18},
		"ReduceProd":      {1, func(sum, x float64) float64 { return sum * x }, asItIs, func(sum, x int64) int64 { return sum * x }, 1, 18},
		"ReduceL1":        {0, func(sum, x float64) float64 { return sum + math.Abs(x) }, asItIs, nil, 0, 18},
		"ReduceL2":        {0, func(sum, x float64) float64 { return sum + float64(x*x) }, func(sum float64, _ int) float64 { return math.Sqrt(sum) }, nil, 0, 18},
		"ReduceSumSquare": {0, func(sum, x float64) float64 { return sum + float64(x*x) }, asItIs, nil, 0, 18},
		"ReduceLogSum":    {0, plus, func(sum float64, _ int) float64 { return math.Log(sum) }, nil, 0, 18},
		"ReduceLogSumExp": {math.Inf(-1), addExponents, asItIs, nil, 0, 18},
	} {
		all[operator{"", name}] = func(c *call) (bind, error) { return c.reduce(r) }
	}
	return all
}

// addExponents is ln(e^sum + e^x) without overflow.
func addExponents(sum, x float64) float64 {
	low, high := min(sum, x), max(sum, x)
	if math.IsInf(high, 0) {
		return high
	}
	return high + math.Log1p(math.Exp(low-high))
}

func (c *call) reduce(r reduction) (bind, error) {
	if err := c.count(1, 2); err != nil {
		return nil, err
	}
	in, err := c.input(0, numeric)
	if err != nil {
		return nil, err
	}
	given, err := c.axesOf(r.since, 1)
	if err != nil {
		return nil, err
	}
	none, err := c.flag("noop_with_empty_axes", false)
	if err != nil {
		return nil, err
	}
	keep, err := c.flag("keepdims", true)
	if err != nil {
		return nil, err
	}
	along, err := axes(given, len(in.shape))
	if err != nil {
		return nil, err
	}
	if len(given) == 0 {
		if none {
			return nil, unsupported("noop_with_empty_axes without axes is not read")
		}
		for i := range in.shape {
			along = append(along, i)
		}
	}
	shape, step := reduced(in.shape, along, keep)
	out, err := c.output(0, in.kind, shape)
	if err != nil {
		return nil, err
	}
	index, err := c.walk(in.shape, step, 0)
	if err != nil {
		return nil, err
	}
	if err := c.spend(0, 0, in.count); err != nil {
		return nil, err
	}
	switch {
	case in.kind == typeFloat:
		return reduceOf[float32](in, out, index, r), nil
	case in.kind == typeDouble:
		return reduceOf[float64](in, out, index, r), nil
	case r.whole == nil || in.kind == typeBool:
		return nil, unsupported("input %.60q is of type %s: float and double are read", in.name, in.kind)
	}
	return reduceWhole(in, out, index, r), nil
}

// reduced is the shape that is left, and how far apart the results of neighbours are.
func reduced(shape, along []int, keep bool) (left, step []int) {
	step = make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		if slices.Contains(along, i) {
			continue
		}
		step[i] = n
		n *= shape[i]
	}
	left = []int{}
	for i, d := range shape {
		switch {
		case !slices.Contains(along, i):
			left = append(left, d)
		case keep:
			left = append(left, 1)
		}
	}
	return left, step
}

func reduceOf[T float32 | float64](in, out *tensor, index []int32, r reduction) bind {
	return func(m *machine) func() {
		x, y, sums, n := values[T](m, in), values[T](m, out), make([]float64, out.count), in.count/out.count
		return func() {
			for i := range sums {
				sums[i] = r.first
			}
			for i, v := range x {
				sums[index[i]] = r.add(sums[index[i]], float64(v))
			}
			for i, sum := range sums {
				y[i] = T(r.last(sum, n))
			}
		}
	}
}

func reduceWhole(in, out *tensor, index []int32, r reduction) bind {
	return func(m *machine) func() {
		x, y := values[int64](m, in), values[int64](m, out)
		return func() {
			for i := range y {
				y[i] = r.zero
			}
			for i, v := range x {
				y[index[i]] = in.kind.wrap(r.whole(y[index[i]], v))
			}
		}
	}
}

// lines is a tensor seen along one axis: outer × length × inner.
type lines struct{ outer, length, inner int }

func linesOf(shape []int, a int) lines {
	return lines{size(shape[:a]), shape[a], size(shape[a+1:])}
}

// argMost is ArgMax (sign 1) or ArgMin (sign −1).
func argMost(sign float64) build {
	return func(c *call) (bind, error) {
		if err := c.count(1, 1); err != nil {
			return nil, err
		}
		in, err := c.input(0, numeric)
		if err != nil {
			return nil, err
		}
		given, err := c.intAttr("axis", 0)
		if err != nil {
			return nil, err
		}
		keep, err := c.flag("keepdims", true)
		if err != nil {
			return nil, err
		}
		last, err := c.flag("select_last_index", false)
		if err != nil {
			return nil, err
		}
		a, err := axis(given, len(in.shape), len(in.shape))
		if err != nil {
			return nil, err
		}
		shape, _ := reduced(in.shape, []int{a}, keep)
		out, err := c.output(0, typeInt64, shape)
		if err != nil {
			return nil, err
		}
		if err := c.spend(0, 0, in.count); err != nil {
			return nil, err
		}
		l := linesOf(in.shape, a)
		switch {
		case in.kind == typeFloat:
			return argMostOf[float32](in, out, l, float32(sign), last), nil
		case in.kind == typeDouble:
			return argMostOf[float64](in, out, l, sign, last), nil
		}
		return argMostOf[int64](in, out, l, int64(sign), last), nil
	}
}

func argMostOf[T number](in, out *tensor, l lines, sign T, last bool) bind {
	return func(m *machine) func() {
		x, y := values[T](m, in), values[int64](m, out)
		return func() {
			for i := range y {
				line := x[i/l.inner*l.length*l.inner+i%l.inner:]
				best, most := 0, line[0]
				for k := 1; k < l.length; k++ {
					v := line[k*l.inner]
					if v*sign > most*sign || last && v == most {
						best, most = k, v
					}
				}
				y[i] = int64(best)
			}
		}
	}
}
