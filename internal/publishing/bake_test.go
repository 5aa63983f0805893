package publishing

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/release"
)

// baking is a rig with r2 as a canary.
func baking(t *testing.T, accept ...deployment.Guard) *rig {
	t.Helper()
	r := newRig(t)
	r.publish(scoreModel(3))
	r.deploy(deployment.Request{Canary: 0.25, Bake: time.Hour, Accept: accept})
	r.steps()
	r.expect("r1 live; r2 canary; ")
	return r
}

// traffic has both releases answer n times; spoil changes what r2 does.
func (r *rig) traffic(n int, spoil func(*deployment.Outcome)) {
	for i := range n {
		for _, id := range []freshet.ReleaseID{"r1", "r2"} {
			o := deployment.Outcome{
				Release: id, Pipeline: "score", Key: freshet.Key(fmt.Sprint("u", i%200)), Took: time.Millisecond,
				Names: []string{"k"}, Inputs: []float64{1}, Score: float64(i % 97),
			}
			if id == "r2" {
				spoil(&o)
			}
			r.Observe(o)
		}
	}
}

func TestCanaryServesItsShare(t *testing.T) {
	t.Parallel()
	r := baking(t)
	served := 0
	for i := range 2000 {
		if r.Live.Set().For(freshet.Key(fmt.Sprint("u", i))).ID() == "r2" {
			served++
		}
	}
	if served < 400 || served > 600 {
		t.Errorf("the canary serves %d of 2000 users; want a quarter", served)
	}
	r.traffic(1000, func(*deployment.Outcome) {})
	r.steps()
	r.expect("r1 live; r2 canary; ")
	if p, ok := r.Progress("r2"); !ok || p.Step != "bake" || p.Left < 3590 || !strings.Contains(p.Detail, "of 1000") {
		t.Errorf("progress %+v, %v", p, ok)
	}
	r.at(time.Now().Add(2 * time.Hour))
	r.steps() // the former one has not been that for so long
	s := r.state()
	if s.Live != "r2" || !strings.Contains(s.Release("r2").Since().Reason, "the bake of 1h0m0s has ended: failed or fallback 0.0 % of 1000") {
		t.Errorf("after the bake %s serves: %+v", s.Live, s.Release("r2").Since())
	}
}

// TestGuardrailsTakeBack has bad releases come to nobody's notice: they are taken back within the bake, and it shows.
func TestGuardrailsTakeBack(t *testing.T) {
	t.Parallel()
	for guard, spoil := range map[deployment.Guard]func(*deployment.Outcome){
		deployment.Errors:   func(o *deployment.Outcome) { o.Failed = true },
		deployment.Latency:  func(o *deployment.Outcome) { o.Took = time.Second },
		deployment.Missing:  func(o *deployment.Outcome) { o.Inputs = []float64{math.NaN()} },
		deployment.Constant: func(o *deployment.Outcome) { o.Score = 1 },
		deployment.Scores:   func(o *deployment.Outcome) { o.Score *= 2 },
	} {
		r := baking(t)
		r.traffic(1000, spoil)
		r.steps()
		r.expect("r1 live; r2 failed; ")
		s := r.state()
		if why := s.Release("r2").Since().Reason; s.Requested != "r2" || s.Live != "r1" || !strings.HasPrefix(why, "guardrail "+string(guard)+": ") {
			t.Errorf("%s: requested %s, serving %s: %s", guard, s.Requested, s.Live, why)
		}
		accepting := baking(t, guard)
		accepting.traffic(1000, spoil)
		accepting.steps()
		if guard != deployment.Constant { // it is a shift of the scores as well
			accepting.expect("r1 live; r2 canary; ")
		}
	}
}

func TestPromoteAndAbort(t *testing.T) {
	t.Parallel()
	by := deployment.By{Actor: "ada", Reason: "seen enough"}
	r := baking(t)
	_, err := r.Promote(t.Context(), "r2", by)
	must(t, err)
	r.expect("r1 former; r2 live; ")
	r = baking(t)
	if _, err := r.Rollback(t.Context(), by); freshet.CodeOf(err) != freshet.Conflict {
		t.Errorf("rollback during a canary: %v", err)
	}
	_, err = r.Abort(t.Context(), "r2", by)
	must(t, err)
	r.expect("r1 live; r2 aborted; ")
	if s := r.state(); s.Requested != "r1" {
		t.Errorf("requested is %s after an abort", s.Requested)
	}
	for _, id := range []freshet.ReleaseID{"r1", "r2", "r3"} {
		if _, err := r.Abort(t.Context(), id, by); err == nil {
			t.Errorf("aborted %s", id)
		}
	}
}

// TestACanaryOutlivesARestart: its users stay with it, and its bake begins anew, whichever release the start opens first.
func TestACanaryOutlivesARestart(t *testing.T) {
	t.Parallel()
	for range 8 { // the order is that of a map
		r := baking(t)
		key := freshet.Key("u1")
		for i := 0; r.Live.Set().For(key).ID() != "r2"; i++ {
			key = freshet.Key(fmt.Sprint("u", i))
		}
		again := openRig(t, r.dir, r.driver.Driver)
		again.expect("r1 live; r2 canary; ")
		if id := again.Live.Set().For(key).ID(); id != "r2" {
			t.Errorf("%s is served by %s after the restart", key, id)
		}
		again.traffic(1000, func(o *deployment.Outcome) { o.Failed = true })
		again.steps()
		again.expect("r1 live; r2 failed; ")
	}
}

// TestVerifyOnUsersSeenLately: what would break for people who were there a moment ago breaks for nobody.
func TestVerifyOnUsersSeenLately(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer func(req release.Request) (freshet.Prediction, error)
		want   string
	}{
		"fails": {func(release.Request) (freshet.Prediction, error) {
			return freshet.Prediction{}, freshet.Errorf(freshet.Internal, "no")
		}, "failed or fallback 100.0 %"},
		"is constant": {func(release.Request) (freshet.Prediction, error) { return answered(7), nil }, "the score is the same for everybody"},
		"is shifted":  {func(req release.Request) (freshet.Prediction, error) { return answered(1000 + scoreOf(req)), nil }, "PSI of the scores"},
		"is good":     {func(req release.Request) (freshet.Prediction, error) { return answered(scoreOf(req)), nil }, ""},
	} {
		r := newRig(t)
		r.layers.set(func(l *layers) {
			for i := range 120 {
				l.users = append(l.users, freshet.Entity{Kind: "user", Key: freshet.Key(fmt.Sprint("u", i))})
			}
			l.predict = func(rel *release.Opened, req release.Request) (freshet.Prediction, error) {
				if rel.ID() == "r2" {
					return tt.answer(req)
				}
				return answered(scoreOf(req)), nil
			}
		})
		r.publish(scoreModel(3))
		r.deploy(deployment.Request{})
		r.steps()
		why := r.state().Release("r2").Since().Reason
		if tt.want == "" {
			r.expect("r1 former; r2 live; ")
			if !strings.Contains(why, "120 users that were seen lately") {
				t.Errorf("%s: %s", name, why)
			}
			continue
		}
		r.expect("r1 live; r2 failed; ")
		if !strings.Contains(why, tt.want) {
			t.Errorf("%s: %s", name, why)
		}
	}
}

func answered(score float64) freshet.Prediction {
	return freshet.Prediction{Items: []freshet.Item{{ID: "x", Score: score}}}
}

// scoreOf is a score of its own for each user.
func scoreOf(req release.Request) float64 {
	return float64(len(req.Entity.Key)*100 + int(req.Entity.Key[len(req.Entity.Key)-1]))
}
