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
	}
	reg.MustRegister(m.ended, m.seconds)
	return m
}

func (m *Metrics) done(l jobqueue.Lease, now time.Time) {
	m.ended.WithLabelValues(string(l.Job.Pipeline), "done").Inc()
	m.seconds.WithLabelValues(string(l.Job.Pipeline)).Observe(freshet.TimestampOf(now).Sub(l.Job.EnqueuedAt).Seconds())
}

func (m *Metrics) failed(l jobqueue.Lease) {
	m.ended.WithLabelValues(string(l.Job.Pipeline), "failed").Inc()
}
