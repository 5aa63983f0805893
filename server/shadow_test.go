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
	s := &shadows{folder: t.TempDir(), erased: func(j *freshet.Job) bool { return j.Entity.Key == "u9" }, logger: slog.New(slog.DiscardHandler)}
	keep := func(rel freshet.ReleaseID, kind freshet.EntityKind, key freshet.Key) {
		s.Keep(rel, &freshet.Job{ID: "j", Pipeline: "today", Entity: freshet.Entity{Kind: kind, Key: key}}, freshet.Prediction{}, freshet.Prediction{}, nil)
	}
	for _, rel := range []freshet.ReleaseID{"r2", "r3"} {
		keep(rel, "user", "u1")
		keep(rel, "user", "u2")
		keep(rel, "content", "u1")
	}
	of := func(key freshet.Key) int {
		t.Helper()
		n, err := shadowed(s.folder, func(line *shadowLine, _ []byte) bool { return line.Kind == "user" && line.Entity == key })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	left := filepath.Join(s.folder, "r3.ndjson"+nextFile)
	if err := os.WriteFile(left, []byte(`{"kind":"user","entity":"u1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := of("u1"); n != 3 {
		t.Errorf("%d lines of u1 before, want 3 with that of a file that a crash has left", n)
	}
	for range 2 { // again does nothing
		if err := s.Forget(t.Context(), freshet.Entity{Kind: "user", Key: "u1"}); err != nil {
			t.Fatal(err)
		}
	}
	keep("r3", "user", "u3")
	keep("r3", "user", "u9") // erased while a shadow had its job
	if of("u1") != 0 || of("u2") != 2 || of("u3") != 1 || of("u9") != 0 {
		t.Errorf("of u1 %d, u2 %d, u3 %d, u9 %d", of("u1"), of("u2"), of("u3"), of("u9"))
	}
	if n, err := shadowed(filepath.Join(s.folder, "none"), nil); n != 0 || err != nil {
		t.Errorf("no folder: %d, %v", n, err)
	}
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
