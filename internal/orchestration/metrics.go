package orchestration

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

// Metrics count jobs.
type Metrics struct {
	ended   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	fell    *prometheus.CounterVec
	left    *prometheus.CounterVec
	lots    *prometheus.CounterVec
	covered *prometheus.CounterVec
	skipped *prometheus.CounterVec
}

// NewMetrics registers the metrics of an Orchestrator with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freshet_job_attempts_total", Help: "Attempts at a job, by how they ended.",
		}, []string{"pipeline", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "freshet_job_seconds", Help: "Time from the making of a job to its stored prediction.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}, []string{"pipeline"}),
		fell: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freshet_fallbacks_total", Help: "Predictions that a pipeline's fallback made, by why its own failed.",
		}, []string{"pipeline", "cause"}),
		left: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freshet_candidates_left_out_total", Help: "Candidates without a score: the model does not know them, or an input is missing.",
		}, []string{"pipeline", "cause"}),
	}
	m.lots = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "freshet_jobs_scored_together_total", Help: "Jobs whose rows the model scored in one call with those of others.",
	}, []string{"pipeline"})
	m.covered = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "freshet_canary_failures_covered_total", Help: "Predictions that the live release made because the canary, which serves the entity, failed.",
	}, []string{"pipeline"})
	m.skipped = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "freshet_shadow_skipped_total", Help: "Jobs of the shadow's share that it did not answer because it was busy with others.",
	}, []string{"pipeline"})
	reg.MustRegister(m.ended, m.seconds, m.fell, m.left, m.lots, m.covered, m.skipped)
	return m
}

func (m *Metrics) fellBack(p freshet.PipelineName, cause freshet.FallbackCause) {
	m.fell.WithLabelValues(string(p), string(cause)).Inc()
}

// leftOut counts n candidates.
func (m *Metrics) leftOut(p freshet.PipelineName, cause freshet.FallbackCause, n int) {
	if n > 0 {
		m.left.WithLabelValues(string(p), string(cause)).Add(float64(n))
	}
}

func (m *Metrics) done(l jobqueue.Lease, now time.Time) {
	m.ended.WithLabelValues(string(l.Job.Pipeline), "done").Inc()
	m.seconds.WithLabelValues(string(l.Job.Pipeline)).Observe(freshet.TimestampOf(now).Sub(l.Job.EnqueuedAt).Seconds())
}

func (m *Metrics) scoredTogether(p freshet.PipelineName, n int) {
	m.lots.WithLabelValues(string(p)).Add(float64(n))
}

func (m *Metrics) coveredFor(p freshet.PipelineName) { m.covered.WithLabelValues(string(p)).Inc() }

func (m *Metrics) notShadowed(p freshet.PipelineName) { m.skipped.WithLabelValues(string(p)).Inc() }

func (m *Metrics) dropped(l jobqueue.Lease) {
	m.ended.WithLabelValues(string(l.Job.Pipeline), "dropped").Inc()
}

func (m *Metrics) failed(l jobqueue.Lease) {
	m.ended.WithLabelValues(string(l.Job.Pipeline), "failed").Inc()
}
