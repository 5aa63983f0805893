// Package serving is the layer that runs the models of a release: it warms them before the release goes live, checks what
// goes in and what comes out, and measures. It never chooses a model and never fetches a feature.
package serving

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Server runs models. It may be used concurrently.
type Server struct {
	seconds *prometheus.HistogramVec
	rows    *prometheus.CounterVec
	failed  *prometheus.CounterVec
}

// New returns a Server that reports to reg.
func New(reg prometheus.Registerer) *Server {
	s := &Server{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "freshet_model_seconds", Help: "Time of one call of a model, however many rows it scores.",
			Buckets: prometheus.ExponentialBuckets(1e-6, 4, 12),
		}, []string{"model"}),
		rows:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "freshet_model_rows_total", Help: "Rows scored."}, []string{"model"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "freshet_model_failures_total", Help: "Calls of a model that failed."}, []string{"model"}),
	}
	reg.MustRegister(s.seconds, s.rows, s.failed)
	return s
}

// warmRows is how many rows a model scores before it goes live: enough to touch all of it.
const warmRows = 64

// Warm runs each model of o once on rows of zeros. A model that cannot even answer these must not go live; one that is
// elsewhere and does not answer now may: it must not keep a server from starting that has its fallbacks.
func (s *Server) Warm(ctx context.Context, o *release.Opened) error {
	for _, m := range o.Models() {
		if err := s.WarmModel(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// WarmModel is Warm for one model.
func (s *Server) WarmModel(ctx context.Context, m *release.Model) error {
	in := make([]float64, warmRows*len(m.Signature().Inputs))
	out := make([]float64, warmRows*len(m.Signature().Outputs))
	if err := s.Score(ctx, m, in, out); err != nil && !elsewhere(err) {
		return freshet.Errorf("", "warm up: %w", err)
	}
	return nil
}

// elsewhere tells a remote model that cannot be reached: runtimes of local ones never answer so.
func elsewhere(err error) bool {
	code := freshet.CodeOf(err)
	return code == freshet.Unavailable || code == freshet.DeadlineExceeded
}

// Score answers rows as modelruntime.Model.Predict does. A value that the signature does not allow (missing, or of another
// type) is InvalidArgument naming the column, a panic of the runtime and an answer that is no number (release.ErrNotANumber) are
// Internal: errors of this call only.
func (s *Server) Score(ctx context.Context, m *release.Model, inputs, outputs []float64) error {
	return s.run(m, inputs, outputs, func() error { return m.Predict(ctx, inputs, outputs) })
}

// Rank is Score for rows that share lists, as modelruntime.Ranker.Rank has them. Returns Unsupported if m takes none.
func (s *Server) Rank(ctx context.Context, m *release.Model, lists [][]float64, inputs, outputs []float64) error {
	ranker, ok := m.Model.(modelruntime.Ranker)
	if !ok {
		return freshet.Errorf(freshet.Unsupported, "model %s takes no lists", m.Label())
	}
	return s.run(m, inputs, outputs, func() error { return ranker.Rank(ctx, lists, inputs, outputs) })
}

// run calls a model and checks and counts what goes in and comes out.
func (s *Server) run(m *release.Model, inputs, outputs []float64, predict func() error) (err error) {
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			err = freshet.Errorf(freshet.Internal, "model %s: panic: %v", m.Label(), p)
		}
		if err != nil {
			s.failed.WithLabelValues(string(m.Name)).Inc()
			return
		}
		s.seconds.WithLabelValues(string(m.Name)).Observe(time.Since(start).Seconds())
		s.rows.WithLabelValues(string(m.Name)).Add(float64(len(outputs) / len(m.Signature().Outputs)))
	}()
	if err := check(m, inputs); err != nil {
		return err
	}
	if err := predict(); err != nil {
		return freshet.Errorf("", "model %s: %w", m.Label(), err)
	}
	if m.Signature().Partial { // no answer is an answer
		return nil
	}
	for i, v := range outputs {
		if math.IsNaN(v) {
			return freshet.Errorf(freshet.Internal, "model %s: row %d: %w", m.Label(), i/len(m.Signature().Outputs), release.ErrNotANumber)
		}
	}
	return nil
}

// Describe says which models o has, for a log line.
func Describe(o *release.Opened) string {
	text := ""
	for i, m := range o.Models() {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s (%d inputs)", m.Label(), len(m.Signature().Inputs))
	}
	return text
}
