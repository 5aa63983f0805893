package telemetry

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Counter makes a counter and registers it. Panics on a name that r has already: names are constants of the program.
func Counter(r prometheus.Registerer, name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	r.MustRegister(c)
	return c
}

// Labelled are counters of one name for a closed list of label values. Their children are made here, once: finding one is
// a map lookup without hashing of label sets.
type Labelled[V ~string] struct {
	children map[V]prometheus.Counter
	other    prometheus.Counter
}

// Counters makes one counter for each of values and one for "other", and registers them.
func Counters[V ~string](r prometheus.Registerer, name, help, label string, values ...V) *Labelled[V] {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	r.MustRegister(vec)
	l := &Labelled[V]{children: make(map[V]prometheus.Counter, len(values)), other: vec.WithLabelValues("other")}
	for _, v := range values {
		l.children[v] = vec.WithLabelValues(string(v))
	}
	return l
}

// Of is the counter of v; that of "other" if v is not in the list.
func (l *Labelled[V]) Of(v V) prometheus.Counter {
	if c, ok := l.children[v]; ok {
		return c
	}
	return l.other
}

// Routes count requests and their duration by route and status. Routes are made when the server is; a status appears with
// its first answer.
type Routes struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// latencies span a read from memory to the longest wait a client may ask for.
var latencies = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// NewRoutes makes PREFIX_requests_total by route and status and PREFIX_request_seconds by route, and registers them.
func NewRoutes(r prometheus.Registerer, prefix string) *Routes {
	routes := &Routes{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "_requests_total", Help: "Requests answered, by route and status.",
		}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "_request_seconds", Help: "Time from the end of a request's headers to the end of its answer, by route.",
			Buckets: latencies,
		}, []string{"route"}),
	}
	r.MustRegister(routes.requests, routes.seconds)
	return routes
}

// Route counts the requests of one route.
type Route struct {
	name     string
	requests *prometheus.CounterVec
	seconds  prometheus.Observer
	statuses [maxStatus - minStatus]atomic.Pointer[prometheus.Counter]
}

const (
	minStatus = 100
	maxStatus = 600
)

// Route gives the counters of the route with this name: a pattern, never a path.
func (r *Routes) Route(name string) *Route {
	return &Route{name: name, requests: r.requests, seconds: r.seconds.WithLabelValues(name)}
}

// Observe counts one answer.
func (r *Route) Observe(status int, seconds float64) {
	r.counter(status).Inc()
	r.seconds.Observe(seconds)
}

func (r *Route) counter(status int) prometheus.Counter {
	if status < minStatus || status >= maxStatus {
		return r.requests.WithLabelValues(r.name, "other")
	}
	child := &r.statuses[status-minStatus]
	if c := child.Load(); c != nil {
		return *c
	}
	c := r.requests.WithLabelValues(r.name, strconv.Itoa(status))
	child.Store(&c)
	return c
}
