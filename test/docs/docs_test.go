// Package docs_test types what the documents tell a reader to type, with the real binary, and compares what it prints
// with what they show.
//
// All console blocks of a document are one session. A block that needs what a test does not have says no-test behind
// the word console; the test's log names it.
package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

func TestDocuments(t *testing.T) {
	t.Parallel()
	binary := built(t)
	for _, pattern := range []string{"README.md", "docs/guide/*.md", "examples/*/README.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: no documents (%v)", pattern, err)
		}
		for _, path := range paths {
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				typeAll(t, name, newSession(t, binary))
			})
		}
	}
}

func typeAll(t *testing.T, name string, s *session) {
	for _, b := range document(t, name) {
		switch info := strings.Fields(b.info + " -"); {
		case info[0] != "console":
			continue
		case info[1] == "no-test":
			t.Logf("%s:%d: not run: %s", name, b.line, b.text[0])
			continue
		}
		for _, c := range b.commands() {
			if err := s.do(c); err != nil {
				t.Fatalf("%s:%d: %s\n%v", name, c.line, c.text, err)
			}
		}
	}
}

// The README's two plain blocks: the demo, which is run for a moment, and the test, which would run this test again.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, b := range document(t, "README.md") {
		if b.info == "sh" {
			lines = append(lines, strings.Join(b.text, "\n"))
		}
	}
	const demo, test = "CGO_ENABLED=0 go run ./cmd/freshet demo", "sh scripts/test.sh"
	if len(lines) != 2 || lines[0] != demo || lines[1] != test {
		t.Fatalf("the README's sh blocks are %q, expected %q and %q", lines, demo, test)
	}
	s := newSession(t, built(t))
	if err := s.do(command{text: "freshet demo --duration 3s --plain"}); err != nil {
		t.Fatal(err)
	}
}

func document(t *testing.T, name string) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return blocks(string(text))
}

// built is the path of the real binary.
func built(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("types the commands of the documents: not with -short")
	}
	for _, needed := range []string{"sh", "curl", "awk", "gunzip"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skipf("the documents use %s, which is not here", needed)
		}
	}
	return binary.Path(t)
}
