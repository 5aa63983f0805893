// Package api is the door: HTTP in and out. It decodes and checks requests, asks the hand-offs and layers that its Deps
// name, and writes their answers; openapi.yaml, which it serves, says what it takes and gives. It never computes a
// feature or a prediction, never decides what an event means, and keeps nothing between two requests but counts.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/presence"
	"github.com/freshet-ml/freshet/internal/refused"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/telemetry"
)

// API answers HTTP requests. It may be used concurrently.
type API struct {
	deps    Deps
	o       Options
	mux     *http.ServeMux
	metrics *metrics
	scrape  http.Handler // of metrics
	started time.Time
	faults  faults
	ids     requestIDs

	draining context.Context // ends when Serve begins to drain: nobody waits for anything then
	drain    context.CancelFunc

	inflight  atomic.Int64 // bytes of bodies beyond the first smallBody bytes each
	responses sync.Pool    // of *response
	bodies    sync.Pool    // of *body
	batches   sync.Pool    // of *batch
	buffers   sync.Pool    // of *[]byte, answers
	matrices  sync.Pool    // of *matrix
	infers    sync.Pool    // of *inferRequest
	frames    sync.Pool    // of *valueFrame
	asked     atomic.Pointer[askedColumns]
	unpackers unpackers
	uploads   chan struct{} // a place for each artifact that comes
	traits    traitTables
	origins   *http.CrossOriginProtection
}

// New makes the door. It does not listen: Handler and Serve do. Panics if a dependency that every route needs is missing.
func New(deps Deps, o Options) *API {
	deps.check()
	deps = deps.withDefaults()
	a := &API{deps: deps, o: o.withDefaults(), started: deps.Now(), origins: http.NewCrossOriginProtection()}
	trust(a.origins, &a.o)
	a.draining, a.drain = context.WithCancel(context.Background())
	a.metrics = newMetrics(deps.Metrics)
	a.scrape = telemetry.Handler(deps.Metrics, deps.Logger)
	a.ids.init()
	a.responses.New = func() any { return new(response) }
	a.bodies.New = func() any { return new(body) }
	a.batches.New = func() any { return newBatch() }
	a.buffers.New = func() any { return new([]byte) }
	a.matrices.New = func() any { return new(matrix) }
	a.infers.New = func() any { return newInferRequest() }
	a.unpackers.init(a.o.MaxUnpacked)
	a.traits.init()
	a.uploads = make(chan struct{}, maxUploads)
	a.mux = a.newMux(a.routes())
	return a
}

// Handler answers requests without the limits that belong to connections: Serve adds those.
func (a *API) Handler() http.Handler { return http.HandlerFunc(a.serve) }

// live is the release that answers this request: take it once, and give it back with Unpin.
func (a *API) live() (*release.Opened, error) { return pinned(a.deps.Live.Pin()) }

// serving is the release that answers about one entity: the candidate for those whom it serves, if it has what is asked for, else the live one. find
// looks for that in a release, and gives the entity's key; what it finds last is in the release that is returned. Unpin it.
func (a *API) serving(find func(*release.Opened) (freshet.Key, error)) (*release.Opened, error) {
	if candidate := a.deps.Live.PinCandidate(); candidate != nil {
		if key, err := find(candidate); err == nil && a.deps.Live.Set().For(key) == candidate {
			return candidate, nil
		}
		candidate.Unpin()
	}
	live, err := a.live()
	if err != nil {
		return nil, err
	}
	if _, err := find(live); err != nil {
		live.Unpin()
		return nil, err
	}
	return live, nil
}

func pinned(rel *release.Opened) (*release.Opened, error) {
	if rel == nil {
		return nil, freshet.Errorf(freshet.Unavailable, "no release is live yet; try again when /readyz answers 200")
	}
	return rel, nil
}

func (a *API) now() freshet.Timestamp { return freshet.TimestampOf(a.deps.Now()) }

// buffer lends a buffer for an answer; give it back with returnBuffer.
func (a *API) buffer() *[]byte { return a.buffers.Get().(*[]byte) }

// maxPooled is the largest buffer that is kept for the next request: a rare large one must not stay for ever.
const maxPooled = 1 << 20

func (a *API) returnBuffer(b *[]byte) {
	if cap(*b) > maxPooled {
		return
	}
	*b = (*b)[:0]
	a.buffers.Put(b)
}

// Deps are what the door talks to.
type Deps struct {
	Live        Live
	Log         Log
	Past        Past
	Eraser      Eraser // nil: nobody can be forgotten
	Rows        Rows
	Values      Values
	Tables      Tables
	Jobs        Jobs
	Predictions Predictions
	Predictor   Predictor
	Models      Models
	Versions    Versions
	Loaded      Loaded
	Releases    Releases
	Blobs       Blobs
	Streams     Streams
	Sizes       Sizes
	Ready       Ready
	People      People
	Deliveries  Deliveries
	Hub         *presence.Hub // of open streams
	Refused     *refused.List // events that were answered as taken and could not be taken

	// Metrics is where the door's metrics are registered and what /metrics shows. Defaults to a registry of its own.
	Metrics *prometheus.Registry
	// Logger takes faults of the server, each with its request id. Defaults to one that discards.
	Logger *slog.Logger
	// Now is the clock of ingest times and of reads without a moment. Defaults to time.Now.
	Now func() time.Time
	// Version and Roles are shown by /v1/status.
	Version string
	Roles   []string
}
