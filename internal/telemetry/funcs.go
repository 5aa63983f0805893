package telemetry

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Func is a metric that is read when somebody scrapes. A name that ends in _total is a counter, any other a gauge. f may be
// called concurrently and should answer in microseconds.
func Func(name, help string, f func() float64) prometheus.Collector {
	if isCounter(name) {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f)
	}
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
}

// FuncBy is Func for several values told apart by one label, such as the partitions of a log. f hands each value to emit,
// with a different label value each time, and the label values must be few.
func FuncBy(name, help, label string, f func(emit func(value string, v float64))) prometheus.Collector {
	kind := prometheus.GaugeValue
	if isCounter(name) {
		kind = prometheus.CounterValue
	}
	return &by{desc: prometheus.NewDesc(name, help, []string{label}, nil), kind: kind, f: f}
}

// Funcs are several metrics that come from one snapshot, which read makes once for each scrape.
func Funcs[S any](read func() S, metrics ...Metric[S]) prometheus.Collector {
	g := &group[S]{read: read, metrics: metrics}
	for _, m := range metrics {
		g.descs = append(g.descs, prometheus.NewDesc(m.Name, m.Help, nil, nil))
	}
	return g
}

// Metric is one value of a snapshot S.
type Metric[S any] struct {
	Name, Help string
	Value      func(S) float64
}

func isCounter(name string) bool { return strings.HasSuffix(name, "_total") }

type by struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	f    func(emit func(value string, v float64))
}

func (b *by) Describe(ch chan<- *prometheus.Desc) { ch <- b.desc }

func (b *by) Collect(ch chan<- prometheus.Metric) {
	b.f(func(value string, v float64) {
		ch <- prometheus.MustNewConstMetric(b.desc, b.kind, v, value)
	})
}

type group[S any] struct {
	read    func() S
	metrics []Metric[S]
	descs   []*prometheus.Desc
}

func (g *group[S]) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range g.descs {
		ch <- d
	}
}

func (g *group[S]) Collect(ch chan<- prometheus.Metric) {
	s := g.read()
	for i, m := range g.metrics {
		kind := prometheus.GaugeValue
		if isCounter(m.Name) {
			kind = prometheus.CounterValue
		}
		ch <- prometheus.MustNewConstMetric(g.descs[i], kind, m.Value(s))
	}
}
