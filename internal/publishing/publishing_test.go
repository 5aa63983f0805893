package publishing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/registry"
)

func TestFirstReleaseAndRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.expect("r1 live; ")
	again := openRig(t, t.TempDir(), r.driver.Driver) // an empty folder: nothing of it is needed
	again.expect("r1 live; ")
	if a, b := r.Live.Load().Manifest(), again.Live.Load().Manifest(); a.Digest != b.Digest || a.CreatedAt != b.CreatedAt {
		t.Errorf("%+v is %+v after a restart", a, b)
	}
	if m, _ := again.Live.Load().Model("score"); m.Label() != "score@1" {
		t.Errorf("the model is %s", m.Label())
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(scoreModel(3))
	plan, err := r.Plan(t.Context(), deployment.Request{Project: changedView, Tables: map[freshet.TableName]freshet.Digest{"factor": r.put("user_id,x\nu1,10\nu2,20\n")}})
	must(t, err)
	want := `views.seen changed [features.n: count() → count(seconds > 1)] fill
tables.factor replaced [1 rows → 2 rows]
models.score replaced [score@1 → score@2]
`
	got := ""
	for _, d := range plan.Changes {
		got += fmt.Sprintf("%s %s %v", d.What, d.Change, d.Lines)
		if d.Fill {
			got += " fill"
		}
		got += "\n"
	}
	if got != want {
		t.Errorf("the plan is\n%swant\n%s", got, want)
	}
	if b := plan.Backfill; b == nil || b.Took() != 10*time.Second || !b.Guessed || len(plan.Shared) != 1 || plan.Shared[0] != "pipelines.score" || plan.Next != "r2" {
		t.Errorf("the plan is %+v", plan)
	}
	r.expect("r1 live; ")
}

// put stores a file.
func (r *rig) put(text string) freshet.Digest {
	r.t.Helper()
	d := registry.DigestOf([]byte(text))
	_, err := r.Registry.Put(r.t.Context(), d, strings.NewReader(text))
	must(r.t, err)
	return d
}

func TestPlanSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, tt := range []struct{ name, old, new, want string }{
		{"a typo", "entity: user, from: view, window", "entity: usr, from: view, window", "did you mean user?"},
		{"a missing input", "k: factor.x", "j: factor.x", "k"},
		{"a table without a column", "columns: { x: float }", "columns: { x: float, y: float }", "y"},
		{"a table without a file", "tables: {", "tables: { other: { entity: user, file: o.csv, columns: { z: int } },", "its file was not sent"},
		{"a model without a version", "models: {", "models: { other: { path: o.json },", "no version of it was published"},
	} {
		plan, err := r.Plan(t.Context(), deployment.Request{Project: strings.Replace(testProject, tt.old, tt.new, 1)})
		must(t, err)
		if len(plan.Problems) == 0 || !strings.Contains(plan.Problems[0].Detail, tt.want) {
			t.Errorf("%s: %+v", tt.name, plan.Problems)
		}
		_, _, err = r.Deploy(t.Context(), deployment.Request{Project: strings.Replace(testProject, tt.old, tt.new, 1)}, deployment.By{Actor: "ada"})
		if freshet.CodeOf(err) != freshet.Unprocessable {
			t.Errorf("%s: deploy: %v", tt.name, err)
		}
	}
	plan, err := r.Plan(t.Context(), deployment.Request{Project: strings.Replace(testProject, "k: factor.x", "j: factor.x", 1)})
	must(t, err)
	if got, want := fmt.Sprint(plan.Problems), "[{pipelines.score freshet.yaml:8:73: pipelines.score: inputs: model score has no column j; there is k} "+
		"{pipelines.score freshet.yaml:8:14: pipelines.score: column k of model score: no input and no feature has this name: add an input; there is n}]"; got != want {
		t.Errorf("problems are %s\nwant %s", got, want)
	}
	r.publishAs("other", scoreModel(4))
	plan, err = r.Plan(t.Context(), deployment.Request{
		Tables: map[freshet.TableName]freshet.Digest{"factors": r.put("user_id,x\nu1,11\n")}, Models: map[freshet.ModelName]string{"other": "1"},
	})
	must(t, err)
	if got, want := fmt.Sprint(plan.Problems), "[{tables.factors tables.factors: the project has no table of a file of this name; did you mean factor?} "+
		"{models.other models.other: the project has no model of this name; there is score}]"; got != want {
		t.Errorf("problems are %s\nwant %s", got, want)
	}
	for _, req := range []deployment.Request{{Models: map[freshet.ModelName]string{"score": "9"}}, {Models: map[freshet.ModelName]string{"none": "1"}}, {Release: "r7"}} {
		if _, err := r.Plan(t.Context(), req); freshet.CodeOf(err) != freshet.NotFound {
			t.Errorf("%+v: %v", req, err)
		}
	}
	r.expect("r1 live; ")
}

