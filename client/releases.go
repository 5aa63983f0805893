package client

import (
	"context"
	"net/http"
	"strconv"

	"github.com/freshet-ml/freshet"
)

// DeployRequest asks for a release. What it leaves out is taken from the live one.
type DeployRequest struct {
	Release freshet.ReleaseID                    `json:"release,omitempty"` // an earlier one whose content goes live again
	Project string                               `json:"project,omitempty"` // the project file's text
	Tables  map[freshet.TableName]freshet.Digest `json:"tables,omitempty"`  // of files that PutBlob has stored
	// Embedder is the digest of the word table that the project file names, a file that PutBlob has stored.
	Embedder freshet.Digest               `json:"embedder,omitempty"`
	Models   map[freshet.ModelName]string `json:"models,omitempty"` // versions, by number or alias; of others the last published
	Canary   string                       `json:"canary,omitempty"` // "10%"; "0" serves everybody at once
	Shadow   string                       `json:"shadow,omitempty"` // "10%" of the jobs are run beside first
	Bake     string                       `json:"bake,omitempty"`   // how long it is a canary: "10m"
	Accept   []string                     `json:"accept,omitempty"` // guardrails that are not looked at
	Reason   string                       `json:"reason,omitempty"`
}

// Decision says who decides, and on which state.
type Decision struct {
	Actor  string // for the audit; "" is anonymous
	Reason string
	// Revision is that of the Plan or Releases on which it was decided: if another decision was taken since,
	// PreconditionFailed. 0 does not look.
	Revision uint64
}

func (d Decision) ifMatch() string {
	if d.Revision == 0 {
		return ""
	}
	return `"` + strconv.FormatUint(d.Revision, 10) + `"`
}

// Plan says what a deployment would do.
type Plan struct {
	Live      freshet.ReleaseID `json:"live,omitempty"` // that it is compared with
	Next      freshet.ReleaseID `json:"next"`           // the name that it would get
	Unchanged bool              `json:"unchanged"`      // it is what is live
	Changes   []Difference      `json:"changes"`
	Shared    []string          `json:"shared"` // what both have: "views.session"
	Backfill  *Backfill         `json:"backfill,omitempty"`
	Warnings  []string          `json:"warnings"`
	Problems  []PlanProblem     `json:"problems"` // why it cannot be deployed
	Revision  uint64            `json:"revision"` // of the log of decisions
}

// Difference is one thing that differs.
type Difference struct {
	What   string   `json:"what"`            // "views.session"
	Change string   `json:"change"`          // added, changed, dropped or replaced
	Lines  []string `json:"lines,omitempty"` // what differs in it
	Fill   bool     `json:"fill,omitempty"`  // a view whose rows have to be made from the past
}

// Backfill is the work of filling new views, as estimated.
type Backfill struct {
	Views   []freshet.ViewName `json:"views"`
	Events  uint64             `json:"events"`
	Rate    float64            `json:"events_per_second"`
	Seconds float64            `json:"seconds"`
	Guessed bool               `json:"guessed,omitempty"` // no fill was measured on this server yet
}

// PlanProblem is one reason why a deployment would be refused.
type PlanProblem struct {
	Field  string `json:"field,omitempty"`
	Detail string `json:"detail"`
}

// Release is a release and what became of it.
type Release struct {
	ID       freshet.ReleaseID                    `json:"id"`
	State    string                               `json:"state"` // preparing, shadow, canary, live, former, retired, failed or aborted
	Share    float64                              `json:"share,omitempty"`
	Manifest freshet.Release                      `json:"manifest"`
	Versions map[freshet.ModelName]int            `json:"versions"`
	Tables   map[freshet.TableName]freshet.Digest `json:"tables"`             // of their files
	Embedder freshet.Digest                       `json:"embedder,omitempty"` // of the file of word vectors
	Canary   float64                              `json:"canary"`
	Shadow   float64                              `json:"shadow,omitempty"`
	Bake     float64                              `json:"bake_seconds"`
	Accept   []string                             `json:"accept,omitempty"`
	History  []ReleaseStep                        `json:"history"`
	Progress *Progress                            `json:"progress,omitempty"`
}

// Last is the last step of the release.
func (r *Release) Last() ReleaseStep {
	if len(r.History) == 0 {
		return ReleaseStep{}
	}
	return r.History[len(r.History)-1]
}

// ReleaseStep is one decision about a release.
type ReleaseStep struct {
	Revision uint64            `json:"revision"`
	At       freshet.Timestamp `json:"at"`
	Actor    string            `json:"actor"`
	Reason   string            `json:"reason,omitempty"`
	State    string            `json:"state"` // after it
}

