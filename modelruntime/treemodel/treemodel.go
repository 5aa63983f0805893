// Package treemodel is the runtime of gradient boosted trees and random forests: those that LightGBM saved as text, and those
// that XGBoost saved as JSON or UBJSON. It answers what Booster.predict of the library answers, in the library's precision, links,
// categorical splits, missing values and linear trees included. It never trains, and it never guesses: an objective, a key
// or a kind of decision that it does not know is refused by name.
//
// Inputs of categorical columns are category codes, as when the library is given a NumPy array.
package treemodel

import (
	"bytes"
	"context"
	"io/fs"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// LightGBM is the runtime of its text format (save_model, model_to_string, MLflow's lightgbm flavor with a Booster; versions
// v2 to v4). It has no state.
type LightGBM struct{}

var _ modelruntime.Runtime = LightGBM{}

// Name is "lightgbm".
func (LightGBM) Name() string { return "lightgbm" }

// Recognizes knows the text format by its first line, the bare word "tree".
func (LightGBM) Recognizes(head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	return string(bytes.TrimSuffix(line, []byte("\r"))) == "tree"
}

// Open reads a model. Returns Unsupported for an objective, version or key that is not known, InvalidArgument with the
// line for what is broken.
func (LightGBM) Open(dir fs.FS, name string) (modelruntime.Model, error) {
	text, err := modelruntime.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	return parse(text)
}

// model is an opened file.
type model struct {
	signature modelruntime.Signature
	trees     *ensemble
	link      link    // from the sums of the leaves to the answer
	divisor   float64 // number of iterations for average_output, otherwise 1
	codes     []int   // columns whose negative values are refused, as XGBoost refuses them
}

func (m *model) Signature() modelruntime.Signature { return m.signature }

// Predict answers rows in blocks: in a block the trees come one after the other and each is asked for all rows, so that
// it stays in the cache. The sum of a row is in tree order whatever the block, so that a row has the same answer, bit for
// bit, alone and among others.
func (m *model) Predict(ctx context.Context, inputs, outputs []float64) error {
	rows, err := m.signature.Rows(inputs, outputs)
	if err != nil {
		return err
	}
	if err := m.checkCodes(inputs, rows); err != nil {
		return err
	}
	width, height := len(m.signature.Inputs), len(m.signature.Outputs)
	block := m.trees.blockRows()
	buffer := m.trees.slots.buffer(min(rows, block))
	defer m.trees.slots.release(buffer)
	for first := 0; first < rows; first += block {
		if err := ctx.Err(); err != nil {
			return err
		}
		last := min(first+block, rows)
		m.answer(inputs[first*width:last*width], outputs[first*height:last*height], buffer, last-first)
	}
	return nil
}

// answer is Predict for a block.
func (m *model) answer(inputs, outputs []float64, buffer *slotBuffer, rows int) {
	classes, height, sums := m.trees.classes, len(m.signature.Outputs), outputs
	if classes != height { // the answer is the number of a class
		sums = buffer.sums(rows * classes)
	}
	m.trees.sum(inputs, sums, buffer.values, rows)
	for row := range rows {
		scores := sums[row*classes : (row+1)*classes]
		if m.divisor != 1 {
			for i := range scores {
				scores[i] /= m.divisor
			}
		}
		m.link(scores)
		if classes != height {
			copy(outputs[row*height:(row+1)*height], scores)
		}
	}
}

func (m *model) checkCodes(inputs []float64, rows int) error {
	width := len(m.signature.Inputs)
	for row := 0; row < rows && len(m.codes) > 0; row++ {
		for _, i := range m.codes {
			if v := inputs[row*width+i]; v < 0 {
				name := m.signature.Inputs[i].Name
				return freshet.FieldErrorf(freshet.InvalidArgument, name, "row %d: column %q is %v: expected a category code, 0 or more", row, name, v)
			}
		}
	}
	return nil
}

// Close has nothing to free.
func (m *model) Close() error { return nil }
