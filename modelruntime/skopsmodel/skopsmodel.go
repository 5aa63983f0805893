// Package skopsmodel is the runtime of scikit-learn models that skops saved (skops.io.dump, MLflow's sklearn flavor from 3.15 on):
// linear and logistic models, alone or in a pipeline behind scalers and an imputer. A skops file is a zip of arrays and a
// schema; nothing of it is code, and every class that is not known is refused by its name.
//
// Regressors answer what predict answers. Classifiers answer what predict_proba answers: of two classes the second's, as
// score, of more all, named by their labels.
package skopsmodel

import (
	"bytes"
	"context"
	"io/fs"
	"math"
	"sync"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Skops is the runtime. It has no state.
type Skops struct{}

var _ modelruntime.Runtime = Skops{}

// Name is "skops".
func (Skops) Name() string { return "skops" }

// Recognizes knows a zip among whose first entries are arrays or the schema.
func (Skops) Recognizes(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04")) && (bytes.Contains(head, []byte(".npy")) || bytes.Contains(head, []byte(schemaName)))
}

// Open reads a model. Returns Unsupported for a class that is not read, InvalidArgument for what is broken, TooLarge
// for files that unpack to too much.
func (Skops) Open(dir fs.FS, name string) (modelruntime.Model, error) {
	file, err := modelruntime.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	return parse(file)
}

// model is an opened file.
type model struct {
	signature modelruntime.Signature
	steps     []step // before the linear model
	rows      [][]float64
	intercept []float64
	link      link
	pool      sync.Pool // of *[]float64, as wide as the inputs
}

// step prepares the values of a row in place.
type step interface{ apply(x []float64) }

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
	width, height := len(m.signature.Inputs), len(m.rows)
	buffer, _ := m.pool.Get().(*[]float64)
	if buffer == nil {
		values := make([]float64, width)
		buffer = &values
	}
	defer m.pool.Put(buffer)
	for row := range rows {
		if row%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		x := *buffer
		copy(x, inputs[row*width:(row+1)*width])
		if err := m.check(row, x); err != nil {
			return err
		}
		m.answer(x, outputs[row*height:(row+1)*height])
	}
	return nil
}

// check refuses what scikit-learn refuses.
func (m *model) check(row int, x []float64) error {
	for i, v := range x {
		c := m.signature.Inputs[i]
		if c.Required && v != v {
			return modelruntime.MissingColumn(row, c.Name)
		}
		if math.IsInf(v, 0) {
			return freshet.FieldErrorf(freshet.InvalidArgument, c.Name, "row %d: column %q is infinite, which scikit-learn refuses", row, c.Name)
		}
	}
	return nil
}

func (m *model) answer(x, z []float64) {
	for _, s := range m.steps {
		s.apply(x)
	}
	for k, row := range m.rows {
		var sum float64
		for j, v := range x {
			sum += float64(row[j] * v) // the conversion forbids a fused multiply-add: same bits on every machine
		}
		z[k] = sum + m.intercept[k]
	}
	m.link(z)
}

// Close has nothing to free.
func (m *model) Close() error { return nil }

func identity([]float64) {}

func exponential(z []float64) {
	for k, v := range z {
		z[k] = math.Exp(v)
	}
}

func sigmoid(z []float64) {
	for k, v := range z {
		z[k] = 1 / (1 + math.Exp(-v))
	}
}

// softmaxOfTwo is what a multinomial model of two classes answers: its one score counts for both, with either sign.
func softmaxOfTwo(z []float64) {
	z[0] *= 2
	sigmoid(z)
}

// oneAgainstRest are sigmoids, each class against all others, brought to a sum of 1.
func oneAgainstRest(z []float64) {
	sigmoid(z)
	var sum float64
	for _, v := range z {
		sum += v
	}
	for k := range z {
		if sum == 0 {
			z[k] = 1 / float64(len(z))
			continue
		}
		z[k] /= sum
	}
}
