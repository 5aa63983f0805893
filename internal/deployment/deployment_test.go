package deployment

import (
	"fmt"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/registry"
)

// apply decides one step, written as "deploy", "live r1", ….
func apply(t *testing.T, r Releases, revision int, text string) (Releases, error) {
	t.Helper()
	what, id, _ := strings.Cut(text, " ")
	var body any = Change{Release: freshet.ReleaseID(id), Share: 0.1}
	if what == "deploy" {
		body = Order{Release: freshet.Release{ID: r.Next()}}
	}
	d, err := registry.NewDraft("release."+what, "ada", "", body)
	if err != nil {
		t.Fatal(err)
	}
	return Apply(r, registry.Entry{Revision: registry.Revision(revision), At: freshet.Timestamp(revision), Draft: d})
}

// TestFold goes through histories of decisions; a step with ! must be refused and change nothing.
func TestFold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ steps, want string }{
		{"deploy; live r1", "r1=live requested r1 live r1 former  candidate "},
		{"deploy; !deploy", "r1=preparing requested r1 live  former  candidate r1"},
		{"!live r1; !rollback r1; !retired r1; !aborted r7", " requested  live  former  candidate "},
		{"deploy; live r1; deploy; canary r2; !rollback r1; live r2", "r1=former r2=live requested r2 live r2 former r1 candidate "},
		{"deploy; live r1; deploy; live r2; rollback r1; !rollback r1; rollback r2; rollback r1", "r1=live r2=former requested r1 live r1 former r2 candidate "},
		{"deploy; live r1; deploy; canary r2; failed r2", "r1=live r2=failed requested r2 live r1 former  candidate "},
		{"deploy; live r1; deploy; shadow r2; canary r2; aborted r2; !live r2", "r1=live r2=aborted requested r1 live r1 former  candidate "},
		{"deploy; live r1; deploy; live r2; retired r1; !rollback r1; !retired r2", "r1=retired r2=live requested r2 live r2 former  candidate "},
		{"deploy; live r1; deploy; live r2; deploy; live r3", "r1=retired r2=former r3=live requested r3 live r3 former r2 candidate "},
	} {
		var r Releases
		for i, step := range strings.Split(tt.steps, "; ") {
			step, refused := strings.CutPrefix(step, "!")
			next, err := apply(t, r, i+1, step)
			if (err != nil) != refused {
				t.Errorf("%s: %s: %v", tt.steps, step, err)
			}
			if before, after := show(r), show(next); refused && before != after {
				t.Errorf("%s: %s changed %s to %s", tt.steps, step, before, after)
			}
			r = next
		}
		if got := show(r); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.steps, got, tt.want)
		}
	}
}

func show(r Releases) string {
	var texts []string
	for _, x := range r.All {
		texts = append(texts, fmt.Sprintf("%s=%s", x.ID(), x.State))
	}
	return fmt.Sprintf("%s requested %s live %s former %s candidate %s", strings.Join(texts, " "), r.Requested, r.Live, r.Former, r.Candidate)
}

// TestWithdrawn expects that exactly those are withdrawn which somebody was served by and that were taken back.
func TestWithdrawn(t *testing.T) {
	t.Parallel()
	for steps, want := range map[string]string{
		"deploy; live r1; deploy; failed r2":                                                  "map[]",
		"deploy; live r1; deploy; shadow r2; aborted r2":                                      "map[]",
		"deploy; live r1; deploy; canary r2; failed r2":                                       "map[r2:true]",
		"deploy; live r1; deploy; canary r2; aborted r2; deploy; live r3":                     "map[r2:true]",
		"deploy; live r1; deploy; live r2; rollback r1":                                       "map[r2:true]",
		"deploy; live r1; deploy; live r2; rollback r1; rollback r2":                          "map[r1:true]",
		"deploy; live r1; deploy; live r2; rollback r1; deploy; live r3":                      "map[r2:true]",
		"deploy; live r1; deploy; live r2; deploy; live r3":                                   "map[]",
		"deploy; live r1; deploy; live r2; rollback r1; rollback r2; rollback r1; retired r2": "map[r2:true]",
	} {
		var r Releases
		for i, step := range strings.Split(steps, "; ") {
			next, err := apply(t, r, i+1, step)
			if err != nil {
				t.Fatal(err)
			}
			r = next
		}
		if got := fmt.Sprint(r.Withdrawn()); got != want {
			t.Errorf("%s: %s are withdrawn; want %s", steps, got, want)
		}
	}
}

// TestFoldLeavesStates expects that a state that somebody holds does not change with those that follow.
func TestFoldLeavesStates(t *testing.T) {
	t.Parallel()
	var r Releases
	var held []Releases
	var shown []string
	for i, step := range []string{"deploy", "live r1", "deploy", "canary r2", "live r2", "rollback r1"} {
		next, err := apply(t, r, i+1, step)
		if err != nil {
			t.Fatal(err)
		}
		r = next
		held, shown = append(held, r), append(shown, show(r))
	}
	for i := range held {
		if got := show(held[i]); got != shown[i] {
			t.Errorf("state %d was %s and is %s", i, shown[i], got)
		}
	}
	if got := len(r.Release("r1").History); got != 4 {
		t.Errorf("r1 has %d steps; want deploy, live, former, live", got)
	}
	for _, id := range []freshet.ReleaseID{"", "r", "r0", "r01", "r-1", "r3", "x1"} {
		if r.Release(id) != nil {
			t.Errorf("there is a release %q", id)
		}
	}
}
