package api

import (
	"archive/tar"
	"bytes"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/registry"
)

// modelTar is an archive of a model of the rig: it takes minutes and plays.
func modelTar(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const isTar = "application/x-tar"

func TestPublishAModel(t *testing.T) {
	t.Parallel()
	scratch := t.TempDir()
	r := newRig(t, Options{Scratch: scratch})
	if a := r.get("/v1/models"); string(a.body) != `{"models":[],"revision":0}` {
		t.Errorf("models of an empty registry: %s", a.body)
	}
	first := modelTar(t, "ranker.model", "fake 1", "golden.json", `{"inputs":[[1,2]],"outputs":[3]}`)
	a := r.post("/v1/models/ranker/versions?metrics=%7B%22auc%22%3A0.9%7D&source=ranker&run_id=abc&reason=better", first, "Content-Type", isTar, "Freshet-Actor", "ada")
	v := decodeAnswer[struct {
		modelVersion
		Known  bool
		Golden string
	}](t, a)
	if a.status != 201 || v.Version != 1 || v.Known || v.Metrics["auc"] != 0.9 || v.Lineage.RunID != "abc" || v.PublishedBy != "ada" || v.Reason != "better" ||
		v.Golden != "1 golden rows of golden.json agree" || len(v.Signature.Inputs) != 2 {
		t.Errorf("published: %d %s", a.status, a.body)
	}
	if a := r.post("/v1/models/ranker/versions", first, "Content-Type", isTar); a.status != 200 || !strings.Contains(string(a.body), `"known":true`) {
		t.Errorf("published again: %d %s", a.status, a.body)
	}
	if a := r.post("/v1/models/ranker/versions", modelTar(t, "m", "fake 2"), "Content-Type", isTar); a.status != 201 || !strings.Contains(string(a.body), `"version":2`) {
		t.Errorf("published another: %d %s", a.status, a.body)
	}
	a = r.get("/v1/models")
	for _, word := range []string{`"name":"ranker"`, `"versions":2`, `"release":"r1"`, `"revision":2`} {
		if !strings.Contains(string(a.body), word) {
			t.Errorf("the list lacks %s: %s", word, a.body)
		}
	}
	if a := r.get("/v1/models/ranker/versions/1"); !strings.Contains(string(a.body), `"auc":0.9`) {
		t.Errorf("version 1: %s", a.body)
	}
	a = r.post("/v1/models/ranker/versions/1/metrics", `{"metrics":{"recall@10":0.2},"source":"march","reason":"look"}`, "Freshet-Actor", "bob")
	if a.status != 201 || !strings.Contains(string(a.body), `"evaluations":[{"metrics":{"recall@10":0.2},"source":"march","at":"2025-03-03T12:01:00.000Z","actor":"bob","reason":"look"}]`) {
		t.Errorf("later metrics: %d %s", a.status, a.body)
	}
	for target, status := range map[string]int{"9": 404, "none": 404} {
		if a := r.post("/v1/models/ranker/versions/"+target+"/metrics", `{"metrics":{"a":1}}`); a.status != status || a.problem(t).Field != "version" {
			t.Errorf("metrics of version %s: %d %s", target, a.status, a.body)
		}
		if a := r.get("/v1/models/ranker/versions/" + target + "/artifact"); a.status != status {
			t.Errorf("artifact of version %s: %d %s", target, a.status, a.body)
		}
	}
	a = r.get("/v1/models/ranker/versions/1/artifact")
	if again := r.post("/v1/models/ranker/versions", string(a.body), "Content-Type", isTar); a.status != 200 || !strings.Contains(string(again.body), `"version":1`) {
		t.Errorf("the artifact of version 1: %d, %d bytes; published again: %s", a.status, len(a.body), again.body)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	// The artifact of a version may be removed as garbage. Published again, it is there again, under its number.
	if err := r.blobs.Delete(t.Context(), v.Digest); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/models/ranker/versions/1", "/v1/models/ranker"} {
		if a := r.get(path); a.status != 200 || strings.Count(string(a.body), `"removed":true`) != 1 {
			t.Errorf("%s of a removed version: %d %s", path, a.status, a.body)
		}
	}
	if a := r.post("/v1/models/ranker/versions", first, "Content-Type", isTar); a.status != 200 || !strings.Contains(string(a.body), `"version":1`) {
		t.Errorf("published again: %d %s", a.status, a.body)
	}
	if a := r.get("/v1/models/ranker/versions/1"); a.status != 200 || strings.Contains(string(a.body), "removed") {
		t.Errorf("a version that is there again: %d %s", a.status, a.body)
	}
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{Scratch: t.TempDir(), MaxArtifact: 8 << 10})
	good := modelTar(t, "m", "fake")
	for _, tt := range []struct {
		name, target, body string
		headers            []string
		code               freshet.Code
		field              string
	}{
		{"no archive", "/v1/models/ranker/versions", "hello", nil, freshet.Unsupported, ""},
		{"no model", "/v1/models/ranker/versions", modelTar(t, "m", "hello"), nil, freshet.Unsupported, ""},
		{"a pickle", "/v1/models/ranker/versions", modelTar(t, "m.pkl", "\x80\x04\x95"), nil, freshet.Unsupported, ""},
		{"leads out", "/v1/models/ranker/versions", modelTar(t, "../m", "fake"), nil, freshet.InvalidArgument, ""},
		{"golden rows", "/v1/models/ranker/versions", modelTar(t, "m", "fake", "golden.json", `{"inputs":[[1,2]],"outputs":[1]}`), nil, freshet.Unprocessable, "outputs"},
		{"name", "/v1/models/Ranker/versions", good, nil, freshet.InvalidArgument, "model"},
		{"metrics", "/v1/models/ranker/versions?metrics=1", good, nil, freshet.InvalidArgument, "metrics"},
		{"unknown parameter", "/v1/models/ranker/versions?metric=1", good, nil, freshet.InvalidArgument, "metric"},
		{"too large", "/v1/models/ranker/versions", modelTar(t, "m", "fake"+strings.Repeat("x", 9<<10)), nil, freshet.TooLarge, ""},
		{"compressed", "/v1/models/ranker/versions", good, []string{"Content-Encoding", "gzip"}, freshet.Unsupported, "Content-Encoding"},
	} {
		a := r.post(tt.target, tt.body, append(tt.headers, "Content-Type", isTar)...)
		if p := a.problem(t); p.Code != tt.code || p.Field != tt.field {
			t.Errorf("%s: %s", tt.name, a.body)
		}
	}
	if a := r.get("/v1/models"); !strings.Contains(string(a.body), `"models":[]`) {
		t.Errorf("something was published: %s", a.body)
	}
}

