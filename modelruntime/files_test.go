package modelruntime_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"one/model.txt": linear, "one/README.md": "a model", "one/.DS_Store": positional,
		"two/a.json": linear, "two/b.txt": positional,
		"none/README.md": "nothing", "empty/.keep": "", "blank/model.txt": "",
		"pickle/model.lgb": "\x80\x04\x95", "outside/README.md": "see model.txt",
	})
	link(t, filepath.Join(dir, "one", "model.txt"), filepath.Join(dir, "link.txt"))
	link(t, "../one/model.txt", filepath.Join(dir, "outside", "model.txt"))
	link(t, "..data/model.txt", filepath.Join(dir, "mounted", "model.txt")) // as volumes of Kubernetes are
	write(t, dir, map[string]string{"mounted/..data/model.txt": linear})
	if err := syscall.Mkfifo(filepath.Join(dir, "none", "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path     string
		code     freshet.Code // "" for a model
		mentions string
	}{
		{"one", "", ""},
		{"one/model.txt", "", ""},
		{"one/", "", ""},
		{"two/b.txt", "", ""},
		{"link.txt", "", ""},
		{"mounted", "", ""},
		{"two", freshet.InvalidArgument, "b.txt"},
		{"none", freshet.Unsupported, "README.md"},
		{"none/pipe", freshet.InvalidArgument, "pipe"},
		{"empty", freshet.InvalidArgument, "no model"},
		{"blank", freshet.InvalidArgument, "empty"},
		{"pickle", freshet.Unsupported, "pickle"},
		{"outside", freshet.InvalidArgument, "outside"},
		{"gone", freshet.NotFound, "gone"},
	}
	for _, test := range tests {
		m, err := modelruntime.OpenPath(filepath.Join(dir, test.path), runtimes)
		if test.code == "" {
			if err != nil || len(m.Signature().Inputs) != 2 {
				t.Errorf("%s: %v", test.path, err)
			}
			continue
		}
		if freshet.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.mentions) {
			t.Errorf("%s: %v (code %s), expected %s and the words %q", test.path, err, freshet.CodeOf(err), test.code, test.mentions)
		}
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"a/b": {Data: []byte("1")}, "a-b": {Data: []byte("2")}, "c": {Data: nil}}
	digest := func(files fstest.MapFS) freshet.Digest {
		t.Helper()
		d, err := modelruntime.Digest(files)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	same := digest(files)
	// The stored form of a digest: it must never change.
	if want := freshet.Digest("sha256:b837c6cfd6c95e772f88889b2487d359601e33340f875ea640420a1fc2465584"); same != want {
		t.Errorf("%s, expected %s", same, want)
	}
	files["a/.hidden"], files[".git/x"] = &fstest.MapFile{Data: []byte("x")}, &fstest.MapFile{Data: []byte("x")}
	files["c"] = &fstest.MapFile{Mode: 0o700}
	if got := digest(files); got != same {
		t.Errorf("%s with hidden files and another mode, expected %s", got, same)
	}
	for what, other := range map[string]fstest.MapFS{
		"content": {"a/b": {Data: []byte("1")}, "a-b": {Data: []byte("3")}, "c": {}},
		"name":    {"a/b": {Data: []byte("1")}, "a-c": {Data: []byte("2")}, "c": {}},
		"moved":   {"a/b": {}, "a-b": {Data: []byte("2")}, "c": {Data: []byte("1")}},
		"fewer":   {"a/b": {Data: []byte("1")}, "a-b": {Data: []byte("2")}},
	} {
		if digest(other) == same {
			t.Errorf("%s: the digest did not change", what)
		}
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{"a/b": "1", "a-b": "2", "c": ""})
	onDisk, err := modelruntime.FilesAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer onDisk.Close()
	if got, err := modelruntime.Digest(onDisk); err != nil || got != same {
		t.Errorf("on disk: %s (%v), expected %s", got, err, same)
	}
	link(t, "a", filepath.Join(dir, "d"))
	if _, err := modelruntime.Digest(onDisk); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Errorf("a link to a directory: %v, expected %s", err, freshet.InvalidArgument)
	}
	alone, err := modelruntime.FilesAt(filepath.Join(dir, "a-b"))
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	got, err := modelruntime.Digest(alone)
	if want := digest(fstest.MapFS{"a-b": {Data: []byte("2")}}); err != nil || got != want {
		t.Errorf("one file: %s (%v), expected %s", got, err, want)
	}
}
