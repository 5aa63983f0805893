package publishing

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
)

// kept counts what a shadow answered.
type kept struct {
	mu    sync.Mutex
	lines int
	last  freshet.Prediction
}

func (k *kept) Keep(_ freshet.ReleaseID, _ *freshet.Job, _, made freshet.Prediction, _ error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines++
	k.last = made
}

func TestShadow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	k := &kept{}
	r.Shadows = k
	r.publish(scoreModel(3))
	r.deploy(deployment.Request{Shadow: 0.5, Canary: 0.1, Bake: time.Hour})
	r.steps()
	r.expect("r1 live; r2 shadow; ")
	roles := r.Live.Set().Roles()
	if roles.Shadow == nil || roles.Shadow.ID() != "r2" || r.Live.Set().For("u1").ID() != "r1" {
		t.Errorf("the roles are %+v", roles)
	}
	n := 0
	for i := range 1000 {
		job := freshet.Job{ID: freshet.JobID(fmt.Sprint("score-1-", i)), Pipeline: "score", Entity: freshet.Entity{Kind: "user", Key: freshet.Key(fmt.Sprint("u", i))}}
		if !r.Shadowed(job.ID) {
			continue
		}
		n++
		served, made := answered(float64(i)), answered(float64(i))
		served.Release = "r1"
		if n%4 == 0 {
			made.Items[0].ID = "another"
		}
		r.Compare("r2", &job, served, made, nil, time.Millisecond)
	}
	r.Compare("r1", &freshet.Job{}, answered(1), answered(1), nil, 0) // not the shadow
	if n < 400 || n > 600 || k.lines != n {
		t.Errorf("%d of 1000 jobs were run beside, %d kept; want a half", n, k.lines)
	}
	r.steps()
	if p, _ := r.Progress("r2"); p.Step != "shadow" || !strings.Contains(p.Detail, "the best item is the same in 75") || !strings.Contains(p.Detail, "PSI") {
		t.Errorf("progress %+v", p)
	}
	by := deployment.By{Actor: "ada"}
	_, err := r.Promote(t.Context(), "r2", by)
	must(t, err)
	r.expect("r1 live; r2 canary; ")
	if r.Shadowed("score-1-1") || r.Live.Set().Roles().Shadow != nil {
		t.Error("a canary is a shadow still")
	}
	_, err = r.Promote(t.Context(), "r2", by)
	must(t, err)
	r.expect("r1 former; r2 live; ")
}