func TestDeployAndRollback(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if plan, rel, err := r.Deploy(t.Context(), deployment.Request{Project: testProject}, deployment.By{Actor: "ada"}); err != nil || rel != nil || !plan.Unchanged {
		t.Errorf("deploying what is live: %+v, %v, %v", plan, rel, err)
	}
	r.layers.set(func(l *layers) { l.fill = Fill{Done: 1, Total: 4, Rate: 100} })
	r.publish(scoreModel(3))
	r.deploy(deployment.Request{Project: changedView})
	r.steps()
	r.expect("r1 live; r2 preparing; ")
	if p, ok := r.Progress("r2"); !ok || p.Step != "fill views" || p.Total != 4 {
		t.Errorf("progress %+v, %v", p, ok)
	}
	if _, _, err := r.Deploy(t.Context(), deployment.Request{Project: testProject}, deployment.By{Actor: "bob"}); freshet.CodeOf(err) != freshet.Conflict || !strings.Contains(err.Error(), "freshet abort r2") {
		t.Errorf("deploy during deploy: %v", err)
	}
	if _, err := r.Promote(t.Context(), "r2", deployment.By{Actor: "ada"}); freshet.CodeOf(err) != freshet.Conflict {
		t.Errorf("promote of what is not ready: %v", err)
	}
	r.layers.set(func(l *layers) { l.fill = Fill{Filled: true} })
	r.steps()
	r.expect("r1 former; r2 live; ")

	if _, err := r.Rollback(t.Context(), deployment.By{Actor: "ada", Revision: 1}); freshet.CodeOf(err) != freshet.PreconditionFailed {
		t.Errorf("rollback on an old state: %v", err)
	}
	for _, want := range []string{"r1 live; r2 former; ", "r1 former; r2 live; ", "r1 live; r2 former; "} {
		_, err := r.Rollback(t.Context(), deployment.By{Actor: "ada"})
		must(t, err)
		r.expect(want)
	}

	// Its time over, the former one is let go, and the rows of its views with it.
	r.at(time.Now().Add(2 * time.Hour))
	r.steps()
	r.expect("r1 live; r2 retired; ")
	r.at(time.Now())
	if len(r.Live.Set().Open()) != 1 || r.layers.dropped == 0 {
		t.Errorf("%d releases are open, rows were dropped %d times", len(r.Live.Set().Open()), r.layers.dropped)
	}
	if _, err := r.Rollback(t.Context(), deployment.By{Actor: "ada"}); freshet.CodeOf(err) != freshet.Conflict && freshet.CodeOf(err) != freshet.NotFound {
		t.Errorf("rollback without a former: %v", err)
	}
	r.deploy(deployment.Request{Release: "r2"})
	r.steps()
	r.expect("r1 former; r2 retired; r3 live; ")
	if a, b := r.Live.Load().Manifest(), r.state().Release("r2").Order.Release; a.Digest != b.Digest {
		t.Errorf("r3 is %+v, r2 was %+v", a, b)
	}
}

func (r *rig) state() deployment.Releases {
	s, _, err := r.Now(r.t.Context())
	must(r.t, err)
	return s
}

// TestPreparationFails expects that what cannot serve never does, and says why.
func TestPreparationFails(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*layers){
		"cannot be filled": func(l *layers) { l.fillErr = freshet.Errorf(freshet.Internal, "a file is gone") },
		"does not answer":  func(l *layers) { l.warmErr = freshet.Errorf(freshet.Internal, "it does not answer") },
	} {
		r := newRig(t)
		r.publish(scoreModel(3))
		r.deploy(deployment.Request{})
		r.layers.set(spoil)
		r.steps()
		r.expect("r1 live; r2 failed; ")
		if s := r.state(); s.Requested != "r2" || s.Live != "r1" || !strings.Contains(s.Release("r2").Since().Reason, name) {
			t.Errorf("%s: requested %s, serving %s: %s", name, s.Requested, s.Live, s.Release("r2").Since().Reason)
		}
	}
}

// TestAbortWhileItIsVerified: who takes a release back does not wait for its models, which stay open for as long as they are asked.
func TestAbortWhileItIsVerified(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	asked, aborted := make(chan struct{}), make(chan struct{})
	dropped := func() (n int) {
		r.layers.set(func(l *layers) { n = l.dropped })
		return n
	}
	r.layers.set(func(l *layers) {
		l.users = []freshet.Entity{{Kind: "user", Key: "u1"}, {Kind: "user", Key: "u2"}}
		l.predict = func(rel *release.Opened, _ release.Request) (freshet.Prediction, error) {
			if rel.ID() == "r2" {
				asked <- struct{}{} // once: nobody reads from it a second time
				<-aborted
				if dropped() > 0 {
					t.Error("the release was closed while it was asked")
				}
			}
			return answered(1), nil
		}
	})
	r.publish(scoreModel(3))
	r.deploy(deployment.Request{})
	stepped := make(chan error)
	go func() { stepped <- r.step(t.Context(), r.state()) }()
	<-asked
	_, err := r.Abort(t.Context(), "r2", deployment.By{Actor: "ada"})
	must(t, err)
	close(aborted)
	must(t, <-stepped)
	r.expect("r1 live; r2 aborted; ")
	if dropped() == 0 {
		t.Error("the release that was taken back is still open")
	}
}

