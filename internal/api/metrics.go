package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/telemetry"
)

// metrics are what the door counts.
type metrics struct {
	accepted, duplicates, clamped prometheus.Counter
	rejected                      *telemetry.Labelled[freshet.Code]
	segmentRefused                *telemetry.Labelled[refusalCause]
	routes                        *telemetry.Routes
	refused                       *telemetry.Route // requests that reach no route
}

func newMetrics(r prometheus.Registerer) *metrics {
	routes := telemetry.NewRoutes(r, "freshet_http")
	return &metrics{
		accepted:   telemetry.Counter(r, "freshet_events_accepted_total", "Events accepted over HTTP, each once however many entities it is about."),
		duplicates: telemetry.Counter(r, "freshet_events_duplicate_total", "Events sent over HTTP that were known already by their id."),
		clamped:    telemetry.Counter(r, "freshet_events_clamped_total", "Accepted events whose time lay in the future and was set to the ingest time."),
		rejected: telemetry.Counters(r, "freshet_events_rejected_total", "Events sent over HTTP that were rejected, by code.", "code",
			freshet.InvalidArgument, freshet.TooLarge, freshet.Unsupported),
		segmentRefused: telemetry.Counters(r, "freshet_segment_refused_total",
			"Messages of Segment's tracking API that were answered as taken and could not be taken, by cause.", "cause",
			causeMalformed, causeTooLarge, causeNoID, causeUnknownType, causeInvalid),
		routes:  routes,
		refused: routes.Route("none"),
	}
}
