package dirregistry_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/registry"
	"github.com/freshet-ml/freshet/registry/dirregistry"
	"github.com/freshet-ml/freshet/registry/registrytest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string, o *dirregistry.Options) *dirregistry.Store {
	t.Helper()
	s, err := dirregistry.Open(dir, o)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// TestContract runs on the real file system: the hard links of one in memory prove nothing.
func TestContract(t *testing.T) {
	t.Parallel()
	var dirs sync.Map // driver → its folder
	openIn := func(t testing.TB, dir string) registry.Driver {
		s := open(t, dir, nil)
		dirs.Store(s, dir)
		return s
	}
	dirOf := func(d registry.Driver) string {
		dir, _ := dirs.Load(d)
		return dir.(string)
	}
	registrytest.Run(t, registrytest.Harness{
		Open: func(t testing.TB) registry.Driver { return openIn(t, filepath.Join(t.TempDir(), "deep", "registry")) },
		Reopen: func(t testing.TB, d registry.Driver) registry.Driver {
			must(t, d.Close())
			return openIn(t, dirOf(d))
		},
		Second: func(t testing.TB, d registry.Driver) registry.Driver { return openIn(t, dirOf(d)) },
	})
}

// TestFiles pins where things lie: docs/formats/registry.md.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := registry.New(open(t, dir, nil), &registry.Options{Now: func() time.Time { return time.UnixMilli(1_772_366_400_000) }})
	text := "hello"
	digest := registry.DigestOf([]byte(text))
	_, err := r.Put(t.Context(), digest, strings.NewReader(text))
	must(t, err)
	draft, err := registry.NewDraft("model.alias", "ada", "it ranks better", registry.AliasChange{Model: "ranker", Alias: "champion", Version: 7})
	must(t, err)
	_, err = r.Append(t.Context(), 0, draft)
	must(t, err)
	for name, want := range map[string]string{
		"blobs/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824": text,
		"log/00000000000000000001.entry": `{"revision":1,"at":"2026-03-01T12:00:00.000Z","actor":"ada","reason":"it ranks better","kind":"model.alias",` +
			`"body":{"model":"ranker","alias":"champion","version":7}}` + "\n" +
			"sha256:925dd3ed5f3bd3e6b274098b1b4ac419f9998f8b8d372d3dc0b21e25828e3ca2" + "\n",
	} {
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		must(t, err)
		if string(got) != want {
			t.Errorf("%s holds %q; want %q", name, got, want)
		}
	}
	for _, folder := range []string{"blobs", "log"} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		must(t, err)
		if len(entries) != 1 {
			t.Errorf("%s holds %v; want one file", folder, entries)
		}
	}
}

// TestLeftovers opens a folder in which processes have died at every step, and in which others write.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, dir, nil)
	stored, err := first.Append(t.Context(), 1, []byte("one"))
	must(t, err)
	if !stored {
		t.Fatal("not stored")
	}
	files := []string{"blobs/.writing-A", "log/.writing-B", "blobs/notes.txt", "log/00000000000000000000.entry", "log/2.entry"}
	for _, name := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("hal"), 0o600))
	}
	left := func() (names []string) {
		for _, name := range files {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				names = append(names, name)
			}
		}
		return names
	}
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{59 * time.Minute, 5}, {61 * time.Minute, 3}} {
		s := open(t, dir, &dirregistry.Options{Now: func() time.Time { return time.Now().Add(tt.after) }})
		if got := left(); len(got) != tt.want {
			t.Errorf("after %v there are %v; want %d files", tt.after, got, tt.want)
		}
		head, err := s.Head(t.Context())
		must(t, err)
		if head != 1 {
			t.Errorf("head is %d; want 1", head)
		}
		all, err := s.List(t.Context())
		must(t, err)
		if len(all) != 0 {
			t.Errorf("blobs are %v; want none", all)
		}
	}
}

// TestDamage breaks files and expects errors that name them.
func TestDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := registry.New(open(t, dir, nil), nil)
	digest := registry.DigestOf([]byte("artifact"))
	putBlob := func() error {
		_, err := r.Put(t.Context(), digest, strings.NewReader("artifact"))
		return err
	}
	must(t, putBlob())
	for i := range registry.Revision(3) {
		_, err := r.Append(t.Context(), i, registry.Draft{Actor: "ada", Kind: "note", Body: []byte(`{}`)})
		must(t, err)
	}
	blob := filepath.Join(dir, "blobs", strings.TrimPrefix(string(digest), "sha256:"))
	for _, bytes := range []string{"artifacs", "artifac", "artifact ", ""} {
		must(t, os.WriteFile(blob, []byte(bytes), 0o600))
		_, err := r.Open(t.Context(), digest)
		if freshet.CodeOf(err) != freshet.Internal || !strings.Contains(err.Error(), blob) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("open of a blob that holds %q: %v", bytes, err)
		}
	}
	must(t, putBlob())
	b, err := r.Open(t.Context(), digest)
	must(t, err)
	must(t, b.Close())

	second := filepath.Join(dir, "log", "00000000000000000002.entry")
	whole, err := os.ReadFile(second)
	must(t, err)
	for n := range whole {
		must(t, os.WriteFile(second, whole[:n], 0o600))
		got, err := r.Read(t.Context(), nil, 0, 10)
		if len(got) != 1 || freshet.CodeOf(err) != freshet.Internal || !strings.Contains(err.Error(), "revision 2 is damaged") {
			t.Fatalf("entry cut after %d bytes: %d entries, %v", n, len(got), err)
		}
	}
	must(t, os.Remove(second))
	if _, err := dirregistry.Open(dir, nil); freshet.CodeOf(err) != freshet.Internal || !strings.Contains(err.Error(), second) {
		t.Errorf("open without the second of three entries: %v", err)
	}
	must(t, os.WriteFile(second, whole, 0o600))
	open(t, dir, nil)
}
