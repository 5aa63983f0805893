package endpointmodel

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	freshet "github.com/freshet-ml/freshet"
)

// metrics count requests to endpoints.
type metrics struct {
	requests *prometheus.CounterVec
	retries  *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "freshet_endpoint_requests_total",
			Help: "Requests to remote models, by how they ended; open: not sent, the circuit breaker was open; given_up: who asked had no more time."}, []string{"endpoint", "outcome"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "freshet_endpoint_retries_total",
			Help: "Requests to remote models that were sent again."}, []string{"endpoint"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "freshet_endpoint_seconds",
			Help: "Time of one request to a remote model.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"endpoint"}),
	}
}

// Describe implements prometheus.Collector.
func (e *Endpoints) Describe(c chan<- *prometheus.Desc) { prometheus.DescribeByCollect(e, c) }

// Collect implements prometheus.Collector.
func (e *Endpoints) Collect(c chan<- prometheus.Metric) {
	e.metrics.requests.Collect(c)
	e.metrics.retries.Collect(c)
	e.metrics.seconds.Collect(c)
}

func (x *metrics) observe(endpoint, outcome string, took time.Duration) {
	x.requests.WithLabelValues(endpoint, outcome).Inc()
	if outcome != "open" {
		x.seconds.WithLabelValues(endpoint).Observe(took.Seconds())
	}
}

func (x *metrics) retried(endpoint string) { x.retries.WithLabelValues(endpoint).Inc() }

// outcome is the label for how a request ended.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	if _, ok := errors.AsType[*givenUp](err); ok {
		return "given_up"
	}
	return string(freshet.CodeOf(err))
}
