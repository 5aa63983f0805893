package api

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/registry"
)

// publish makes a version of a model that answers k·a.
func (r *rig) publish(model freshet.ModelName, k string) registry.ModelVersion {
	r.t.Helper()
	dir := fstest.MapFS{"m.json": {Data: []byte(`{"format":"freshet.linear/1","link":"identity","features":[{"name":"a"}],"coefficients":[[` + k + `]],"intercept":[0],"outputs":["y"]}`)}}
	v, _, err := r.models.Publish(r.t.Context(), dir, modelregistry.Publication{Model: model, Actor: "ada"})
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// TestOIPVersions asks for versions that the live release does not have.
func TestOIPVersions(t *testing.T) {
	t.Parallel()
	r := newOIPRig(t)
	first := r.publish("m", "2")
	r.publish("m", "3")
	r.publish("other", "4") // of no release
	infer := func(model, version string) answer {
		return r.post("/v2/models/"+model+"/versions/"+version+"/infer", `{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[10]}]}`)
	}
	inferred := func(model, version, digest, y string) string {
		return `{"model_name":"` + model + `","model_version":"` + version + `","parameters":{"digest":"` + digest + `"},"outputs":[{"name":"y","datatype":"FP64","shape":[1],"data":[` + y + `]}]}`
	}
	r.wantBody(infer("m", "1"), 200, inferred("m", "1", string(first.Digest), "20"))
	r.wantBody(r.get("/v2/models/m/versions/2/ready"), 200, `{"name":"m","ready":true}`)
	if a := r.get("/v2/models/m/versions/1"); a.status != 200 || !strings.Contains(string(a.body), `"versions":["1","2"]`) || !strings.Contains(string(a.body), string(first.Digest)) {
		t.Errorf("metadata of version 1: %d %s", a.status, a.body)
	}
	index := func(parts ...string) {
		t.Helper()
		a := r.post("/v2/repository/index", `{}`)
		for _, part := range parts {
			if !strings.Contains(string(a.body), part) {
				t.Errorf("%s is not in the index: %s", part, a.body)
			}
		}
		if n := strings.Count(string(a.body), `"READY"`); n != 2+len(parts) {
			t.Errorf("%d are in the index; want %d: %s", n, 2+len(parts), a.body)
		}
	}
	index(`{"name":"m","version":"1","state":"READY","reason":""}`, `{"name":"m","version":"2","state":"READY","reason":""}`)
	if a := infer("other", "1"); a.status != 200 || !strings.Contains(string(a.body), `"data":[40]`) {
		t.Errorf("a model of no release: %d %s", a.status, a.body)
	}
	index(`"version":"1"`, `{"name":"other","version":"1"`) // two are kept

	r.wantBody(r.post("/v2/repository/models/m/unload", `{"parameters":{"version":"1"}}`), 200, `{}`)
	r.wantBody(r.post("/v2/repository/models/other/unload", ""), 200, `{}`)
	r.wantBody(r.post("/v2/repository/models/other/unload", ""), 200, `{}`)
	r.wantBody(r.post("/v2/repository/models/m/load", `{"parameters":{"version":"2"}}`), 200, `{}`)
	r.wantBody(r.post("/v2/repository/models/other/load", ""), 200, `{}`)
	index(`{"name":"m","version":"2"`, `{"name":"other","version":"1"`)

	r.wantOIPError(infer("m", "3"), 404, "no version 3", "it has 2")
	r.wantOIPError(infer("m", "newest"), 404, `no version "newest"`)
	r.wantOIPError(infer("m", "0"), 404, "no version")
	r.wantOIPError(infer("none", "1"), 404, "no model")
	r.wantOIPError(r.post("/v2/models/other/infer", `{}`), 404, "no model", "/v2/models/other/versions/1")
	r.wantOIPError(r.post("/v2/models/none/infer", `{}`), 404, "there is no model")
	r.wantOIPError(r.post("/v2/repository/models/m/load", `{"parameters":{"version":"9"}}`), 404, "no version 9")
	r.wantOIPError(r.post("/v2/repository/models/m/load", `{"parameters":{"version":"x"}}`), 404, "no version")
}
