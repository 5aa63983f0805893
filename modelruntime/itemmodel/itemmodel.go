// Package itemmodel is the runtime of item-to-item models: a sparse table of how strongly one item leads to another
// (docs/formats/items.md). The score of a candidate is the sum of the weights that lead to it from the items of a list. It
// never trains.
package itemmodel

import (
	"bytes"
	"context"
	"encoding/csv"
	"io/fs"
	"math"
	"slices"
	"sync"

	"github.com/freshet-ml/freshet/modelruntime"
)

// Items is the runtime. It has no state.
type Items struct{}

var _ modelruntime.Runtime = Items{}

// columns are those of a table, in any order.
var columns = []string{"item", "other", "weight"}

const parquetMagic = "PAR1"

// Name is "item-to-item".
func (Items) Name() string { return "item-to-item" }

// Recognizes knows CSV by a header of item, other and weight, and any Parquet file: Open looks at its columns.
func (Items) Recognizes(head []byte) bool {
	if bytes.HasPrefix(head, []byte(parquetMagic)) {
		return true
	}
	header, err := csv.NewReader(bytes.NewReader(withoutMark(head))).Read()
	if err != nil {
		return false
	}
	slices.Sort(header)
	return slices.Equal(header, columns)
}

// withoutMark passes over a UTF-8 byte order mark.
func withoutMark(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\ufeff")) }

// Open reads a model. Returns InvalidArgument naming the line for a weight that is no finite number, an id that is empty or
// too long, and a pair that is there twice.
func (Items) Open(dir fs.FS, name string) (modelruntime.Model, error) {
	file, err := modelruntime.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	b := newBuilder()
	if bytes.HasPrefix(file, []byte(parquetMagic)) {
		err = readParquet(file, b)
	} else {
		err = readCSV(file, b)
	}
	if err != nil {
		return nil, err
	}
	return b.model()
}

var signature = modelruntime.Signature{
	Inputs: []modelruntime.Column{
		{Name: "item", Type: modelruntime.TextType, Of: modelruntime.Candidate},
		{Name: "recent", Type: modelruntime.TextsType},
	},
	Outputs: []string{"score"}, Partial: true,
}

// model is an opened table: for each item, in the order of their numbers, what it leads to.
type model struct {
	numbers map[string]uint32
	ends    []uint32 // the pairs of item i lie between ends[i−1] and ends[i]
	others  []uint32
	weights []float64
	sums    sync.Pool // of *[]float64: one for each item, all zero
}

func (m *model) Signature() modelruntime.Signature { return signature }

// Encode is the number of an item, the same in both columns.
func (m *model) Encode(_ int, text string) float64 {
	if n, ok := m.numbers[text]; ok {
		return float64(n)
	}
	return math.NaN()
}

// Predict has no list, and so no answers.
func (m *model) Predict(ctx context.Context, inputs, outputs []float64) error {
	return m.Rank(ctx, nil, inputs, outputs)
}

// checkEvery is after how many rows Rank looks at its context.
const checkEvery = 4096

// Rank sums in the order of the list. There is no answer for an item that the table does not name, and for none if it names
// nothing of the list; an item that nothing of the list leads to scores 0.
func (m *model) Rank(ctx context.Context, lists [][]float64, inputs, outputs []float64) error {
	rows, err := signature.Rows(inputs, outputs)
	if err != nil {
		return err
	}
	sums := m.sums.Get().(*[]float64)
	defer m.sums.Put(sums)
	known := m.add(lists, *sums)
	defer m.clear(lists, *sums)
	width := len(signature.Inputs)
	for row := range rows {
		if row%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		outputs[row] = math.NaN()
		if i, ok := m.index(inputs[row*width]); ok && known {
			outputs[row] = (*sums)[i]
		}
	}
	return nil
}

// add sums up what the items of the lists lead to; known is whether there is any.
func (m *model) add(lists [][]float64, sums []float64) (known bool) {
	for _, list := range lists { // there is one at most
		for _, item := range list {
			i, ok := m.index(item)
			if !ok {
				continue
			}
			known = true
			for k := m.begin(i); k < m.ends[i]; k++ {
				sums[m.others[k]] += m.weights[k]
			}
		}
	}
	return known
}

// clear makes zero what add has changed: a small part of all.
func (m *model) clear(lists [][]float64, sums []float64) {
	for _, list := range lists {
		for _, item := range list {
			if i, ok := m.index(item); ok {
				for k := m.begin(i); k < m.ends[i]; k++ {
					sums[m.others[k]] = 0
				}
			}
		}
	}
}

func (m *model) begin(i int) uint32 {
	if i == 0 {
		return 0
	}
	return m.ends[i-1]
}

// index is the item of a number; ok is false for what is no item's.
func (m *model) index(number float64) (i int, ok bool) {
	if !(number >= 0 && number < float64(len(m.ends))) || number != math.Trunc(number) {
		return 0, false
	}
	return int(number), true
}

// Close has nothing to free.
func (m *model) Close() error { return nil }
