package releases_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
)

// bad is a release that is good until people use it.
type bad struct {
	guard   string   // that takes it back
	deploy  []string // flags
	formula func(age int) float64
	prepare func(t *testing.T, a *app) (spoil func())
}

var badReleases = map[string]bad{
	// None accepts what it is bad at. What else might move on a machine that is busy with other things is accepted.
	"slow": {
		guard: "latency", deploy: []string{"--accept", "scores"}, formula: func(age int) float64 { return 2*float64(age) + 1 },
		prepare: func(t *testing.T, a *app) func() {
			r := newRemote(t)
			a.publish(t, r.model(), nil)
			return func() {
				r.becomes(func(ages []float64) ([]float64, int) {
					<-time.After(600 * time.Millisecond) // it is slow
					return plusOne(ages), http.StatusOK
				})
			}
		},
	},
	"failing": {
		guard: "errors", formula: func(age int) float64 { return 2*float64(age) + 1 },
		prepare: func(t *testing.T, a *app) func() {
			r := newRemote(t)
			a.publish(t, r.model(), nil)
			return func() {
				r.becomes(func([]float64) ([]float64, int) { return nil, http.StatusInternalServerError })
			}
		},
	},
	"constant": {
		guard: "constant", deploy: []string{"--accept", "latency"}, formula: func(int) float64 { return 0 },
		prepare: func(t *testing.T, a *app) func() {
			a.publish(t, linear(0), nil)
			return func() {}
		},
	},
	"without a feature": {
		guard: "missing", deploy: []string{"--accept", "latency"}, formula: func(age int) float64 {
			if age < people/10 {
				return twice(age)
			}
			return 7
		},
		prepare: func(t *testing.T, a *app) func() {
			write(t, filepath.Join(a.project, "profile.csv"), profiles(people/10)) // the export broke off
			return func() {}
		},
	},
}

// TestBadReleasesAreTakenBack: nobody was seen before them, so that only people find out; the guardrails take them back within the bake.
func TestBadReleasesAreTakenBack(t *testing.T) {
	t.Parallel()
	for name, b := range badReleases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			spoil := b.prepare(t, a)
			type ended struct {
				out  string
				code int
			}
			deployed := make(chan ended, 1)
			go func() {
				out, code := a.freshet(t, append([]string{"deploy", "--project", a.project, "--canary", "50%", "--bake", "1h", "--reason", "retrained"}, b.deploy...)...)
				deployed <- ended{out, code}
			}()
			a.reaches(t, "r2", "canary")
			spoil()
			serving, failed := map[freshet.ReleaseID]int{}, 0
			for a.release(t, "r2").State == "canary" && t.Context().Err() == nil {
				a.plays(t)
				asked := a.everybody(t, time.Minute, map[freshet.ReleaseID]func(int) float64{"r1": twice, "r2": b.formula})
				for id, n := range asked.by {
					serving[id] += n
				}
				failed += asked.failed
			}
			t.Logf("people were answered by %v", serving)
			if failed > 0 {
				t.Errorf("%d got no answer, which the live release has", failed)
			}
			said := <-deployed
			if said.code != 1 || !strings.Contains(said.out, "requested r2, serving r1") || !strings.Contains(said.out, "guardrail "+b.guard+": ") {
				t.Errorf("freshet deploy: exit code %d\n%s", said.code, said.out)
			}
			rel := a.release(t, "r2")
			if last := rel.Last(); rel.State != "failed" || last.Actor != "freshet serve" || !strings.HasPrefix(last.Reason, "guardrail "+b.guard+": ") {
				t.Errorf("r2 is %s by %s: %s", rel.State, last.Actor, last.Reason)
			}
			a.onlyFirst(t, "r2")
			if letters, code := a.freshet(t, "dead-letters"); code != 0 || !strings.Contains(letters, "none") {
				t.Errorf("jobs were lost (exit code %d):\n%s", code, letters)
			}
			t.Log(rel.Last().Reason)
			a.Kill(t)
		})
	}
}

// TestPeopleGoAway: a model that never answers in time makes no failures that anybody could count, for whoever asked has gone. That they
// waited in vain counts.
func TestPeopleGoAway(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	r := newRemote(t)
	a.publish(t, r.model(), nil)
	if out, code := a.freshet(t, "deploy", "--project", a.project, "--canary", "50%", "--bake", "1h", "--no-wait"); code != 0 || !strings.HasSuffix(out, "requested r2, serving r1\n") {
		t.Fatalf("freshet deploy: exit code %d\n%s", code, out)
	}
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	r.becomes(func(ages []float64) ([]float64, int) {
		<-over
		return plusOne(ages), http.StatusOK
	})
	for a.release(t, "r2").State == "canary" {
		a.everybody(t, time.Second, map[freshet.ReleaseID]func(int) float64{"r1": twice})
	}
	if rel := a.release(t, "r2"); rel.State != "failed" || !strings.HasPrefix(rel.Last().Reason, "guardrail latency: ") {
		t.Errorf("r2 is %s: %s", rel.State, rel.Last().Reason)
	}
	a.onlyFirst(t, "r2")
	a.Kill(t)
}

// TestUsersSeenLatelyFindOut: once there are users, a bad release meets none of them.
func TestUsersSeenLatelyFindOut(t *testing.T) {
	t.Parallel()
	for name, b := range badReleases {
		if name == "slow" { // that is not judged on them
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			a.plays(t)
			b.prepare(t, a)()
			out, code := a.freshet(t, append([]string{"deploy", "--project", a.project}, b.deploy...)...)
			if code != 1 || !strings.Contains(out, "users that were seen lately, answered by r1 and by r2: ") || !strings.Contains(out, "requested r2, serving r1") {
				t.Errorf("freshet deploy: exit code %d\n%s", code, out)
			}
			if rel := a.release(t, "r2"); len(rel.History) != 2 || rel.State != "failed" {
				t.Errorf("r2 was more than prepared: %+v", rel.History)
			}
			a.onlyFirst(t, "r2")
			a.Kill(t)
		})
	}
}

// TestGoldenRowsThatDiffer: a model that runs elsewhere was changed behind its version since it was published. It meets nobody.
func TestGoldenRowsThatDiffer(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.plays(t)
	r := newRemote(t)
	a.publish(t, r.model(), map[string]string{"golden.json": `{"columns":["age"],"inputs":[[1],[30]],"outputs":[3,61]}`})
	r.becomes(func(ages []float64) ([]float64, int) {
		scores := plusOne(ages)
		for i := range scores {
			scores[i] += 0.01 // no guardrail would see it
		}
		return scores, http.StatusOK
	})
	out, code := a.freshet(t, "deploy", "--project", a.project, "--canary", "0")
	if code != 1 || !strings.Contains(out, "golden.json: row 0: the model answers 3.01 where 3 is expected") || !strings.Contains(out, "requested r2, serving r1") {
		t.Errorf("freshet deploy: exit code %d\n%s", code, out)
	}
	if rel := a.release(t, "r2"); len(rel.History) != 2 || rel.State != "failed" {
		t.Errorf("r2 was more than prepared: %+v", rel.History)
	}
	a.onlyFirst(t, "r2")
	a.Kill(t)
}
