package publishing

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/linearmodel"
	"github.com/freshet-ml/freshet/registry"
	"github.com/freshet-ml/freshet/registry/memregistry"
)

const testProject = `
project: score
entities: { user: { key: user_id } }
events: { view: { keys: [user_id], fields: { seconds: float } } }
views: { seen: { entity: user, from: view, window: lifetime, features: { n: count() } } }
tables: { factor: { entity: user, file: factor.csv, columns: { x: float } } }
models: { score: { path: score.json } }
pipelines: { score: { from: view, entity: user, model: score, inputs: { k: factor.x } } }
`

// changedView is testProject with another view.
var changedView = string(bytes.Replace([]byte(testProject), []byte("count()"), []byte("count(seconds > 1)"), 1))

func scoreModel(factor int) string {
	return fmt.Sprintf(`{"format":"freshet.linear/1","link":"identity","features":[{"name":"k"}],"coefficients":[[%d]],"intercept":[0],"outputs":["score"]}`, factor)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is a publisher on hand-offs in memory, whose other layers answer what the test says.
type rig struct {
	*Publisher
	t      testing.TB
	driver *failing
	layers *layers
	dir    string
}

// layers are what server plugs in.
type layers struct {
	mu      sync.Mutex
	fill    Fill
	fillErr error
	warmErr error
	dropped int
	users   []freshet.Entity
	predict func(rel *release.Opened, req release.Request) (freshet.Prediction, error)
}

func (l *layers) set(change func(*layers)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func (l *layers) Fill([]freshet.ViewID) (Fill, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fill, l.fillErr
}

func (l *layers) DropUnused()  { l.set(func(l *layers) { l.dropped++ }) }
func (l *layers) Past() uint64 { return 1_500_000 }

func (l *layers) Warm(context.Context, *release.Opened) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.warmErr
}

func (l *layers) Recent(context.Context, freshet.EntityKind, int) ([]freshet.Entity, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.users, nil
}

func (l *layers) Try(_ context.Context, rel *release.Opened, req release.Request) (freshet.Prediction, error) {
	l.mu.Lock()
	predict := l.predict
	l.mu.Unlock()
	return predict(rel, req)
}

// failing is a driver that is gone after some appends, as if the process had died there.
type failing struct {
	registry.Driver
	mu     sync.Mutex
	left   int  // appends that still work; negative: all
	before bool // the append that fails was not stored
	dead   bool
}

var errDead = freshet.Errorf(freshet.Unavailable, "the process is dead")

func (f *failing) Append(ctx context.Context, revision registry.Revision, data []byte) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return false, errDead
	}
	if f.left == 0 {
		f.dead = true
		if f.before {
			return false, errDead
		}
		if _, err := f.Driver.Append(ctx, revision, data); err != nil {
			return false, err
		}
		return false, errDead
	}
	f.left--
	return f.Driver.Append(ctx, revision, data)
}

func (f *failing) isDead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

func newRig(t testing.TB) *rig {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "freshet.yaml"), []byte(testProject), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "factor.csv"), []byte("user_id,x\nu1,10\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "score.json"), []byte(scoreModel(2)), 0o600))
	return openRig(t, dir, memregistry.New())
}

// openRig starts a publisher on what a driver holds.
func openRig(t testing.TB, dir string, d registry.Driver) *rig {
	t.Helper()
	l := &layers{fill: Fill{Filled: true}, predict: func(rel *release.Opened, req release.Request) (freshet.Prediction, error) {
		return freshet.Prediction{Items: []freshet.Item{{ID: req.Entity.Key, Score: 1}}, Release: rel.ID()}, nil
	}}
	f := &failing{Driver: d, left: -1}
	reg := registry.New(f, nil)
	runtimes := []modelruntime.Runtime{linearmodel.Linear{}}
	p := New(Deps{
		Registry: reg, Versions: modelregistry.New(reg, runtimes), Live: &release.Live{}, Views: l, Models: l, Predictor: l, Users: l, Runtimes: runtimes,
	}, Options{Logger: slog.New(slog.DiscardHandler)})
	r := &rig{Publisher: p, t: t, driver: f, layers: l, dir: dir}
	t.Cleanup(func() { must(t, p.Close()) })
	must(t, p.Start(t.Context(), func() (*project.Project, error) { return project.Load(dir) }))
	return r
}

// publish makes a version of the model.
func (r *rig) publish(text string) {
	r.t.Helper()
	r.publishAs("score", text)
}

func (r *rig) publishAs(name freshet.ModelName, text string) {
	r.t.Helper()
	_, _, err := r.Versions.Publish(r.t.Context(), fstest.MapFS{"score.json": {Data: []byte(text)}}, modelregistry.Publication{Model: name, Actor: "ada"})
	must(r.t, err)
}

// deploy begins a deployment, which must be possible.
func (r *rig) deploy(req deployment.Request) *deployment.Release {
	r.t.Helper()
	plan, rel, err := r.Deploy(r.t.Context(), req, deployment.By{Actor: "ada", Reason: "a test"})
	must(r.t, err)
	if rel == nil {
		r.t.Fatalf("nothing to deploy: %+v", plan)
	}
	return rel
}

// steps goes steps until nothing changes any more.
func (r *rig) steps() {
	r.t.Helper()
	for {
		state, before, err := r.Now(r.t.Context())
		must(r.t, err)
		if err := r.step(r.t.Context(), state); err != nil && !r.driver.isDead() {
			r.t.Fatal(err)
		}
		if _, after, err := r.Now(r.t.Context()); err != nil || after == before {
			must(r.t, err)
			return
		}
	}
}

// expect compares the states of all releases, and that what serves is what the log says.
func (r *rig) expect(want string) {
	r.t.Helper()
	state, _, err := r.Now(r.t.Context())
	must(r.t, err)
	got := ""
	for _, rel := range state.All {
		got += fmt.Sprintf("%s %s; ", rel.ID(), rel.State)
	}
	if got != want {
		last := state.All[len(state.All)-1].Since()
		r.t.Errorf("releases are %s\nwant %s\nthe last step: %s", got, want, last.Reason)
	}
	if live := r.Live.Load(); live == nil || live.ID() != state.Live {
		r.t.Errorf("%v serves; the log says %s", live, state.Live)
	}
	roles := r.Live.Set().Roles()
	for role, is := range map[string]bool{
		"former":    (roles.Former != nil) == (state.Former != ""),
		"candidate": (roles.Candidate != nil) == (state.Candidate != "" && state.Release(state.Candidate).State == deployment.Canary),
		"preparing": (roles.Preparing != nil) == (state.Candidate != "" && state.Release(state.Candidate).State == deployment.Preparing),
	} {
		if !is {
			r.t.Errorf("the role %s does not follow the log: %+v of %s", role, roles, got)
		}
	}
}

// at makes the publisher's clock say t.
func (r *rig) at(t time.Time) { r.o.Now = func() time.Time { return t } }