// TestWhatWasTriedIsSaid: of new models whether there were golden rows; and however much there is to say, the release goes on.
func TestWhatWasTriedIsSaid(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(scoreModel(3))
	r.deploy(deployment.Request{})
	r.steps()
	why := func(id freshet.ReleaseID) string { s := r.state(); return s.Release(id).Since().Reason }
	if got, want := why("r2"), "score@2: it brings no golden rows: it was opened, and not tried; no users were seen lately to compare answers"; got != want {
		t.Errorf("of a new model: %q, want %q", got, want)
	}
	r.deploy(deployment.Request{Project: changedView})
	r.steps()
	if got, want := why("r3"), "no users were seen lately to compare answers"; got != want {
		t.Errorf("of a changed view: %q, want %q", got, want)
	}
	for i := range 150 {
		r.layers.set(func(l *layers) {
			l.users = append(l.users, freshet.Entity{Kind: "user", Key: freshet.Key(fmt.Sprint("u", i))})
		})
	}
	r.layers.set(func(l *layers) {
		l.predict = func(rel *release.Opened, req release.Request) (freshet.Prediction, error) {
			return answered(float64(len(req.Entity.Key))), nil
		}
	})
	many := testProject
	for i := range 200 {
		many += fmt.Sprintf("  a_pipeline_of_very_many_%d: { from: view, entity: user, model: score, inputs: { k: factor.x } }\n", i)
	}
	many = strings.Replace(many, "pipelines: { score: { from: view, entity: user, model: score, inputs: { k: factor.x } } }\n",
		"pipelines:\n  score: { from: view, entity: user, model: score, inputs: { k: factor.x } }\n", 1)
	r.deploy(deployment.Request{Project: many})
	r.steps()
	r.deploy(deployment.Request{Project: strings.Replace(many, "count()", "count(seconds > 2)", 1)})
	r.steps()
	if got := why("r5"); r.state().Live != "r5" || len(got) != maxReason+len("…") {
		t.Errorf("%d bytes are said: %s", len(got), got)
	}
}

// meanwhile are channels that lack nothing; what is to be decided while a request is looked at is decided when they are asked.
type meanwhile func()

func (f meanwhile) Check(*project.Push) error { f(); return nil }

// TestDeployDuringARollback: what a request leaves out is taken from the live release. If that is another one by the time of the decision, the request must
// not take it back without a word.
func TestDeployDuringARollback(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish(scoreModel(3))
	r.deploy(deployment.Request{})
	r.steps()
	r.Channels = meanwhile(func() {
		_, err := r.Rollback(t.Context(), deployment.By{Actor: "bob"})
		must(t, err)
	})
	_, _, err := r.Deploy(t.Context(), deployment.Request{Project: changedView}, deployment.By{Actor: "ada"})
	if freshet.CodeOf(err) != freshet.Conflict || !strings.Contains(err.Error(), "release r1 has gone live while this was made ready to follow r2") {
		t.Errorf("error %v", err)
	}
	r.expect("r1 live; r2 former; ")
	r.Channels = nil
	r.deploy(deployment.Request{Project: changedView})
	r.steps()
	r.expect("r1 former; r2 retired; r3 live; ")
}

// TestStopsAtEachDecision has the process die at each append of a deployment and a rollback, before or after it was stored, and
// expects that the next start goes on from one side of it (promise P4).
func TestStopsAtEachDecision(t *testing.T) {
	t.Parallel()
	for stop := range 4 {
		for _, before := range []bool{true, false} {
			r := newRig(t)
			r.publish(scoreModel(3))
			r.driver.mu.Lock()
			r.driver.left, r.driver.before = stop, before
			r.driver.mu.Unlock()
			by := deployment.By{Actor: "ada"}
			_, _, err := r.Deploy(t.Context(), deployment.Request{Project: changedView, Canary: 0.5}, by)
			if err == nil {
				r.steps()
				_, err = r.Rollback(t.Context(), by)
			}
			if !r.driver.isDead() || err == nil {
				t.Fatalf("stop %d: it did not die", stop)
			}
			again := openRig(t, r.dir, r.driver.Driver)
			again.steps()
			done := stop
			if !before {
				done++
			}
			switch {
			case done == 0:
				again.expect("r1 live; ")
			case done < 4:
				again.expect("r1 former; r2 live; ")
			default:
				again.expect("r1 live; r2 former; ")
			}
		}
	}
}
