// Package telemetry is a kit: the wiring of Prometheus metrics. It makes counters whose children are looked up once and
// not at every event, and collectors that read the counts of other parts when somebody scrapes. It knows no metric of its
// own besides those of the process, and never takes a label whose values come from outside.
package telemetry

import (
	"log/slog"
	"net/http"
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewRegistry is a registry that shows the Go runtime and the process, ready for more.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		// What lived at the end of the last collection tells a leak from garbage.
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/gc/heap/live:bytes$")})),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// scrapes is how many scrapes may run at once: a scraper that asks again before it has been answered must not pile up
// work beside the real load.
const scrapes = 4

// Handler answers a scrape of r in the text or OpenMetrics form, by what the scraper accepts. Metrics that cannot be
// collected are logged and left out; the others are answered.
func Handler(r *prometheus.Registry, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapes,
		EnableOpenMetrics:   true,
	})
}
