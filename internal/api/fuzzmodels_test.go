package api

import (
	"encoding/json"
	"testing"
)

// answers whatever body with what a client can read, and never with a fault of the server.
func (r *rig) neverFails(t *testing.T, a answer, what string) {
	t.Helper()
	if a.status >= 500 && a.status != 504 || a.status < 200 { // 504: a body may ask for an answer within 5 µs
		t.Errorf("%s: answered %d %s", what, a.status, a.body)
	}
	if a.header.Get("Content-Type") == "application/json" && !json.Valid(a.body) {
		t.Errorf("%s: the answer is no JSON: %d %s", what, a.status, a.body)
	}
}

// FuzzOIP sends any body to a model, with any length of its JSON.
func FuzzOIP(f *testing.F) {
	for _, seed := range []struct{ length, body string }{
		{"", `{"id":"r","inputs":[{"name":"a","shape":[2],"datatype":"FP64","data":[1,null]},{"name":"b","shape":[2,1],"datatype":"INT64","data":[[2],[4]]}]}`},
		{"", `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,NaN]}],"outputs":[{"name":"y","parameters":{"binary_data":true}}],"parameters":{"timeout":5}}`},
		{"92", `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}` + "\x00\x00\x80\x3f\x00\x00\x00\x40"},
		{"", `{"inputs":[{"name":"x","shape":[9223372036854775807,2],"datatype":"BOOL","data":[]}]}`}, {"-1", `{}`}, {"", ``}, {"", `[[[`},
	} {
		f.Add(seed.length, seed.body)
	}
	base := newOIPRig(f)
	base.check = false
	f.Fuzz(func(t *testing.T, length, body string) {
		r := *base
		r.t = t
		r.neverFails(t, r.post("/v2/models/m/infer", body, "Inference-Header-Content-Length", length), "infer")
		r.neverFails(t, r.post("/v2/repository/index", body), "index")
		r.neverFails(t, r.post("/v2/repository/models/m/load", body), "load")
	})
}

// FuzzInvocations sends any body as MLflow's JSON, as CSV, and to an endpoint.
func FuzzInvocations(f *testing.F) {
	for _, seed := range []string{
		`{"dataframe_split":{"columns":["b","a"],"index":[1],"data":[[1,2.5],[null,3]]}}`, `{"dataframe_records":[{"a":1.5,"b":3,"x":"ignored"}]}`,
		`{"instances":[[1,2],[3,4]]}`, `{"inputs":{"a":[1,2],"b":[1,2]},"params":{}}`, `{"inputs":[[NaN,Infinity]]}`, `{"messages":[]}`,
		"a,b\n1,2\n,3\n", "\"b\",a\r\n\"1\",2", "1,2\n", "", "{", "\xff",
	} {
		f.Add(seed)
	}
	base := newOIPRig(f)
	base.check = false
	f.Fuzz(func(t *testing.T, body string) {
		r := *base
		r.t = t
		for _, contentType := range []string{"application/json", "text/csv"} {
			r.neverFails(t, r.post("/models/m/invocations", body, "Content-Type", contentType), "invocations "+contentType)
			r.neverFails(t, r.post("/endpoints/two/invocations", body, "Content-Type", contentType), "endpoint "+contentType)
		}
	})
}
