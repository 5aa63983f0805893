package onnxmodel

import "math"

// function is an operator of one number, computed in float64 and rounded to the type of the tensor: for arithmetic that is the
// same bits as computing in float32.
type function func(x float64) float64

// unaryOperators are the operators that change each element by itself.
func unaryOperators() map[operator]build {
	all := make(map[operator]build)
	for name, f := range map[string]function{
		"Tanh": math.Tanh, "Sqrt": math.Sqrt, "Exp": math.Exp, "Log": math.Log, "Erf": math.Erf, "Floor": math.Floor, "Ceil": math.Ceil,
		"Round": math.RoundToEven, "Reciprocal": func(x float64) float64 { return 1 / x }, "Sigmoid": sigmoid, "Softplus": softplus,
		"Softsign":  func(x float64) float64 { return x / (1 + math.Abs(x)) },
		"HardSwish": func(x float64) float64 { return x * min(1, max(0, x/6+0.5)) },
		"Mish":      func(x float64) float64 { return x * math.Tanh(softplus(x)) },
		"Sin":       math.Sin, "Cos": math.Cos, "Tan": math.Tan, "Asin": math.Asin, "Acos": math.Acos, "Atan": math.Atan,
		"Sinh": math.Sinh, "Cosh": math.Cosh, "Asinh": math.Asinh, "Acosh": math.Acosh, "Atanh": math.Atanh,
	} {
		all[operator{"", name}] = func(c *call) (bind, error) { return c.each(f, nil) }
	}
	for name, f := range map[string]func(alpha float64) function{
		"LeakyRelu":       leakyRelu,
		"Elu":             elu,
		"Celu":            celu,
		"ThresholdedRelu": thresholdedRelu,
		"Swish":           func(alpha float64) function { return func(x float64) float64 { return x * sigmoid(alpha*x) } },
	} {
		all[operator{"", name}] = func(c *call) (bind, error) {
			alpha, err := c.floatAttr("alpha", defaultAlpha[name])
			if err != nil {
				return nil, err
			}
			return c.each(f(alpha), nil)
		}
	}
	all[operator{"", "Relu"}] = relu
	all[operator{"", "Selu"}] = selu
	all[operator{"", "HardSigmoid"}] = hardSigmoid
	all[operator{"", "Gelu"}] = gelu
	all[operator{"", "Abs"}] = func(c *call) (bind, error) {
		return c.each(math.Abs, func(x int64) int64 { return max(x, -x) })
	}
	all[operator{"", "Neg"}] = func(c *call) (bind, error) {
		return c.each(func(x float64) float64 { return -x }, func(x int64) int64 { return -x })
	}
	all[operator{"", "Sign"}] = func(c *call) (bind, error) {
		return c.each(signOf, func(x int64) int64 { return int64(signOf(float64(x))) })
	}
	return all
}

// defaultAlpha is 1 for those that it does not name.
var defaultAlpha = map[string]float32{"LeakyRelu": 0.01, "Elu": 1, "Celu": 1, "ThresholdedRelu": 1, "Swish": 1}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func signOf(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // 0 and NaN
}

func leakyRelu(alpha float64) function {
	return func(x float64) float64 {
		if x < 0 {
			return alpha * x
		}
		return x
	}
}

func elu(alpha float64) function {
	return func(x float64) float64 {
		if x < 0 {
			return alpha * math.Expm1(x)
		}
		return x
	}
}

func celu(alpha float64) function {
	return func(x float64) float64 { return max(0, x) + min(0, alpha*math.Expm1(x/alpha)) }
}

func thresholdedRelu(alpha float64) function {
	return func(x float64) float64 {
		if x > alpha {
			return x
		}
		return 0
	}
}

func selu(c *call) (bind, error) {
	alpha, err := c.floatAttr("alpha", 1.67326319217681884765625)
	if err != nil {
		return nil, err
	}
	gamma, err := c.floatAttr("gamma", 1.05070102214813232421875)
	if err != nil {
		return nil, err
	}
	rise := elu(alpha)
	return c.each(func(x float64) float64 { return gamma * rise(x) }, nil)
}

