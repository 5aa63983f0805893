package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
)

// TestShadowsForget: who is erased is in no file, others stay, and the file goes on.
func TestShadowsForget(t *testing.T) {
	t.Parallel()
	s := &shadows{folder: t.TempDir(), logger: slog.New(slog.DiscardHandler)}
	keep := func(rel freshet.ReleaseID, kind freshet.EntityKind, key freshet.Key) {
		s.Keep(rel, &freshet.Job{ID: "j", Pipeline: "today", Entity: freshet.Entity{Kind: kind, Key: key}}, freshet.Prediction{}, freshet.Prediction{}, nil)
	}
	for _, rel := range []freshet.ReleaseID{"r2", "r3"} {
		keep(rel, "user", "u1")
		keep(rel, "user", "u2")
		keep(rel, "content", "u1")
	}
	for range 2 { // again does nothing
		if err := s.Forget(t.Context(), freshet.Entity{Kind: "user", Key: "u1"}); err != nil {
			t.Fatal(err)
		}
	}
	keep("r3", "user", "u3")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for rel, want := range map[string]int{"r2": 2, "r3": 3} {
		b, err := os.ReadFile(filepath.Join(s.folder, rel+".ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if strings.Count(text, "\n") != want || strings.Contains(text, `"kind":"user","entity":"u1"`) || !strings.Contains(text, `"kind":"content","entity":"u1"`) {
			t.Errorf("%s: expected %d lines, none of user u1:\n%s", rel, want, text)
		}
	}
}
