package registry

import (
	"slices"

	"github.com/freshet-ml/freshet"
)

// Evaluation is what was measured of a version after it was published. The version stays as it is: its evaluations are
// beside it, each with who measured and when.
type Evaluation struct {
	Model   freshet.ModelName  `json:"model"`
	Version int                `json:"version"`
	Metrics map[string]float64 `json:"metrics"`          // at least one
	Source  string             `json:"source,omitempty"` // on what they were measured, and how

	// The rest is that of the entry.
	At     freshet.Timestamp `json:"-"`
	Actor  string            `json:"-"`
	Reason string            `json:"-"`
}

// maxEvaluations is how many of a model are kept in its state; the log has all.
const maxEvaluations = 1000

// Check returns InvalidArgument, naming the field, for an evaluation that is not well-formed.
func (e Evaluation) Check() error {
	if err := CheckModelName(e.Model); err != nil {
		return err
	}
	if len(e.Metrics) == 0 {
		return freshet.FieldErrorf(freshet.InvalidArgument, "metrics", "metrics: expected at least one")
	}
	if len(e.Source) > maxSourceBytes {
		return freshet.FieldErrorf(freshet.InvalidArgument, "source", "source: %d bytes; expected at most %d", len(e.Source), maxSourceBytes)
	}
	return checkMetrics(e.Metrics)
}

// EvaluationsOf are those of a version, in order.
func (m *Model) EvaluationsOf(number int) []Evaluation {
	var of []Evaluation
	for _, e := range m.Evaluations {
		if e.Version == number {
			of = append(of, e)
		}
	}
	return of
}

func (m Models) withEvaluation(e Evaluation) (Models, error) {
	if err := e.Check(); err != nil {
		return m, err
	}
	old := m.byName[e.Model]
	if _, ok := old.Version(e.Version); !ok {
		return m, freshet.FieldErrorf(freshet.NotFound, "version", "model %s has no version %d", e.Model, e.Version)
	}
	next := *old
	next.Evaluations = append(slices.Clip(old.Evaluations), e)
	if over := len(next.Evaluations) - maxEvaluations; over > 0 {
		next.Evaluations = next.Evaluations[over:]
	}
	return m.with(&next), nil
}
