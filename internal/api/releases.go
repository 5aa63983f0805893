package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/registry"
)

// Releases decides which release serves (the publishing layer).
type Releases interface {
	Now(ctx context.Context) (deployment.Releases, registry.Revision, error)
	Progress(id freshet.ReleaseID) (deployment.Progress, bool)
	Plan(ctx context.Context, req deployment.Request) (deployment.Plan, error)
	// Deploy gives no release if what is asked for is live already.
	Deploy(ctx context.Context, req deployment.Request, by deployment.By) (deployment.Plan, *deployment.Release, error)
	Promote(ctx context.Context, id freshet.ReleaseID, by deployment.By) (*deployment.Release, error)
	Abort(ctx context.Context, id freshet.ReleaseID, by deployment.By) (*deployment.Release, error)
	Rollback(ctx context.Context, by deployment.By) (*deployment.Release, error)
	// Collect says what nothing needs, beyond the last keep releases, and removes it if told to.
	Collect(ctx context.Context, keep int, remove bool) (deployment.Garbage, error)
}

// What a deployment does that does not say it.
const (
	defaultCanary = 0.1
	defaultBake   = 10 * time.Minute
)

// deployRequest is the body of POST /v1/releases.
type deployRequest struct {
	Mode     string                               `json:"mode"`
	Release  freshet.ReleaseID                    `json:"release"`
	Project  string                               `json:"project"`
	Tables   map[freshet.TableName]freshet.Digest `json:"tables"`
	Embedder freshet.Digest                       `json:"embedder"`
	Models   map[freshet.ModelName]string         `json:"models"`
	Canary   *string                              `json:"canary"`
	Shadow   *string                              `json:"shadow"`
	Bake     *string                              `json:"bake"`
	Accept   []deployment.Guard                   `json:"accept"`
	Reason   string                               `json:"reason"`
}

// postReleases plans or begins a deployment.
func (a *API) postReleases(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	var asked deployRequest
	if err := a.readJSON(w, r, &asked); err != nil {
		return err
	}
	req, err := asked.request()
	if err != nil {
		return err
	}
	switch asked.Mode {
	case "plan":
		plan, err := a.deps.Releases.Plan(r.Context(), req)
		if err != nil {
			return err
		}
		return w.value(http.StatusOK, plan)
	case "deploy":
		return a.deploy(w, r, req, asked.Reason)
	}
	return invalid("mode", "%.40q: expected plan or deploy", asked.Mode)
}

func (a *API) deploy(w *response, r *http.Request, req deployment.Request, reason string) error {
	by, err := decidedBy(r, reason)
	if err != nil {
		return err
	}
	plan, rel, err := a.deps.Releases.Deploy(r.Context(), req, by)
	if err != nil {
		if len(plan.Problems) == 0 {
			return err
		}
		list, e := json.Marshal(plan.Problems)
		if e != nil {
			return e
		}
		return &rejectedError{err, list}
	}
	state, revision, err := a.deps.Releases.Now(r.Context())
	if err != nil {
		return err
	}
	status := http.StatusAccepted
	if rel == nil {
		status, rel = http.StatusOK, state.Release(state.Live)
	}
	return w.value(status, struct {
		Plan     deployment.Plan   `json:"plan"`
		Release  *shownRelease     `json:"release"`
		Revision registry.Revision `json:"revision"`
	}{plan, a.shownRelease(rel), revision})
}

func (d *deployRequest) request() (deployment.Request, error) {
	req := deployment.Request{
		Release: d.Release, Project: d.Project, Tables: d.Tables, Embedder: d.Embedder, Models: d.Models, Canary: defaultCanary, Bake: defaultBake, Accept: d.Accept,
	}
	for _, s := range []struct {
		name string
		text *string
		to   *float64
	}{{"canary", d.Canary, &req.Canary}, {"shadow", d.Shadow, &req.Shadow}} {
		if s.text == nil {
			continue
		}
		share, err := parseShare(*s.text)
		if err != nil {
			return req, invalid(s.name, "%.40q: expected a share such as 10%%", *s.text)
		}
		*s.to = share
	}
	if d.Bake != nil {
		var err error
		if req.Bake, err = time.ParseDuration(*d.Bake); err != nil {
			return req, invalid("bake", "%.40q: expected a duration such as 10m", *d.Bake)
		}
	}
	return req, nil
}

// parseShare reads "10%", and 0.
func parseShare(s string) (float64, error) {
	text, percent := strings.CutSuffix(s, "%")
	n, err := strconv.ParseFloat(text, 64)
	if err == nil && !percent && n != 0 {
		err = strconv.ErrSyntax // 10 could mean either
	}
	return n / 100, err
}

// decidedBy is who takes the decision of a request, and on which state.
func decidedBy(r *http.Request, reason string) (deployment.By, error) {
	revision, err := ifMatch(r)
	return deployment.By{Actor: actorOf(r), Reason: reason, Revision: revision}, err
}

