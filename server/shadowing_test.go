package server_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/release"
)

// compared has all jobs run in the shadow, and keeps what it answers.
type compared struct {
	mu      sync.Mutex
	answers []string
}

func (c *compared) Observe(deployment.Outcome) {}

func (c *compared) Shadowed(freshet.JobID) bool { return true }

func (c *compared) Compare(rel freshet.ReleaseID, job *freshet.Job, served, made freshet.Prediction, err error, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.answers = append(c.answers, fmt.Sprintf("%s %s fails after %v: %v", rel, job.Entity.Key, took, err))
		return
	}
	c.answers = append(c.answers, fmt.Sprintf("%s %s says %v, served was %v by %s", rel, job.Entity.Key, made.Items[0].Score, served.Items[0].Score, served.Release))
}

// of are the answers so far.
func (c *compared) of() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.answers...)
}

// beside scores for all models but one, with which a test does what it likes.
type beside struct {
	scorer
	model *release.Model
	score func(ctx context.Context) error
}

func (b *beside) Score(ctx context.Context, m *release.Model, in, out []float64) error {
	if m == b.model && b.score != nil {
		if err := b.score(ctx); err != nil {
			return err
		}
	}
	return b.scorer.Score(ctx, m, in, out)
}

// inTheShadow runs r2, with a model of its own, beside r1 for all jobs.
func inTheShadow(t *testing.T, score func(ctx context.Context) error) (*world, *compared) {
	t.Helper()
	files := map[string]string{}
	for name, text := range shopFiles {
		files[name] = text
	}
	files["one.json"] = strings.Replace(files["one.json"], `"intercept":[0]`, `"intercept":[7]`, 1)
	w, c := newWorld(t, shopFiles), &compared{}
	r2 := openFiles(t, files, "r2")
	model, _ := r2.Model("one")
	w.Models, w.Observer = &beside{scorer: w.Models, model: model, score: score}, c
	if err := w.Live.Update(func(r release.Roles) (release.Roles, error) { r.Shadow = r2; return r, nil }); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return w, c
}

// TestAShadowIsComparedAndNeverServed (promise P3): what it says of a job stands beside what was served, whether it answers, fails or panics.
func TestAShadowIsComparedAndNeverServed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		score func(context.Context) error
		want  string
	}{
		"answers": {nil, "r2 u1 says 3007, served was 3000 by r1"},
		"fails":   {func(context.Context) error { return freshet.Errorf(freshet.Unavailable, "the model is away") }, "r2 u1 fails after 0s: the model is away"},
		"panics":  {func(context.Context) error { panic("out of luck") }, "r2 u1 fails after 0s: panic: out of luck"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, said := inTheShadow(t, c.score)
				defer w.stop()
				w.send("ping", "u1", "", "")
				if p := w.get("u1", "risk"); p.Release != "r1" || p.Outputs["risk"] != 3000 {
					t.Errorf("served is %+v", p)
				}
				if got := said.of(); len(got) != 1 || got[0] != c.want {
					t.Errorf("compared is %q; want %q", got, c.want)
				}
				if n := w.Jobs.Stats(); n.Queued+n.Leased+n.Dead > 0 {
					t.Errorf("jobs are left: %+v", n)
				}
			})
		})
	}
}

// TestASlowShadowHoldsUpNobody: jobs end at once although the shadow takes a second for each, and those that it has no time for are not compared.
func TestASlowShadowHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, said := inTheShadow(t, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		defer w.stop()
		const jobs, answered = 100, 65 // one at work, and the line
		begin := time.Now()
		for i := range jobs {
			user := fmt.Sprint("u", i)
			w.send("ping", user, "", "")
			if p := w.get(freshet.Key(user), "risk"); p.Release != "r1" {
				t.Errorf("%s is served %+v", user, p)
			}
		}
		if waited := time.Since(begin); waited > 0 {
			t.Errorf("jobs have waited %v", waited)
		}
		time.Sleep(jobs * time.Second)
		got := said.of()
		if len(got) != answered || !strings.HasPrefix(got[0], "r2 u0 fails after 1s: ") {
			t.Errorf("%d were compared, the first: %q; want %d", len(got), got[:min(1, len(got))], answered)
		}
	})
}
