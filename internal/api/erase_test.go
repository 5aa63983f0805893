package api

import (
	"context"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/erase"
)

// fakeEraser knows one request.
type fakeEraser struct{ asked []freshet.Entity }

func (f *fakeEraser) Begin(_ context.Context, e freshet.Entity) (erase.Request, error) {
	f.asked = append(f.asked, e)
	return erase.Request{ID: "er-1", Kind: e.Kind, Key: e.Key, State: erase.Running, At: now, Forgotten: true, Events: 3}, nil
}

func (f *fakeEraser) Get(id string) (erase.Request, bool) {
	return erase.Request{ID: id, Kind: "user", State: erase.Done, At: now, EndedAt: now + 1, Forgotten: true}, id == "er-1"
}

func TestErase(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	if a := r.send("DELETE", "/v1/users/u1", ""); a.problem(t).Code != freshet.Unsupported {
		t.Errorf("without one who can: %s", a.body)
	}
	f := &fakeEraser{}
	r.api.deps.Eraser = f
	for _, target := range []string{"/v1/users/secret-user", "/v1/entities/seat/h,7"} {
		a := r.send("DELETE", target, "")
		if a.status != 202 || !strings.Contains(string(a.body), `"state":"running"`) || !strings.Contains(string(a.body), `"served":true`) || strings.Contains(string(a.body), "secret") {
			t.Errorf("%s: %d %s", target, a.status, a.body)
		}
	}
	if len(f.asked) != 2 || f.asked[0] != (freshet.Entity{Kind: "user", Key: "secret-user"}) || f.asked[1] != (freshet.Entity{Kind: "seat", Key: "h,7"}) {
		t.Errorf("asked to forget %v", f.asked)
	}
	if a := r.get("/v1/erases/er-1"); a.status != 200 || !strings.Contains(string(a.body), `"state":"done"`) {
		t.Errorf("%s", a.body)
	}
	if a := r.get("/v1/erases/er-2"); a.problem(t).Code != freshet.NotFound {
		t.Errorf("%s", a.body)
	}
	if a := r.send("DELETE", "/v1/entities/nothing/u1", ""); a.problem(t).Code != freshet.NotFound {
		t.Errorf("no such kind: %s", a.body)
	}
}
