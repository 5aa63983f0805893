package onnxmodel

import "math"

// postTransform is what becomes of the scores of a model.
type postTransform string

func (c *call) postTransform() (postTransform, error) {
	t, err := c.textAttr("post_transform", "NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")
	return postTransform(t), err
}

// apply changes the scores of one row; z has as many elements. A single score goes through PROBIT only: that is what ONNX
// Runtime does.
func (t postTransform) apply(scores []float32, z []float64) {
	if t == "NONE" || len(scores) == 1 && t != "PROBIT" {
		return
	}
	z = z[:len(scores)]
	for i, v := range scores {
		z[i] = float64(v)
	}
	switch t {
	case "LOGISTIC":
		for i, v := range z {
			z[i] = sigmoid(v)
		}
	case "PROBIT":
		for i, v := range z {
			z[i] = probit(v)
		}
	case "SOFTMAX":
		softmaxOf(z)
	case "SOFTMAX_ZERO":
		softmaxZero(z)
	}
	for i, v := range z {
		scores[i] = float32(v)
	}
}

// pair makes the scores of two classes of one, scores[0], which is that of the second. If it is a probability, the other is
// what is left to 1; otherwise its opposite.
func (t postTransform) pair(scores []float32, probability bool) {
	s := float64(scores[0])
	switch {
	case t == "LOGISTIC":
		scores[0], scores[1] = float32(sigmoid(-s)), float32(sigmoid(s))
	case probability:
		scores[0], scores[1] = 1-scores[0], scores[0]
	default:
		scores[0], scores[1] = -scores[0], scores[0]
	}
}

// softmaxZero is softmax of the scores that are not 0; the others stay 0.
func softmaxZero(z []float64) {
	const zero = 1e-7
	high := math.Inf(-1)
	for _, v := range z {
		high = max(high, v)
	}
	var sum float64
	for i, v := range z {
		if math.Abs(v) <= zero {
			z[i] = v * math.Exp(-high)
			continue
		}
		z[i] = math.Exp(v - high)
		sum += z[i]
	}
	for i := range z {
		z[i] /= sum
	}
}

// probit is the inverse of the normal distribution, by Winitzki's approximation of the inverse error function, which is the
// one that ONNX Runtime takes.
func probit(p float64) float64 {
	const a = 0.147
	x := 2*p - 1
	l := math.Log((1 - x) * (1 + x))
	v := 2/(math.Pi*a) + l/2
	return math.Sqrt2 * math.Copysign(math.Sqrt(math.Sqrt(v*v-l/a)-v), x)
}
