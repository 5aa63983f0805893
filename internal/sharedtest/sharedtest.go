// Package sharedtest finds the material that lies beside the repository: cases of the contract, fixtures of other
// libraries. It is imported by tests only, and skips them where the material is absent.
package sharedtest

import (
	"os"
	"path/filepath"
	"testing"
)

// Path is ../shared/NAME beside the repository, NAME with slashes. It skips the test where there is none.
func Path(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for !exists(filepath.Join(dir, "go.mod")) {
		if dir == filepath.Dir(dir) {
			t.Skip("no go.mod above the test's folder, so ../shared cannot be found")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(filepath.Dir(dir), "shared", filepath.FromSlash(name))
	if !exists(path) {
		t.Skipf("../shared/%s is not beside the repository", name)
	}
	return path
}

// Read is the content of the file at Path.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(Path(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