// Progress is how far a release is on its way.
type Progress struct {
	Step   string  `json:"step"`
	Done   uint64  `json:"done,omitempty"` // events of the past, of Total
	Total  uint64  `json:"total,omitempty"`
	Rate   float64 `json:"rate,omitempty"` // events a second
	Left   float64 `json:"left_seconds"`   // 0: not known
	Detail string  `json:"detail,omitempty"`
}

// Releases are all releases, the newest first.
type Releases struct {
	Releases  []Release         `json:"releases"`
	Requested freshet.ReleaseID `json:"requested"` // that was last asked to serve
	Serving   freshet.ReleaseID `json:"serving"`
	Former    freshet.ReleaseID `json:"former,omitempty"`    // to which a rollback leads
	Candidate freshet.ReleaseID `json:"candidate,omitempty"` // on its way
	Revision  uint64            `json:"revision"`            // of the log of decisions
}

// PlanRelease says what a deployment would change. Nothing changes.
func (c *Client) PlanRelease(ctx context.Context, req DeployRequest) (Plan, error) {
	r, err := post("/v1/releases", nil, struct {
		Mode string `json:"mode"`
		DeployRequest
	}{"plan", req})
	if err != nil {
		return Plan{}, err
	}
	var plan Plan
	err = c.call(ctx, r, &plan)
	return plan, err
}

// Deploy has a release go live step by step, after it has returned. The release is the live one, and the plan Unchanged, if
// there is nothing to do. Returns Unprocessable for what cannot serve, Conflict while another release is on its way.
func (c *Client) Deploy(ctx context.Context, req DeployRequest, d Decision) (Plan, Release, error) {
	req.Reason = d.Reason
	r, err := post("/v1/releases", nil, struct {
		Mode string `json:"mode"`
		DeployRequest
	}{"deploy", req})
	if err != nil {
		return Plan{}, Release{}, err
	}
	r.actor, r.ifMatch = d.Actor, d.ifMatch()
	var answer struct {
		Plan    Plan    `json:"plan"`
		Release Release `json:"release"`
	}
	err = c.call(ctx, r, &answer)
	return answer.Plan, answer.Release, err
}

// ListReleases are all releases.
func (c *Client) ListReleases(ctx context.Context) (Releases, error) {
	var all Releases
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/releases"}, &all)
	return all, err
}

// GetRelease shows one release. Returns NotFound if there is none of that name.
func (c *Client) GetRelease(ctx context.Context, id freshet.ReleaseID) (Release, error) {
	var r Release
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/releases/" + segment(string(id))}, &r)
	return r, err
}

// Promote has a release that is on its way go its next step now. Returns Conflict for one that cannot.
func (c *Client) Promote(ctx context.Context, id freshet.ReleaseID, d Decision) (Release, error) {
	return c.decideRelease(ctx, segment(string(id))+"/promote", d)
}

// Abort takes a release back that is on its way. Returns Conflict for others.
func (c *Client) Abort(ctx context.Context, id freshet.ReleaseID, d Decision) (Release, error) {
	return c.decideRelease(ctx, segment(string(id))+"/abort", d)
}

// Rollback has the former release serve everybody again, at once. Returns Conflict if none is kept ready.
func (c *Client) Rollback(ctx context.Context, d Decision) (Release, error) {
	return c.decideRelease(ctx, "rollback", d)
}

func (c *Client) decideRelease(ctx context.Context, path string, d Decision) (Release, error) {
	r, err := post("/v1/releases/"+path, nil, map[string]string{"reason": d.Reason})
	if err != nil {
		return Release{}, err
	}
	r.actor, r.ifMatch = d.Actor, d.ifMatch()
	var rel Release
	err = c.call(ctx, r, &rel)
	return rel, err
}

// Garbage is what the registry keeps and nothing needs.
type Garbage struct {
	Remove    []Waste `json:"remove"`
	Bytes     int64   `json:"bytes"`   // of these
	Removed   bool    `json:"removed"` // they are gone; else it was only looked
	Kept      int     `json:"kept"`    // artifacts that are needed
	KeptBytes int64   `json:"kept_bytes"`
}

// Waste is one artifact that nothing needs.
type Waste struct {
	Digest freshet.Digest    `json:"digest"`
	What   string            `json:"what"` // "model ranker@3"
	Bytes  int64             `json:"bytes"`
	PutAt  freshet.Timestamp `json:"put_at"`
}

// CollectGarbage says what nothing needs beyond the last keep releases, and removes it if remove is true.
func (c *Client) CollectGarbage(ctx context.Context, keep int, remove bool) (Garbage, error) {
	r, err := post("/v1/releases/gc", nil, map[string]any{"keep": keep, "remove": remove})
	if err != nil {
		return Garbage{}, err
	}
	var g Garbage
	err = c.call(ctx, r, &g)
	return g, err
}
