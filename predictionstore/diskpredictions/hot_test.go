package diskpredictions

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/alloctest"
	"github.com/freshet-ml/freshet/internal/disk"
)

func TestHotKeepsItsBound(t *testing.T) {
	t.Parallel()
	const most = 10_000
	var h hot
	for i := range 1000 {
		h.put(fmt.Append(nil, "user-", i%300), hotPrediction{body: string(make([]byte, i%100))}, most)
		sum := int64(0)
		for key, p := range h.kept {
			sum += p.size(key)
		}
		if h.bytes != sum || h.bytes > most {
			t.Fatalf("after %d: %d bytes counted, %d there, expected at most %d", i+1, h.bytes, sum, most)
		}
		if _, found, _ := h.get(fmt.Append(nil, "user-", i%300)); !found {
			t.Fatalf("%d was dropped for itself", i)
		}
	}
	h.put([]byte("user-1"), hotPrediction{body: string(make([]byte, most))}, most)
	if _, found, _ := h.get([]byte("user-1")); found || h.bytes > most {
		t.Errorf("one that is too large is kept, %d bytes", h.bytes)
	}
}

// TestHotNeverRemembersThePast: a reader that was overtaken by a write has seen what is no more.
func TestHotNeverRemembersThePast(t *testing.T) {
	t.Parallel()
	key, old, young := []byte("user-1"), hotPrediction{body: "old"}, hotPrediction{body: "young"}
	const most = 10_000
	for name, change := range map[string]func(h *hot){
		"put":    func(h *hot) { h.put(key, young, most) },
		"remove": func(h *hot) { h.remove(key) },
		"dropped since": func(h *hot) {
			h.put(key, young, most)
			h.drop(string(key))
		},
	} {
		var h hot
		_, _, mark := h.get(key)
		change(&h)
		h.remember(key, old, mark, most)
		if p, found, _ := h.get(key); found && p == old {
			t.Errorf("%s: the old one is back", name)
		}
	}
	var h hot
	_, _, mark := h.get(key)
	h.remember(key, old, mark, most)
	if p, found, _ := h.get(key); !found || p != old {
		t.Error("what was read is not remembered")
	}
}

func TestAHotPredictionIsReadWithoutTheDisk(t *testing.T) {
	db, err := disk.Open("data", &disk.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := New(db, nil)
	defer s.Close()
	p := freshet.Prediction{
		Pipeline: "today", Entity: freshet.Entity{Kind: "user", Key: "u1"}, Release: "r1", Model: "m@1",
		Items: []freshet.Item{{ID: "a", Score: 1}, {ID: "b", Score: 0.5}}, CreatedAt: 1,
	}
	if _, err := s.Put(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	// The list of its items; its texts are those in memory. Pebble alone allocates more.
	if n := alloctest.PerRun(100, func() { _, _ = s.Get(t.Context(), p.Entity, p.Pipeline) }); n > 1 {
		t.Errorf("%v allocations, expected 1", n)
	}
	if err := s.Delete(t.Context(), p.Entity); err != nil || s.HotBytes() != 0 {
		t.Errorf("%d bytes are left of who was deleted, %v", s.HotBytes(), err)
	}
}
