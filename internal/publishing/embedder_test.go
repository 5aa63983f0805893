package publishing

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet/embed/wordtable"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/registry"
	"github.com/freshet-ml/freshet/registry/memregistry"
)

const embedding = `
project: texts
embedder: { file: words.bin }
entities: { user: { key: user_id } }
events: { search: { keys: user_id, fields: { query: string } } }
views: { interest: { entity: user, from: search, window: last 5, features: { v: embed(query) } } }
`

func wordTable(t *testing.T, vectors string) string {
	t.Helper()
	var table bytes.Buffer
	_, err := wordtable.Convert(strings.NewReader(vectors), &table, nil)
	must(t, err)
	return table.String()
}

// The word table that a project names goes with its releases: through a restart without the folder, a new one, and back.
func TestWordTableOfARelease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "freshet.yaml"), []byte(embedding), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "words.bin"), []byte(wordTable(t, "sleep 1 0\ncalm 0 1\n")), 0o600))
	first := openRig(t, dir, memregistry.New())
	r := openRig(t, t.TempDir(), first.driver.Driver)
	r.expect("r1 live; ")
	if a, b := first.Live.Load().Manifest(), r.Live.Load().Manifest(); a.Digest != b.Digest {
		t.Errorf("%+v is %+v after a restart", a, b)
	}

	r.deploy(deployment.Request{Project: strings.ReplaceAll(embedding, "last 5", "last 6")}) // with the table that is there
	r.steps()
	before := r.Live.Load().Manifest().Views["interest"]
	plan, err := r.Plan(t.Context(), deployment.Request{Embedder: r.put(wordTable(t, "sleep 1 0\ncalm 1 1\n"))})
	must(t, err)
	if len(plan.Changes) != 1 || plan.Changes[0].What != "views.interest" || !plan.Changes[0].Fill || len(plan.Changes[0].Lines) != 1 {
		t.Errorf("another table changes %+v", plan.Changes)
	}
	r.deploy(deployment.Request{Embedder: r.put(wordTable(t, "sleep 1 0\ncalm 1 1\n"))})
	r.steps()
	if r.Live.Load().Manifest().Views["interest"] == before {
		t.Error("another table does not make another view")
	}
	r.expect("r1 retired; r2 former; r3 live; ")

	r.at(time.Now().Add(25 * time.Hour))
	g, err := r.Collect(t.Context(), 0, true)
	must(t, err)
	if len(g.Remove) != 1 || g.Remove[0].What != "project file of r1" {
		t.Errorf("removed %+v", g.Remove)
	}
	again := openRig(t, t.TempDir(), r.driver.Driver)
	again.expect("r1 retired; r2 former; r3 live; ")
	_, err = again.Rollback(t.Context(), deployment.By{Actor: "ada"})
	must(t, err)
	if again.Live.Load().Manifest().Views["interest"] != before {
		t.Error("the table of the former release did not come back")
	}
}

func TestWordTableThatWasNotSent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for want, req := range map[string]deployment.Request{
		"embedder: file: words.bin: it was not sent: PUT it to /v1/blobs/": {Project: embedding},
		"there is no blob": {Project: embedding, Embedder: registry.DigestOf([]byte("nowhere"))},
		"not a word table": {Project: embedding, Embedder: r.put("sleep 1 0\n")},
	} {
		plan, err := r.Plan(t.Context(), req)
		must(t, err)
		if len(plan.Problems) != 1 || !strings.Contains(plan.Problems[0].Detail, want) {
			t.Errorf("the problems are %+v, want %q", plan.Problems, want)
		}
	}
	if _, err := r.Plan(t.Context(), deployment.Request{Release: "r1", Embedder: r.put("x")}); err == nil || !strings.Contains(err.Error(), "embedder") {
		t.Errorf("an earlier release with another table: %v", err)
	}
}
