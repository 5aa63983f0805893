package cli

import (
	"archive/tar"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/modelruntime"
)

const fakeVersion = `{"model":"ranker","version":%d,"digest":"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a0%d","bytes":300,` +
	`"signature":{"inputs":[{"name":"a"},{"name":"b"}],"outputs":["score"]},"metrics":{"auc":0.9%d},"lineage":{"source":"ranker"},` +
	`"aliases":[%s],"published_at":"2025-03-03T12:00:00.000Z","published_by":"ada"%s`

func version6() string { return fmt.Sprintf(fakeVersion, 6, 6, 0, "", `,"release":"r1"}`) }
func version7() string { return fmt.Sprintf(fakeVersion, 7, 7, 1, `"champion"`, `,"reason":"better"}`) }

// publish notes the names of the files that come, and takes all but a model called narrow.
func (f *fakeServer) publish(w http.ResponseWriter, r *http.Request) {
	note := r.PathValue("name") + ":"
	for archive := tar.NewReader(r.Body); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			problem(w, 400, freshet.InvalidArgument, "", err.Error())
			return
		}
		note += " " + h.Name
	}
	if r.PathValue("name") == "narrow" {
		problem(w, 422, freshet.Unprocessable, "pipelines.today", "the pipelines of release r1 do not give what the model takes")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uploads = append(f.uploads, note+" ?"+r.URL.RawQuery)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprint(w, strings.TrimSuffix(version7(), "}")+`,"known":false,"golden":"1 golden rows of golden.json agree"}`)
}

func (f *fakeServer) models(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"models":[{"name":"ranker","versions":7,"aliases":{"champion":7},"serving":6,"release":"r1","latest":%s}],"revision":9}`, version7())
}

func (f *fakeServer) model(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("name") != "ranker" {
		problem(w, 404, freshet.NotFound, "name", "there is no model")
		return
	}
	writeModel(w, `"champion":7`)
}

func writeModel(w http.ResponseWriter, aliases string) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"name":"ranker","versions":[%s,%s],"aliases":{%s},"alias_history":[`+
		`{"alias":"champion","version":6,"at":"2025-03-02T12:00:00.000Z","actor":"bob"},`+
		`{"alias":"champion","version":7,"at":"2025-03-03T12:00:00.000Z","actor":"ada","reason":"better"}],"revision":9}`, version6(), version7(), aliases)
}

// stored is the artifact of version 7: it ranks the other way round than the model of the scripts.
var stored = fstest.MapFS{"model.json": {Data: []byte(`{"format": "freshet.linear/1", "link": "identity", "features": [{"name": "plays"}], "coefficients": [[-1]], "intercept": [0]}`)}}

func (f *fakeServer) version(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("version") != "7" && r.PathValue("version") != "champion" {
		problem(w, 404, freshet.NotFound, "version", "version: model ranker has no version "+r.PathValue("version"))
		return
	}
	digest, err := modelruntime.Digest(stored)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, strings.Replace(version7(), "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a07", string(digest), 1))
}

func (f *fakeServer) artifact(w http.ResponseWriter, _ *http.Request) {
	if err := modelregistry.WriteTar(w, stored); err != nil {
		panic(err)
	}
}

// metrics notes what is kept with a version.
func (f *fakeServer) metrics(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uploads = append(f.uploads, r.PathValue("name")+"@"+r.PathValue("version")+": "+string(body))
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, version7())
}

func (f *fakeServer) alias(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodDelete {
		writeModel(w, "")
		return
	}
	writeModel(w, `"champion":6`)
}

// uploads prints what was published since it was last asked: the model, the names of its files, the query.
func uploads(ts *testscript.TestScript, neg bool, args []string) {
	f := fakeOf(ts)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.uploads {
		fmt.Fprintln(ts.Stdout(), u)
	}
	f.uploads = nil
}
