package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/server"
)

const scoreProject = `
project: score
entities: { user: { key: user_id } }
events: { view: { keys: [user_id] } }
views: { seen: { entity: user, from: view, window: lifetime, features: { n: count() } } }
models: { score: { path: score.json } }
pipelines: { score: { from: view, entity: user, model: score, inputs: { k: "10" } } }
`

// scoreModel is k times factor.
func scoreModel(factor int) string {
	return fmt.Sprintf(`{"format":"freshet.linear/1","link":"identity","features":[{"name":"k"}],"coefficients":[[%d]],"intercept":[0],"outputs":["score"]}`, factor)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.New(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// publish sends a model that stands in one file.
func publish(t *testing.T, c *client.Client, name freshet.ModelName, text string) client.Published {
	t.Helper()
	var archive bytes.Buffer
	if err := modelregistry.WriteTar(&archive, fstest.MapFS{"score.json": {Data: []byte(text)}}); err != nil {
		t.Fatal(err)
	}
	v, err := c.Publish(t.Context(), client.Publication{Model: name, Archive: &archive, Actor: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestARestartServesTheSameVersion: only the manifest of the last release says which version serves, neither the project's
// folder nor what was published since (promise P3).
func TestARestartServesTheSameVersion(t *testing.T) {
	t.Parallel()
	project, data := t.TempDir(), t.TempDir()
	write(t, filepath.Join(project, "freshet.yaml"), scoreProject)
	path := filepath.Join(project, "score.json")
	write(t, path, scoreModel(2))
	check := func(url string, versions int) {
		t.Helper()
		var p struct {
			Items          []struct{ Score float64 }
			Model, Release string
		}
		if err := json.Unmarshal([]byte(ask(t, url+"/v1/predict/score", `{"entity":{"user_id":"u1"}}`)), &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Items) != 1 || p.Items[0].Score != 20 || p.Model != "score@1" || p.Release != "r1" {
			t.Errorf("the prediction is %+v; want 20 by score@1 in r1", p)
		}
		m, err := connect(t, url).GetModel(t.Context(), "score")
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Versions) != versions || m.Versions[0].Release != "r1" || m.Versions[0].PublishedBy != "freshet serve" || m.Versions[0].Lineage.Source != "score.json" {
			t.Errorf("the model is %+v; want %d versions", m, versions)
		}
	}
	serve(t, project, data, func(url string) { check(url, 1) })
	write(t, path, scoreModel(3))
	serve(t, project, data, func(url string) {
		check(url, 1)
		if v := publish(t, connect(t, url), "score", scoreModel(4)); v.Version != 2 || v.Known || v.Release != "" {
			t.Errorf("published %+v", v)
		}
		check(url, 2)
	})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	serve(t, project, data, func(url string) { check(url, 2) })

	// A byte of the artifact that serves is damaged on disk: the start fails and names the file.
	blob := damage(t, filepath.Join(data, "registry", "blobs"), scoreModel(2))
	_, err := server.New(t.Context(), server.Options{Project: project, Data: data, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), blob) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("start with a damaged artifact: %v", err)
	}
}

// damage changes the last byte of the file that ends with text.
func damage(t *testing.T, dir, text string) (path string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if err == nil && bytes.HasSuffix(b, []byte(text)) {
			path = p
			b[len(b)-1] ^= 1
			err = os.WriteFile(p, b, 0o600)
		}
		return err
	})
	if err != nil || path == "" {
		t.Fatalf("no artifact to damage in %s: %v", dir, err)
	}
	return path
}

// TestWhatCannotServeLeavesNoVersion: a start that fails must not fill the registry.
func TestWhatCannotServeLeavesNoVersion(t *testing.T) {
	t.Parallel()
	project, data := t.TempDir(), t.TempDir()
	write(t, filepath.Join(project, "freshet.yaml"), scoreProject)
	path := filepath.Join(project, "score.json")
	write(t, path, strings.ReplaceAll(scoreModel(2), `"k"`, `"other"`))
	o := server.Options{Project: project, Data: data, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
	if _, err := server.New(t.Context(), o); err == nil || !strings.Contains(err.Error(), "other") {
		t.Fatalf("start with a model that no pipeline fits: %v", err)
	}
	write(t, path, scoreModel(2))
	serve(t, project, data, func(url string) {
		m, err := connect(t, url).GetModel(t.Context(), "score")
		if err != nil || len(m.Versions) != 1 {
			t.Errorf("the model is %+v, %v", m, err)
		}
	})
}
