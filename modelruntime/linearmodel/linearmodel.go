// Package linearmodel is the runtime of freshet.linear/1: linear, logistic and softmax models as plain JSON
// (docs/formats/linear.md). It never trains, and it never guesses: an unknown key is refused, because it might change the
// meaning.
package linearmodel

import (
	"bytes"
	"context"
	"io/fs"
	"math"

	"github.com/freshet-ml/freshet/modelruntime"
)

// Linear is the runtime. It has no state.
type Linear struct{}

var _ modelruntime.Runtime = Linear{}

// Name is "freshet.linear".
func (Linear) Name() string { return "freshet.linear" }

// Recognizes knows a JSON object by the text "freshet.linear/ among its first bytes: the key format should stand before the
// coefficients.
func (Linear) Recognizes(head []byte) bool {
	head = bytes.TrimLeft(head, " \t\r\n")
	return bytes.HasPrefix(head, []byte("{")) && bytes.Contains(head, []byte(`"freshet.linear/`))
}

// Open reads a model. Returns Unsupported for another version of the format, InvalidArgument for what is broken.
func (Linear) Open(dir fs.FS, name string) (modelruntime.Model, error) {
	text, err := modelruntime.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	return parse(text)
}

// model is an opened file.
type model struct {
	signature modelruntime.Signature
	features  []feature
	rows      [][]float64 // the coefficients of each output
	intercept []float64
	link      link
}

// feature is how one input is prepared.
type feature struct {
	name        string
	mean, scale float64
	missing     float64 // what stands in for a missing value; NaN: it is refused
}

// link turns the scores of one row into the answer, in place.
type link func(z []float64)

func (m *model) Signature() modelruntime.Signature { return m.signature }

// checkEvery is after how many rows Predict looks at its context.
const checkEvery = 256

// Predict sums in the order of the features in float64, so that the bits of an answer do not depend on the machine or on
// the rows around it.
func (m *model) Predict(ctx context.Context, inputs, outputs []float64) error {
	rows, err := m.signature.Rows(inputs, outputs)
	if err != nil {
		return err
	}
	width, height := len(m.features), len(m.rows)
	for row := range rows {
		if row%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		z := outputs[row*height : (row+1)*height]
		if missing := m.score(inputs[row*width:(row+1)*width], z); missing >= 0 {
			return modelruntime.MissingColumn(row, m.features[missing].name)
		}
		m.link(z)
	}
	return nil
}

// score sets z to the linear scores of x. It returns the index of a feature that is missing and may not be, or −1.
func (m *model) score(x, z []float64) (missing int) {
	copy(z, m.intercept)
	for j := range m.features {
		f := &m.features[j]
		v := x[j]
		if math.IsNaN(v) {
			v = f.missing
			if math.IsNaN(v) {
				return j
			}
		}
		scaled := (v - f.mean) / f.scale
		for k, row := range m.rows {
			z[k] += float64(row[j] * scaled) // the conversion forbids a fused multiply-add: same bits on every machine
		}
	}
	return -1
}

// Close has nothing to free.
func (m *model) Close() error { return nil }

func identity([]float64) {}

func logit(z []float64) { z[0] = 1 / (1 + math.Exp(-z[0])) }
