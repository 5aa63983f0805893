package api

import (
	"net/http"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/release"
)

// getStreams answers how far each partition is.
func (a *API) getStreams(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	return w.value(http.StatusOK, map[string]any{"streams": a.streams()})
}

func (a *API) streams() []StreamStatus {
	streams := a.deps.Streams.Streams()
	for i := range streams {
		streams[i].CheckpointAgeSecs = streams[i].CheckpointAge.Seconds()
	}
	return streams
}

// status is the one page of truth.
type status struct {
	Project   string            `json:"project"`
	Version   string            `json:"version"`
	Roles     []string          `json:"roles"`
	StartedAt freshet.Timestamp `json:"started_at"`
	Now       freshet.Timestamp `json:"now"`
	Ready     bool              `json:"ready"`
	Reasons   []string          `json:"reasons"` // why not ready
	Release   statusRelease     `json:"release"`
	Backlog   statusBacklog     `json:"backlog"`
	Views     []statusView      `json:"views"` // of the live release, in the order of the project file
	// LastErrors are the last faults of the server, newest last: the log tells more under their request ids.
	LastErrors []fault `json:"last_errors"`
}

type statusRelease struct {
	// Requested is what was last asked for. Serving is another one while that is on its way, or was taken back.
	Requested freshet.ReleaseID `json:"requested"`
	State     deployment.State  `json:"state,omitempty"` // of the one requested
	Serving   freshet.ReleaseID `json:"serving"`
	Reason    string            `json:"reason,omitempty"` // why the one requested does not serve
	Manifest  *freshet.Release  `json:"manifest,omitempty"`
}

type statusBacklog struct {
	Events      uint64 `json:"events"` // in the log and not yet in the rows
	JobsQueued  int    `json:"jobs_queued"`
	JobsLeased  int    `json:"jobs_leased"`
	DeadLetters int    `json:"dead_letters"`
	// OldestJobAge is how long the oldest job has waited, in seconds.
	OldestJobAge float64 `json:"oldest_job_age_seconds"`
	Refusing     string  `json:"refusing,omitempty"` // why events are refused now
}

// statusView is how much the rows of a view are. The background sweep counts them as it passes, so that nothing is counted for each event.
type statusView struct {
	View        freshet.ViewName   `json:"view"`
	Entity      freshet.EntityKind `json:"entity"`
	Rows        int64              `json:"rows"`
	Bytes       int64              `json:"bytes"` // of row data, before compression
	BytesPerRow float64            `json:"bytes_per_row"`
	// CountedAt is when the count of the first partition was made; null until all have been counted once.
	CountedAt *freshet.Timestamp `json:"counted_at"`
}

func (a *API) viewsOf(rel *release.Opened) []statusView {
	all := make([]statusView, 0, len(rel.Project().Views))
	for _, v := range rel.Project().Views {
		size := a.deps.Sizes.Size(v.ID())
		s := statusView{View: v.Name(), Entity: v.Entity(), Rows: size.Rows, Bytes: size.Bytes, BytesPerRow: size.PerRow()}
		if !size.At.IsZero() {
			at := freshet.TimestampOf(size.At)
			s.CountedAt = &at
		}
		all = append(all, s)
	}
	return all
}

func (a *API) getStatus(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	now := a.deps.Now()
	s := status{
		Version: a.deps.Version, Roles: a.deps.Roles, StartedAt: freshet.TimestampOf(a.started), Now: freshet.TimestampOf(now),
		Reasons: a.reasons(), Backlog: a.backlog(now), LastErrors: a.faults.list(),
	}
	s.Ready = len(s.Reasons) == 0
	s.Views = []statusView{}
	if s.Roles == nil {
		s.Roles = []string{}
	}
	if rel := a.deps.Live.Load(); rel != nil {
		manifest := rel.Manifest()
		s.Project = rel.Project().Name
		s.Views = a.viewsOf(rel)
		s.Release = statusRelease{Requested: manifest.ID, State: deployment.Live, Serving: manifest.ID, Manifest: &manifest}
		releases, _, err := a.deps.Releases.Now(r.Context())
		if err != nil {
			return err
		}
		if asked := releases.Release(releases.Requested); asked != nil && asked.ID() != manifest.ID {
			s.Release.Requested, s.Release.State, s.Release.Reason = asked.ID(), asked.State, asked.Since().Reason
		}
	}
	return w.value(http.StatusOK, s)
}

func (a *API) backlog(now time.Time) statusBacklog {
	jobs := a.deps.Jobs.Stats()
	b := statusBacklog{JobsQueued: jobs.Queued, JobsLeased: jobs.Leased, DeadLetters: jobs.Dead}
	if !jobs.Oldest.IsZero() {
		b.OldestJobAge = max(0, now.Sub(jobs.Oldest).Seconds())
	}
	for _, s := range a.deps.Streams.Streams() {
		b.Events += s.Lag
	}
	if err := a.checkBacklog(); err != nil {
		b.Refusing = err.Error()
	}
	return b
}

// fault is one fault of the server, as far as it is shown outside.
type fault struct {
	At        freshet.Timestamp `json:"at"`
	Route     string            `json:"route"`
	RequestID string            `json:"request_id"`
}

// maxFaults is how many faults are remembered.
const maxFaults = 20

// faults remembers the last faults.
type faults struct {
	mu   sync.Mutex
	last []fault
}

func (f *faults) add(now time.Time, route, requestID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.last) == maxFaults {
		f.last = append(f.last[:0], f.last[1:]...)
	}
	f.last = append(f.last, fault{At: freshet.TimestampOf(now), Route: route, RequestID: requestID})
}

func (f *faults) list() []fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]fault{}, f.last...)
}