// TestPublishHoldsInputsAgainstPipelines: a model that the live pipelines cannot feed is refused, unless its publisher says
// that they will.
func TestPublishHoldsInputsAgainstPipelines(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{Scratch: t.TempDir()})
	wide := modelTar(t, "m", "fake wide")
	a := r.post("/v1/models/ranker/versions", wide, "Content-Type", isTar)
	if p := a.problem(t); p.Code != freshet.Unprocessable || !strings.Contains(p.Detail, "new_inputs") || !strings.Contains(p.Detail, "depth") {
		t.Errorf("a model with an input that nothing gives: %s", a.body)
	}
	if a := r.post("/v1/models/ranker/versions?new_inputs=true", wide, "Content-Type", isTar); a.status != 201 {
		t.Errorf("the same with new_inputs: %s", a.body)
	}
	if a := r.post("/v1/models/other/versions", wide, "Content-Type", isTar); a.status != 201 {
		t.Errorf("a model that no pipeline uses: %s", a.body)
	}
}

func TestUploadsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{Scratch: t.TempDir()})
	for range maxUploads {
		r.api.uploads <- struct{}{}
	}
	a := r.post("/v1/models/ranker/versions", modelTar(t, "m", "fake"), "Content-Type", isTar)
	if p := a.problem(t); p.Code != freshet.ResourceExhausted {
		t.Errorf("one upload too many: %s", a.body)
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{Scratch: t.TempDir()})
	for _, content := range []string{"fake 1", "fake 2"} {
		r.post("/v1/models/ranker/versions", modelTar(t, "m", content), "Content-Type", isTar)
	}
	a := r.send("PUT", "/v1/models/ranker/aliases/champion", `{"version":2,"reason":"ranks better"}`, "If-Match", `"2"`, "Freshet-Actor", "ada")
	if a.status != 200 || !strings.Contains(string(a.body), `"aliases":{"champion":2}`) || !strings.Contains(string(a.body), `"reason":"ranks better"`) {
		t.Errorf("set: %d %s", a.status, a.body)
	}
	if a := r.get("/v1/models/ranker/versions/champion"); !strings.Contains(string(a.body), `"version":2`) || !strings.Contains(string(a.body), `"aliases":["champion"]`) {
		t.Errorf("by alias: %s", a.body)
	}
	for _, tt := range []struct {
		method, target, body, match string
		code                        freshet.Code
	}{
		{"PUT", "/v1/models/ranker/aliases/champion", `{"version":1}`, `"2"`, freshet.PreconditionFailed},
		{"PUT", "/v1/models/ranker/aliases/champion", `{"version":1}`, `x`, freshet.InvalidArgument},
		{"PUT", "/v1/models/ranker/aliases/champion", `{"version":3}`, ``, freshet.NotFound},
		{"PUT", "/v1/models/ranker/aliases/champion", `{"version":0}`, ``, freshet.InvalidArgument},
		{"PUT", "/v1/models/ranker/aliases/latest", `{"version":1}`, ``, freshet.InvalidArgument},
		{"PUT", "/v1/models/none/aliases/champion", `{"version":1}`, ``, freshet.NotFound},
		{"DELETE", "/v1/models/ranker/aliases/none", ``, ``, freshet.NotFound},
		{"GET", "/v1/models/none", ``, ``, freshet.NotFound},
		{"GET", "/v1/models/ranker/versions/3", ``, ``, freshet.NotFound},
		{"GET", "/v1/models/ranker/versions/none", ``, ``, freshet.NotFound},
	} {
		a := r.send(tt.method, tt.target, tt.body, "If-Match", tt.match)
		if p := a.problem(t); p.Code != tt.code {
			t.Errorf("%s %s %s: %s", tt.method, tt.target, tt.body, a.body)
		}
	}
	a = r.send("DELETE", "/v1/models/ranker/aliases/champion?reason=over", "")
	if a.status != 200 || !strings.Contains(string(a.body), `"aliases":{}`) || !strings.Contains(string(a.body), `"version":0`) {
		t.Errorf("removed: %d %s", a.status, a.body)
	}
}

