package publishing

import (
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/registry"
)

// TestCollect removes what nothing needs and nothing else: every release that may still serve opens afterwards.
func TestCollect(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 4 {
		r.publish(scoreModel(3 + i))
		r.deploy(deployment.Request{Tables: map[freshet.TableName]freshet.Digest{"factor": r.put("user_id,x\nu1," + string('1'+rune(i)) + "\n")}})
		r.steps()
	}
	r.put("nobody names it")
	r.publish(scoreModel(99)) // the newest version, in no release
	r.expect("r1 retired; r2 retired; r3 retired; r4 former; r5 live; ")

	g, err := r.Collect(t.Context(), 0, false)
	must(t, err)
	if len(g.Remove) != 0 {
		t.Errorf("what has just come in is waste: %+v", g.Remove)
	}
	r.at(time.Now().Add(25 * time.Hour))
	for keep, want := range map[int]int{0: 7, 3: 5, 5: 1} {
		g, err := r.Collect(t.Context(), keep, false)
		must(t, err)
		if len(g.Remove) != want || g.Removed {
			t.Errorf("keep %d: %d are waste, want %d: %+v", keep, len(g.Remove), want, g.Remove)
		}
	}
	g, err = r.Collect(t.Context(), 0, true)
	must(t, err)
	what := ""
	for _, w := range g.Remove {
		what += w.What + "; "
	}
	for _, word := range []string{"model score@1; ", "model score@3; ", "table factor of r1; ", "nothing names it; "} {
		if !strings.Contains(what, word) {
			t.Errorf("%q is not among what was removed: %s", word, what)
		}
	}
	if all, err := r.Registry.List(t.Context()); err != nil || len(all) != g.Kept {
		t.Errorf("%d artifacts are left, %d were to be kept, %v", len(all), g.Kept, err)
	}
	again := openRig(t, t.TempDir(), r.driver.Driver)
	again.expect("r1 retired; r2 retired; r3 retired; r4 former; r5 live; ")
	if _, err := again.Rollback(t.Context(), deployment.By{Actor: "ada"}); err != nil {
		t.Error(err)
	}
	if plan, err := again.Plan(t.Context(), deployment.Request{Release: "r1"}); err != nil || len(plan.Problems) == 0 {
		t.Errorf("a release whose artifacts are gone: %+v, %v", plan, err)
	}
	gone := deployment.Request{Models: map[freshet.ModelName]string{"score": "3"}}
	plan, err := again.Plan(t.Context(), gone)
	if err != nil || len(plan.Problems) != 1 || !strings.Contains(plan.Problems[0].Detail, "publish it again") {
		t.Errorf("a version whose artifact is gone: %+v, %v", plan, err)
	}
	again.publish(scoreModel(4)) // score@3 as it was
	again.deploy(gone)
	again.steps()
	again.expect("r1 retired; r2 retired; r3 retired; r4 former; r5 retired; r6 live; ") // r4 was rolled back to
	must(t, again.Registry.Delete(t.Context(), registry.DigestOf([]byte("there is none"))))
}