// shownRelease is a release as the door shows it.
type shownRelease struct {
	ID       freshet.ReleaseID                    `json:"id"`
	State    deployment.State                     `json:"state"`
	Share    float64                              `json:"share,omitempty"`
	Manifest freshet.Release                      `json:"manifest"`
	Versions map[freshet.ModelName]int            `json:"versions"`
	Tables   map[freshet.TableName]freshet.Digest `json:"tables"`
	Embedder freshet.Digest                       `json:"embedder,omitempty"`
	Canary   float64                              `json:"canary"`
	Shadow   float64                              `json:"shadow,omitempty"`
	Bake     float64                              `json:"bake_seconds"`
	Accept   []deployment.Guard                   `json:"accept,omitempty"`
	History  []shownStep                          `json:"history"`
	Progress *deployment.Progress                 `json:"progress,omitempty"` // while it is on its way
}

// shownStep is one decision about a release.
type shownStep struct {
	Revision registry.Revision `json:"revision"`
	At       freshet.Timestamp `json:"at"`
	Actor    string            `json:"actor"`
	Reason   string            `json:"reason,omitempty"`
	State    deployment.State  `json:"state"`
}

func (a *API) shownRelease(r *deployment.Release) *shownRelease {
	s := &shownRelease{
		ID: r.ID(), State: r.State, Share: r.Share, Manifest: r.Order.Release, Versions: r.Versions, Tables: r.Tables, Embedder: r.Embedder,
		Canary: r.Canary, Shadow: r.Shadow, Bake: r.Bake, Accept: r.Accept,
	}
	for _, h := range r.History {
		s.History = append(s.History, shownStep{h.Revision, h.At, h.Actor, h.Reason, h.State})
	}
	if p, ok := a.deps.Releases.Progress(r.ID()); ok && !r.State.Ended() && r.State != deployment.Live && r.State != deployment.Former {
		s.Progress = &p
	}
	return s
}

// getReleases lists all releases, the newest first.
func (a *API) getReleases(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	state, revision, err := a.deps.Releases.Now(r.Context())
	if err != nil {
		return err
	}
	all := []*shownRelease{}
	for _, rel := range slices.Backward(state.All) {
		all = append(all, a.shownRelease(rel))
	}
	return w.value(http.StatusOK, struct {
		Releases  []*shownRelease   `json:"releases"`
		Requested freshet.ReleaseID `json:"requested"`
		Serving   freshet.ReleaseID `json:"serving"`
		Former    freshet.ReleaseID `json:"former,omitempty"`
		Candidate freshet.ReleaseID `json:"candidate,omitempty"`
		Revision  registry.Revision `json:"revision"`
	}{all, state.Requested, state.Live, state.Former, state.Candidate, revision})
}

// getRelease shows one release.
func (a *API) getRelease(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	id := freshet.ReleaseID(r.PathValue("id"))
	state, _, err := a.deps.Releases.Now(r.Context())
	if err != nil {
		return err
	}
	rel := state.Release(id)
	if rel == nil {
		return freshet.FieldErrorf(freshet.NotFound, "id", "id: there is no release %.80q; GET /v1/releases lists all", string(id))
	}
	return w.value(http.StatusOK, a.shownRelease(rel))
}

// postRollback has the former release serve again.
func (a *API) postRollback(w *response, r *http.Request) error {
	return a.decideRelease(w, r, a.deps.Releases.Rollback)
}

// postPromote has a release go its next step now.
func (a *API) postPromote(w *response, r *http.Request) error {
	return a.decideRelease(w, r, func(ctx context.Context, by deployment.By) (*deployment.Release, error) {
		return a.deps.Releases.Promote(ctx, freshet.ReleaseID(r.PathValue("id")), by)
	})
}

// postAbort takes a release back.
func (a *API) postAbort(w *response, r *http.Request) error {
	return a.decideRelease(w, r, func(ctx context.Context, by deployment.By) (*deployment.Release, error) {
		return a.deps.Releases.Abort(ctx, freshet.ReleaseID(r.PathValue("id")), by)
	})
}

// defaultKeep is how many releases keep what they need, whatever became of them.
const defaultKeep = 10

// postGC says what the registry keeps and nothing needs, and removes it if it is asked to.
func (a *API) postGC(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	var asked struct {
		Keep   *int `json:"keep"`
		Remove bool `json:"remove"`
	}
	if r.ContentLength != 0 {
		if err := a.readJSON(w, r, &asked); err != nil {
			return err
		}
	}
	keep := defaultKeep
	if asked.Keep != nil {
		keep = *asked.Keep
	}
	if keep < 0 {
		return invalid("keep", "%d: expected the number of releases whose artifacts are kept, from 0", keep)
	}
	g, err := a.deps.Releases.Collect(r.Context(), keep, asked.Remove)
	if err != nil {
		return err
	}
	return w.value(http.StatusOK, g)
}

// decideRelease takes one decision; the body may say why.
func (a *API) decideRelease(w *response, r *http.Request, decide func(context.Context, deployment.By) (*deployment.Release, error)) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	var asked struct {
		Reason string `json:"reason"`
	}
	if r.ContentLength != 0 {
		if err := a.readJSON(w, r, &asked); err != nil {
			return err
		}
	}
	by, err := decidedBy(r, asked.Reason)
	if err != nil {
		return err
	}
	rel, err := decide(r.Context(), by)
	if err != nil {
		return err
	}
	return w.value(http.StatusOK, a.shownRelease(rel))
}
