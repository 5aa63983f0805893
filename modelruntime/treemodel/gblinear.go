package treemodel

import (
	"context"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// linearBooster is XGBoost's gblinear: for each sum the base margin, the bias, and Σ weight·x in the order of the features,
// all in float32. A missing value counts as 0.
type linearBooster struct {
	signature modelruntime.Signature
	weights   []float32 // by feature, then sum; the last row is the bias
	base      []float64
	link      link
}

func (d *document) linear(s modelruntime.Signature, o xgbObjective, base []float64) (modelruntime.Model, error) {
	if want := (len(s.Inputs) + 1) * len(base); len(d.weights) != want {
		return nil, invalid("weights has %d entries: expected %d for %d features, a bias and %d sums", len(d.weights), want, len(s.Inputs), len(base))
	}
	for _, b := range base {
		if b != base[0] { // XGBoost 3.2 takes the first for all, which nobody means
			return nil, freshet.Errorf(freshet.Unsupported, "booster gblinear with a base_score that differs between classes is not read, because versions of XGBoost "+
				"answer it differently; train with base_score=0.5 or another number")
		}
	}
	for i, w := range d.weights {
		if !finite(w) {
			return nil, invalid("weights[%d] is %v: expected a finite number", i, w)
		}
	}
	return &linearBooster{signature: s, weights: d.weights, base: base, link: o.link}, nil
}

func (m *linearBooster) Signature() modelruntime.Signature { return m.signature }

func (m *linearBooster) Predict(ctx context.Context, inputs, outputs []float64) error {
	rows, err := m.signature.Rows(inputs, outputs)
	if err != nil {
		return err
	}
	width, height, groups := len(m.signature.Inputs), len(m.signature.Outputs), len(m.base)
	for row := range rows {
		if row%maxBlockRows == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		x, scores := inputs[row*width:(row+1)*width], outputs[row*height:(row+1)*height]
		if groups != height {
			scores[0] = float64(m.largest(x))
			continue
		}
		for k := range scores {
			scores[k] = float64(m.sum(x, k))
		}
		m.link(scores)
	}
	return nil
}

// largest is the number of the first largest sum.
func (m *linearBooster) largest(x []float64) (index int) {
	best := m.sum(x, 0)
	for k := 1; k < len(m.base); k++ {
		if sum := m.sum(x, k); sum > best {
			index, best = k, sum
		}
	}
	return index
}

func (m *linearBooster) sum(x []float64, k int) float32 {
	groups := len(m.base)
	sum := m.weights[len(x)*groups+k] + float32(m.base[k])
	for i, v := range x {
		if v == v {
			sum += float32(float32(v) * m.weights[i*groups+k]) // the conversion forbids a fused multiply-add
		}
	}
	return sum
}

// Close has nothing to free.
func (m *linearBooster) Close() error { return nil }
