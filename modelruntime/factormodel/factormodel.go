// Package factormodel is the runtime of factor models (ALS, BPR and the like): a vector for each user and one for each item,
// and the score of a pair is their dot product (docs/formats/factors.md). The id maps belong to the artifact, or, where it has
// none, to the project: then rows name users and items by their sequence numbers. It never trains.
package factormodel

import (
	"context"
	"io/fs"
	"math"
	"slices"
	"sync"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// The files of an artifact. Maps are both there or both not.
const (
	userFactors = "user_factors.npy"
	itemFactors = "item_factors.npy"
	userMap     = "users.csv"
	itemMap     = "items.csv"
)

// Factors is the runtime. It has no state.
type Factors struct{}

var _ modelruntime.Bundle = Factors{}

// Name is "factors".
func (Factors) Name() string { return "factors" }

// Recognizes knows no single file: one array is no model.
func (Factors) Recognizes([]byte) bool { return false }

// Open returns Unsupported: the model is a directory.
func (Factors) Open(fs.FS, string) (modelruntime.Model, error) {
	return nil, freshet.Errorf(freshet.Unsupported, "factors are a directory with %s and %s", userFactors, itemFactors)
}

// RecognizesFiles knows a directory by one of the arrays.
func (Factors) RecognizesFiles(names []string) bool {
	return slices.Contains(names, userFactors) || slices.Contains(names, itemFactors)
}

// OpenFiles reads a model. Returns InvalidArgument for what is broken or not there: factors of two widths, a factor that is
// not finite, an id map that names a row twice or one that the factors do not have.
func (Factors) OpenFiles(dir fs.FS) (modelruntime.Model, error) {
	users, err := readMatrix(dir, userFactors)
	if err != nil {
		return nil, err
	}
	items, err := readMatrix(dir, itemFactors)
	if err != nil {
		return nil, err
	}
	if users.width != items.width {
		return nil, freshet.Errorf(freshet.InvalidArgument, "%s has %d columns and %s %d: they are not of one training", userFactors, users.width, itemFactors, items.width)
	}
	m := &model{users: users, items: items, signature: bySequence}
	m.vectors.New = func() any { v := make([]float64, users.width); return &v }
	if m.userIDs, m.itemIDs, err = readMaps(dir, users.rows, items.rows); err != nil {
		return nil, err
	}
	if m.userIDs != nil {
		m.signature = byID
	}
	return m, nil
}

// The columns of a model with id maps, and of one without.
var (
	byID = modelruntime.Signature{
		Inputs: []modelruntime.Column{
			{Name: "user", Type: modelruntime.TextType, Of: modelruntime.Entity},
			{Name: "item", Type: modelruntime.TextType, Of: modelruntime.Candidate, BreaksTies: true},
			{Name: "recent", Type: modelruntime.TextsType, Optional: true},
		},
		Outputs: []string{"score"}, Partial: true,
	}
	bySequence = modelruntime.Signature{
		Inputs: []modelruntime.Column{
			{Name: "user_sequence", Type: "long"},
			{Name: "item_sequence", Type: "long", BreaksTies: true},
		},
		Outputs: []string{"score"}, Partial: true,
	}
)

// The first two columns of either.
const (
	userColumn = 0
	itemColumn = 1
)

// model is an opened artifact.
type model struct {
	signature        modelruntime.Signature
	users, items     matrix
	userIDs, itemIDs *idMap    // nil: rows hold sequence numbers
	vectors          sync.Pool // of *[]float64: one user
}

func (m *model) Signature() modelruntime.Signature { return m.signature }

// Encode is the sequence number of an id.
func (m *model) Encode(column int, text string) float64 {
	if column == userColumn {
		return m.userIDs.find(text)
	}
	return m.itemIDs.find(text)
}

// Predict scores users that the model knows; see Rank.
func (m *model) Predict(ctx context.Context, inputs, outputs []float64) error {
	return m.Rank(ctx, nil, inputs, outputs)
}

// checkEvery is after how many rows Rank looks at its context.
const checkEvery = 1024

// Rank scores rows. A user that the model does not know has the mean of the vectors of the items in the list, and without
// any of these no answer. An item that it does not know has none either.
func (m *model) Rank(ctx context.Context, lists [][]float64, inputs, outputs []float64) error {
	rows, err := m.signature.Rows(inputs, outputs)
	if err != nil {
		return err
	}
	vector := m.vectors.Get().(*[]float64)
	defer m.vectors.Put(vector)
	width := len(m.signature.Inputs)
	for row := 0; row < rows; {
		if err := ctx.Err(); err != nil {
			return err
		}
		user, end := inputs[row*width+userColumn], row+1
		for end < min(rows, row+checkEvery) && sameUser(inputs[end*width+userColumn], user) {
			end++
		}
		if u := m.user(*vector, user, lists); u != nil {
			m.score(u, inputs[row*width:end*width], outputs[row:end])
		} else {
			fill(outputs[row:end], math.NaN())
		}
		row = end
	}
	return nil
}

func sameUser(a, b float64) bool { return a == b || a != a && b != b }

// user is the vector of a user, in dst or in the model; nil if there is none.
func (m *model) user(dst []float64, user float64, lists [][]float64) []float64 {
	if i, ok := m.users.index(user); ok {
		return m.users.vector(dst, i)
	}
	fill(dst, 0)
	known := 0
	for _, list := range lists { // there is one at most
		for _, item := range list {
			if i, ok := m.items.index(item); ok {
				m.items.addTo(dst, i)
				known++
			}
		}
	}
	if known == 0 {
		return nil
	}
	for j := range dst {
		dst[j] /= float64(known)
	}
	return dst
}

// lanes is how many items are scored side by side: the sums of one row wait for each other, those of several do not.
const lanes = 4

// score scores the items of rows for one user.
func (m *model) score(u, inputs, outputs []float64) {
	width := len(m.signature.Inputs)
	var rows, items [lanes]int // that wait to be scored together
	n := 0
	for row := range outputs {
		i, ok := m.items.index(inputs[row*width+itemColumn])
		if !ok {
			outputs[row] = math.NaN()
			continue
		}
		rows[n], items[n] = row, i
		if n++; n == lanes {
			scores := m.items.dots(u, &items)
			for k, r := range rows {
				outputs[r] = scores[k]
			}
			n = 0
		}
	}
	for k := range n {
		outputs[rows[k]] = m.items.dot(u, items[k])
	}
}

func fill(values []float64, v float64) {
	for i := range values {
		values[i] = v
	}
}

// Close has nothing to free.
func (m *model) Close() error { return nil }
