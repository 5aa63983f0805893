package serving

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/modelruntime"
)

// fake is a model of typed columns whose answer is made by answer.
type fake struct {
	columns []modelruntime.Column
	answer  func(outputs []float64) error
}

func (f *fake) Signature() modelruntime.Signature {
	return modelruntime.Signature{Inputs: f.columns, Outputs: []string{"score"}}
}
func (f *fake) Predict(_ context.Context, _, outputs []float64) error { return f.answer(outputs) }
func (f *fake) Close() error                                          { return nil }

func model(f *fake) *release.Model {
	return &release.Model{Name: "m", Digest: freshet.Digest("sha256:" + strings.Repeat("0", 64)), Model: f}
}

func TestScoreChecksColumns(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	s := New(prometheus.NewRegistry())
	for _, tt := range []struct {
		name     string
		kind     string
		required bool
		value    float64
		text     string // "" if it is taken
	}{
		{"double", "double", true, 1.5, ""},
		{"untyped", "", false, nan, ""},
		{"infinite", "float", true, math.Inf(1), ""},
		{"missing", "double", true, nan, "column c is missing in row 1"},
		{"missing, allowed", "long", false, nan, ""},
		{"whole", "long", true, -1 << 53, ""},
		{"fraction for a long", "long", true, 3.5, "column c is 3.5 in row 1, and its type is long: expected a whole number of 64 bits"},
		{"2^63", "long", true, 1 << 63, "type is long"},
		{"infinite long", "long", true, math.Inf(-1), "type is long"},
		{"integer", "integer", true, math.MinInt32, ""},
		{"2^31", "integer", true, 1 << 31, "type is integer: expected a whole number of 32 bits"},
		{"boolean", "boolean", true, 1, ""},
		{"two", "boolean", true, 2, "expected true or false"},
	} {
		m := model(&fake{columns: []modelruntime.Column{{Name: "a"}, {Name: "c", Type: tt.kind, Required: tt.required}}, answer: func([]float64) error { return nil }})
		err := s.Score(t.Context(), m, []float64{0, 0, 0, tt.value}, make([]float64, 2))
		if tt.text == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if freshet.CodeOf(err) != freshet.InvalidArgument || freshet.FieldOf(err) != "c" || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v of %q, expected InvalidArgument with %q", tt.name, err, freshet.FieldOf(err), tt.text)
		}
	}
}

func TestScoreFaultsAreErrors(t *testing.T) {
	t.Parallel()
	s := New(prometheus.NewRegistry())
	for name, answer := range map[string]func([]float64) error{
		"panic: oh": func([]float64) error { panic("oh") },
		"row 1: the answer is not a number": func(out []float64) error {
			out[1] = math.NaN()
			return nil
		},
	} {
		m := model(&fake{columns: []modelruntime.Column{{Name: "a"}}, answer: answer})
		err := s.Score(t.Context(), m, []float64{1, 2}, make([]float64, 2))
		if freshet.CodeOf(err) != freshet.Internal || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, expected Internal with %q", err, name)
		}
	}
	m := model(&fake{columns: []modelruntime.Column{{Name: "a"}, {Name: "b"}}, answer: func([]float64) error { return nil }})
	if err := s.Score(t.Context(), m, []float64{1, 2, 3}, make([]float64, 1)); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Errorf("half a row: %v", err)
	}
}
