package api

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/registry"
)

// fakeReleases answers as the publishing layer does.
type fakeReleases struct {
	mu       sync.Mutex
	state    deployment.Releases
	revision registry.Revision
	plan     deployment.Plan
	progress *deployment.Progress
	req      deployment.Request
	by       deployment.By
}

// take decides in a state of its own.
func (f *fakeReleases) take(kind string, by deployment.By, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	next, err := deployment.Apply(f.state, registry.Entry{
		Revision: f.revision + 1, At: now, Draft: registry.Draft{Kind: kind, Actor: by.Actor, Reason: by.Reason, Body: b},
	})
	if err == nil {
		f.state, f.revision, f.by = next, f.revision+1, by
	}
	return err
}

func (f *fakeReleases) Now(context.Context) (deployment.Releases, registry.Revision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state, f.revision, nil
}

func (f *fakeReleases) Progress(freshet.ReleaseID) (deployment.Progress, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.progress == nil {
		return deployment.Progress{}, false
	}
	return *f.progress, true
}

func (f *fakeReleases) Plan(_ context.Context, req deployment.Request) (deployment.Plan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.req = req
	return f.plan, req.Check()
}

func (f *fakeReleases) Deploy(_ context.Context, req deployment.Request, by deployment.By) (deployment.Plan, *deployment.Release, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.req = req
	if err := req.Check(); err != nil {
		return deployment.Plan{}, nil, err
	}
	if f.plan.Unchanged {
		return f.plan, nil, nil
	}
	if len(f.plan.Problems) > 0 {
		return f.plan, nil, freshet.Errorf(freshet.Unprocessable, "%s", f.plan.Problems[0].Detail)
	}
	err := f.take(deployment.KindDeploy, by, deployment.Order{
		Release: freshet.Release{ID: f.state.Next()}, Versions: map[freshet.ModelName]int{"ranker": 7}, Canary: req.Canary, Bake: req.Bake.Seconds(), Accept: req.Accept,
	})
	return f.plan, f.state.Release(f.state.Candidate), err
}

func (f *fakeReleases) change(kind string, id freshet.ReleaseID, by deployment.By) (*deployment.Release, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.take(kind, by, deployment.Change{Release: id})
	return f.state.Release(id), err
}

func (f *fakeReleases) Promote(_ context.Context, id freshet.ReleaseID, by deployment.By) (*deployment.Release, error) {
	return f.change(deployment.KindLive, id, by)
}

func (f *fakeReleases) Abort(_ context.Context, id freshet.ReleaseID, by deployment.By) (*deployment.Release, error) {
	return f.change(deployment.KindAborted, id, by)
}

func (f *fakeReleases) Rollback(_ context.Context, by deployment.By) (*deployment.Release, error) {
	return f.change(deployment.KindRollback, f.state.Former, by)
}

func (f *fakeReleases) Collect(_ context.Context, keep int, remove bool) (deployment.Garbage, error) {
	return deployment.Garbage{Removed: remove, Kept: keep, Remove: []deployment.Waste{{Digest: "sha256:a", What: "model ranker@3", Bytes: 5, PutAt: now}}, Bytes: 5}, nil
}

