package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/modelruntime"
)

// The doors for models (Open Inference Protocol, MLflow scoring, SageMaker runtime) differ in how rows are written and how
// errors look. What they share is here: which model is meant, how named columns become the rows that it takes, and the bounds of
// one request.

// Bounds of one request at a model.
const (
	maxModelValues = 1 << 20 // numbers in, and numbers out
	maxModelTime   = time.Minute
)

// modelOf finds a model of the live release by name. version, if it is not "", must be the one that is live.
func modelOf(rel *release.Opened, name, version string) (*release.Model, error) {
	m, ok := rel.Model(freshet.ModelName(name))
	if !ok {
		return nil, freshet.FieldErrorf(freshet.NotFound, "model", "there is no model %.64q%s", name, expression.Hint(clip(name, 64), modelNames(rel)))
	}
	if live := versionOf(m); version != "" && version != live {
		return nil, freshet.FieldErrorf(freshet.NotFound, "version", "model %s has no version %.64q; %s is live", name, version, live)
	}
	return m, takesNumbers(m)
}

// takesNumbers refuses a model with columns that the doors cannot give.
func takesNumbers(m *release.Model) error {
	for _, c := range m.Signature().Inputs {
		if !numeric(c.Type) {
			return freshet.FieldErrorf(freshet.InvalidArgument, c.Name, "model %s takes column %s as %s, and this protocol's door takes numbers only; ask a pipeline: POST /v1/predict", m.Name, c.Name, c.Type)
		}
	}
	return nil
}

func modelNames(rel *release.Opened) (names []string) {
	for _, m := range rel.Models() {
		names = append(names, string(m.Name))
	}
	return names
}

// versionOf is the version that predictions name the model by.
func versionOf(m *release.Model) string {
	_, version, _ := strings.Cut(m.Label(), "@")
	return version
}

// numeric tells whether the values of a column of type t are numbers.
func numeric(t string) bool {
	switch t {
	case "", "double", "float", "long", "integer", "boolean":
		return true
	}
	return false
}

// matrix is the rows of one request and the answers to them; its memory is used again.
type matrix struct {
	inputs, outputs []float64
}

func (a *API) matrix() *matrix { return a.matrices.Get().(*matrix) }

func (a *API) returnMatrix(x *matrix) {
	if (cap(x.inputs)+cap(x.outputs))*8 <= maxPooled {
		a.matrices.Put(x)
	}
}

// score has m answer x.inputs into x.outputs, within limit.
func (a *API) score(ctx context.Context, m *release.Model, x *matrix, limit time.Duration) error {
	s := m.Signature()
	rows := len(x.inputs) / len(s.Inputs)
	if err := checkValues(rows * len(s.Outputs)); err != nil {
		return err
	}
	x.outputs = slices.Grow(x.outputs[:0], rows*len(s.Outputs))[:rows*len(s.Outputs)]
	if rows == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return a.deps.Models.Score(ctx, m, x.inputs, x.outputs)
}

func checkValues(n int) error {
	if n > maxModelValues {
		return freshet.Errorf(freshet.TooLarge, "over %d numbers in one request; send fewer rows at once", maxModelValues)
	}
	return nil
}

// columnFinder finds the columns of a signature by name. Names that come in the signature's order cost one comparison each.
type columnFinder struct {
	columns []modelruntime.Column
	next    int
	byName  map[string]int
}

// find gives the index of the column called name; −1 if there is none.
func (f *columnFinder) find(name []byte) int {
	if f.next < len(f.columns) && f.columns[f.next].Name == string(name) {
		f.next++
		return f.next - 1
	}
	if f.byName == nil {
		f.byName = make(map[string]int, len(f.columns))
		for i, c := range f.columns {
			f.byName[c.Name] = i
		}
	}
	i, ok := f.byName[string(name)]
	if !ok {
		return -1
	}
	f.next = i + 1
	return i
}

// columnList names columns for an error.
func columnList(names []string) string {
	const most = 20
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "…")
	}
	return "'" + strings.Join(names, "', '") + "'"
}

func columnNamesOf(s modelruntime.Signature) []string {
	names := make([]string, len(s.Inputs))
	for i, c := range s.Inputs {
		names[i] = c.Name
	}
	return names
}