func TestBlobs(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{Scratch: t.TempDir()})
	digest := string(registry.DigestOf([]byte("a,b\n")))
	const octets = "application/octet-stream"
	if a := r.get("/v1/blobs/" + digest); a.status != 404 {
		t.Errorf("a blob that is not there: %s", a.body)
	}
	for range 2 {
		if a := r.send("PUT", "/v1/blobs/"+digest, "a,b\n", "Content-Type", octets); a.status != 200 || string(a.body) != `{"digest":"`+digest+`","bytes":4}` {
			t.Errorf("put: %d %s", a.status, a.body)
		}
	}
	if a := r.get("/v1/blobs/" + digest); a.status != 200 || !strings.Contains(string(a.body), `"bytes":4`) {
		t.Errorf("get: %s", a.body)
	}
	for _, tt := range []struct {
		target, body string
		code         freshet.Code
	}{
		{digest, "a,c\n", freshet.Unprocessable},
		{"sha256:1", "a,b\n", freshet.InvalidArgument},
		{digest, strings.Repeat("x", 2<<20), freshet.TooLarge},
	} {
		if a := r.send("PUT", "/v1/blobs/"+tt.target, tt.body, "Content-Type", octets); a.problem(t).Code != tt.code {
			t.Errorf("put of %.20q as %s: %s", tt.body, tt.target, a.body)
		}
	}
}

// TestABodyThatEndsEarly is one whose connection breaks.
func TestABodyThatEndsEarly(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{Scratch: t.TempDir()})
	req := httptest.NewRequest("POST", "/v1/models/ranker/versions", io.MultiReader(strings.NewReader(modelTar(t, "m", "fake")[:700]), broken{}))
	w := httptest.NewRecorder()
	r.api.Handler().ServeHTTP(w, req)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "ended early") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