func (f *fakeReleases) set(change func(*fakeReleases)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// emptyPlan is a plan of nothing in particular.
var emptyPlan = deployment.Plan{Next: "r1", Changes: []deployment.Difference{}, Shared: []string{}, Warnings: []string{}, Problems: []deployment.Problem{}}

func TestReleases(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.releases.plan = emptyPlan
	if a := r.get("/v1/releases"); string(a.body) != `{"releases":[],"requested":"","serving":"","revision":0}` {
		t.Errorf("no releases: %s", a.body)
	}
	if a := r.post("/v1/releases", `{"mode":"plan","project":"p","tables":{"t":"sha256:a"},"models":{"ranker":"7"},"canary":"0","accept":["scores"]}`); a.status != 200 || !strings.Contains(string(a.body), `"next":"r1"`) {
		t.Errorf("plan: %d %s", a.status, a.body)
	}
	if q := r.releases.req; q.Project != "p" || q.Tables["t"] != "sha256:a" || q.Models["ranker"] != "7" || q.Canary != 0 || q.Bake != 10*time.Minute || q.Accept[0] != deployment.Scores {
		t.Errorf("asked for %+v", q)
	}
	a := r.post("/v1/releases", `{"mode":"deploy","project":"p","bake":"1h","reason":"it is better"}`, "Freshet-Actor", "ada", "If-Match", `"3"`)
	for _, word := range []string{`"id":"r1"`, `"state":"preparing"`, `"canary":0.1`, `"bake_seconds":3600`, `"actor":"ada"`, `"reason":"it is better"`, `"versions":{"ranker":7}`} {
		if a.status != 202 || !strings.Contains(string(a.body), word) {
			t.Errorf("deploy lacks %s: %d %s", word, a.status, a.body)
		}
	}
	if r.releases.by.Revision != 3 {
		t.Errorf("decided on revision %d", r.releases.by.Revision)
	}
	r.releases.set(func(f *fakeReleases) {
		f.progress = &deployment.Progress{Step: "fill views", Done: 5, Total: 10, Rate: 2, Left: 2.5}
	})
	if a := r.get("/v1/releases/r1"); !strings.Contains(string(a.body), `"progress":{"step":"fill views","done":5,"total":10,"rate":2,"left_seconds":2.5}`) {
		t.Errorf("on its way: %s", a.body)
	}
	if p := r.post("/v1/releases", `{"mode":"deploy"}`).problem(t); p.Code != freshet.Conflict || !strings.Contains(p.Detail, "freshet abort r1") {
		t.Errorf("deploy during deploy: %+v", p)
	}
	if a := r.post("/v1/releases/r1/promote", ""); a.status != 200 || !strings.Contains(string(a.body), `"state":"live"`) {
		t.Errorf("promote: %d %s", a.status, a.body)
	}
	r.post("/v1/releases", `{"mode":"deploy"}`)
	if a := r.get("/v1/status"); !strings.Contains(string(a.body), `"requested":"r2","state":"preparing","serving":"r1"`) {
		t.Errorf("status: %s", a.body)
	}
	if a := r.post("/v1/releases/r2/abort", `{"reason":"no"}`); a.status != 200 || !strings.Contains(string(a.body), `"state":"aborted"`) {
		t.Errorf("abort: %d %s", a.status, a.body)
	}
	if p := r.post("/v1/releases/rollback", "").problem(t); p.Code != freshet.NotFound && p.Code != freshet.Conflict {
		t.Errorf("rollback without a former: %+v", p)
	}
	r.post("/v1/releases", `{"mode":"deploy"}`)
	r.post("/v1/releases/r3/promote", "")
	if a := r.post("/v1/releases/rollback", `{"reason":"oops"}`); a.status != 200 || !strings.Contains(string(a.body), `"id":"r1","state":"live"`) {
		t.Errorf("rollback: %d %s", a.status, a.body)
	}
	if a := r.get("/v1/releases"); !strings.Contains(string(a.body), `"requested":"r1","serving":"r1","former":"r3"`) {
		t.Errorf("the list: %s", a.body)
	}
	if a := r.post("/v1/releases/gc", ""); a.status != 200 || !strings.Contains(string(a.body), `"what":"model ranker@3","bytes":5`) || !strings.Contains(string(a.body), `"removed":false,"kept":10`) {
		t.Errorf("gc: %d %s", a.status, a.body)
	}
	if a := r.post("/v1/releases/gc", `{"keep":2,"remove":true}`); !strings.Contains(string(a.body), `"removed":true,"kept":2`) {
		t.Errorf("gc: %d %s", a.status, a.body)
	}
	r.releases.set(func(f *fakeReleases) { f.plan.Unchanged = true })
	if a := r.post("/v1/releases", `{"mode":"deploy"}`); a.status != 200 || !strings.Contains(string(a.body), `"id":"r1"`) {
		t.Errorf("deploy of what is live: %d %s", a.status, a.body)
	}
}

func TestReleasesRefuse(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.releases.plan = emptyPlan
	for _, tt := range []struct{ path, body, field string }{
		{"/v1/releases", `{"mode":"do"}`, "mode"},
		{"/v1/releases", `{"mode":"plan","canary":"10"}`, "canary"},
		{"/v1/releases", `{"mode":"plan","canary":"200%"}`, "canary"},
		{"/v1/releases", `{"mode":"plan","canary":"NaN%"}`, "canary"},
		{"/v1/releases", `{"mode":"plan","shadow":"-1%"}`, "shadow"},
		{"/v1/releases", `{"mode":"plan","canary":"100%"}`, "canary"},
		{"/v1/releases", `{"mode":"plan","bake":"soon"}`, "bake"},
		{"/v1/releases", `{"mode":"plan","bake":"9000h"}`, "bake"},
		{"/v1/releases", `{"mode":"plan","accept":["all"]}`, "accept"},
		{"/v1/releases", `{"mode":"plan","release":"r1","project":"x"}`, "release"},
		{"/v1/releases", `{"mode":"plan","projekt":"x"}`, "projekt"},
		{"/v1/releases/r9/promote", `{"why":"x"}`, "why"},
		{"/v1/releases/gc", `{"keep":-1}`, "keep"},
	} {
		r.check = false // the requests are wrong
		if p := r.post(tt.path, tt.body).problem(t); p.Code != freshet.InvalidArgument || p.Field != tt.field {
			t.Errorf("%s: %+v; want field %s", tt.body, p, tt.field)
		}
	}
	if p := r.post("/v1/releases/r9/promote", "").problem(t); p.Code != freshet.NotFound {
		t.Errorf("an unknown release: %+v", p)
	}
	if p := r.get("/v1/releases/r9").problem(t); p.Code != freshet.NotFound {
		t.Errorf("an unknown release: %+v", p)
	}
	r.releases.plan.Problems = []deployment.Problem{{Field: "tables.t", Detail: "it has no column c"}, {Detail: "another"}}
	if p := r.post("/v1/releases", `{"mode":"deploy"}`).problem(t); p.Code != freshet.Unprocessable || len(p.Errors) != 2 {
		t.Errorf("a plan with problems: %+v", p)
	}
}
