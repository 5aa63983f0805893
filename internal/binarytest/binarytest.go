// Package binarytest builds the real binary for tests that start it. It is imported by tests only.
package binarytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Builder builds the binary once for the tests of a package. The zero Builder is ready to use.
type Builder struct {
	dir  string
	once sync.Once
	path string
	err  error
}

// Main runs the tests and removes what was built: the TestMain of a package that has a Builder.
func (b *Builder) Main(m *testing.M) {
	var err error
	if b.dir, err = os.MkdirTemp("", "freshet-binary-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(b.dir)
	os.Exit(code)
}

// Path is the path of the binary, static and without cgo, built by the first test that needs it.
func (b *Builder) Path(t *testing.T) string {
	t.Helper()
	b.once.Do(b.build)
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}

func (b *Builder) build() {
	b.path = filepath.Join(b.dir, "freshet")
	cmd := exec.Command("go", "build", "-o", b.path, "github.com/freshet-ml/freshet/cmd/freshet")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.err = fmt.Errorf("go build: %w\n%s", err, out)
	}
}