func hardSigmoid(c *call) (bind, error) {
	alpha, err := c.floatAttr("alpha", 0.2)
	if err != nil {
		return nil, err
	}
	beta, err := c.floatAttr("beta", 0.5)
	if err != nil {
		return nil, err
	}
	return c.each(func(x float64) float64 { return max(0, min(1, alpha*x+beta)) }, nil)
}

func gelu(c *call) (bind, error) {
	how, err := c.textAttr("approximate", "none", "tanh")
	if err != nil {
		return nil, err
	}
	if how == "tanh" {
		return c.each(func(x float64) float64 {
			return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
		}, nil)
	}
	return c.each(func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }, nil)
}

// each is the step of an operator that changes each element by itself; whole is for integers, nil if they are not read.
func (c *call) each(f function, whole func(int64) int64) (bind, error) {
	in, out, err := c.sameOut()
	if err != nil {
		return nil, err
	}
	if err := c.spend(0, 0, 8*in.count); err != nil { // a function of mathematics costs some arithmetic
		return nil, err
	}
	switch {
	case in.kind == typeFloat:
		return eachOf[float32](in, out, f), nil
	case in.kind == typeDouble:
		return eachOf[float64](in, out, f), nil
	case whole == nil:
		return nil, unsupported("input %.60q is of type %s: float and double are read", in.name, in.kind)
	}
	return func(m *machine) func() {
		x, y := values[int64](m, in), values[int64](m, out)
		return func() {
			for i, v := range x {
				y[i] = in.kind.wrap(whole(v))
			}
		}
	}, nil
}

func eachOf[T float32 | float64](in, out *tensor, f function) bind {
	return func(m *machine) func() {
		x, y := values[T](m, in), values[T](m, out)
		return func() {
			for i, v := range x {
				y[i] = T(f(float64(v)))
			}
		}
	}
}

// sameOut is the only input and an output like it.
func (c *call) sameOut() (in, out *tensor, err error) {
	if err := c.count(1, 1); err != nil {
		return nil, nil, err
	}
	if in, err = c.input(0, numeric); err != nil {
		return nil, nil, err
	}
	out, err = c.output(0, in.kind, in.shape)
	return in, out, err
}

func relu(c *call) (bind, error) {
	in, out, err := c.sameOut()
	if err != nil {
		return nil, err
	}
	switch {
	case in.kind == typeFloat:
		return reluOf[float32](in, out), nil
	case in.kind == typeDouble:
		return reluOf[float64](in, out), nil
	}
	return reluOf[int64](in, out), nil
}

func reluOf[T number](in, out *tensor) bind {
	return func(m *machine) func() {
		x, y := values[T](m, in), values[T](m, out)
		return func() {
			for i, v := range x {
				y[i] = max(v, 0)
			}
		}
	}
}

func not(c *call) (bind, error) {
	in, out, err := c.sameOut()
	if err != nil {
		return nil, err
	}
	if in.kind != typeBool {
		return nil, unsupported("input %.60q is of type %s: expected bool", in.name, in.kind)
	}
	return func(m *machine) func() {
		x, y := values[int64](m, in), values[int64](m, out)
		return func() {
			for i, v := range x {
				y[i] = 1 - v
			}
		}
	}, nil
}

func isNaN(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	in, err := c.input(0, dtype.floating)
	if err != nil {
		return nil, err
	}
	out, err := c.output(0, typeBool, in.shape)
	if err != nil {
		return nil, err
	}
	if in.kind == typeFloat {
		return isNaNOf[float32](in, out), nil
	}
	return isNaNOf[float64](in, out), nil
}

func isNaNOf[T number](in, out *tensor) bind {
	return func(m *machine) func() {
		x, y := values[T](m, in), values[int64](m, out)
		return func() {
			for i, v := range x {
				y[i] = bit(v != v)
			}
		}
	}
}

func bit(is bool) int64 {
	if is {
		return 1
	}
	return 0
}
