package api

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
)

func newOIPRig(t testing.TB) *rig {
	return newModelRig(t, Options{}, map[string]string{"m": linearFolder(t, 1), "two": linearFolder(t, 2)})
}

func (r *rig) version(model string) string {
	r.t.Helper()
	m, ok := r.live.Load().Model(freshet.ModelName(model))
	if !ok {
		r.t.Fatalf("no model %s", model)
	}
	return versionOf(m)
}

func TestOIPServer(t *testing.T) {
	t.Parallel()
	r := newOIPRig(t)
	v := r.version("m")
	r.wantBody(r.get("/v2"), 200, `{"name":"freshet","version":"test","extensions":["binary_tensor_data","model_repository","parameters"]}`)
	r.wantBody(r.get("/v2/health/live"), 200, `{"live":true}`)
	r.wantBody(r.get("/v2/health/ready"), 200, `{"ready":true}`)
	r.wantBody(r.get("/v2/models/m/ready"), 200, `{"name":"m","ready":true}`)
	r.wantBody(r.get("/v2/models/m/versions/"+v+"/ready"), 200, `{"name":"m","ready":true}`)
	meta := `{"name":"m","versions":["` + v + `"],"platform":"freshet","inputs":[{"name":"a","datatype":"FP64","shape":[-1]},` +
		`{"name":"b","datatype":"FP64","shape":[-1]}],"outputs":[{"name":"y","datatype":"FP64","shape":[-1]}],"parameters":{"release":"r7"}}`
	r.wantBody(r.get("/v2/models/m"), 200, meta)
	r.wantBody(r.get("/v2/models/m/versions/"+v), 200, meta)
	index := fmt.Sprintf(`[{"name":"m","version":"%s","state":"READY","reason":""},{"name":"two","version":"%s","state":"READY","reason":""}]`, v, r.version("two"))
	r.wantBody(r.post("/v2/repository/index", `{"ready":true}`), 200, index)
	r.check = false // no body, no content type
	r.wantBody(r.post("/v2/repository/index", ""), 200, index)
	for _, action := range []string{"load", "unload"} {
		path := "/v2/repository/models/m/" + action
		for body, part := range map[string]string{"": "pinned by the live release", `{"parameters":{"unload_dependents":false}}`: "pinned by the live release",
			`{"parameters":{"file:1/model.onnx":"AA=="}}`: "files and configurations are not taken", `{"parameters":{"config":"{}"}}`: "not taken"} {
			r.wantOIPError(r.post(path, body), 400, part)
		}
		r.wantOIPError(r.post("/v2/repository/models/zz/"+action, ""), 404, "zz")
	}
	r.wantOIPError(r.get("/v2/models/zz"), 404, "there is no model")
	r.wantOIPError(r.get("/v2/models/m/versions/9"), 404, "no version")
	r.wantOIPError(r.get("/v2/models/m/versions/9/ready"), 404, "no version")
	r.wantOIPError(r.get("/v2/nothing"), 404, "nothing at")
	r.wantOIPError(r.send("DELETE", "/v2/models/m", ""), 405, "expected")
	r.back.set(func(b *behind) { b.notReady = []string{"recovering"} })
}

func (r *rig) wantOIPError(a answer, status int, parts ...string) {
	r.t.Helper()
	var e struct{ Error string }
	if err := json.Unmarshal(a.body, &e); err != nil || a.status != status || e.Error == "" {
		r.t.Errorf("got %d %s, expected %d with an error", a.status, a.body, status)
	}
	for _, part := range parts {
		if !strings.Contains(e.Error, part) {
			r.t.Errorf("%q is not in %q", part, e.Error)
		}
	}
}

// inferred is the answer that is expected of model m.
func (r *rig) inferred(id, outputs string) string {
	if id != "" {
		id = `"id":"` + id + `",`
	}
	return `{"model_name":"m","model_version":"` + r.version("m") + `",` + id + `"parameters":{"release":"r7"},"outputs":[` + outputs + `]}`
}

func TestOIPInferJSON(t *testing.T) {
	t.Parallel()
	r := newOIPRig(t)
	y := `{"name":"y","datatype":"FP64","shape":[2],"data":[21,43]}`
	for _, body := range []string{
		`{"inputs":[{"name":"a","shape":[2],"datatype":"FP64","data":[1,3]},{"name":"b","shape":[2],"datatype":"INT64","data":[2,4]}]}`,
		`{"inputs":[{"name":"b","shape":[2,1],"datatype":"FP32","data":[[2],[4]]},{"name":"a","shape":[2],"datatype":"UINT8","data":[1,3.0]}]}`,
		`{"inputs":[{"data":[[1,2],[3,4]],"datatype":"FP32","shape":[2,2],"name":"input-0","parameters":{}}],"outputs":[{"name":"y","parameters":{"binary_data":false}}],"parameters":{"x":1}}`,
		`{"inputs":[{"name":"any","shape":[2,2],"datatype":"FP64","data":[1,2,3,4]}],"other":{"deep":[1]}}`,
		`{"\u0069nputs":[{"name":"any","shape":[2,2],"datatype":"FP64","data":[1,2,3,4]}]}`,
	} {
		r.wantBody(r.post("/v2/models/m/infer", body), 200, r.inferred("", y))
	}
	a := r.post("/v2/models/m/versions/"+r.version("m")+"/infer", `{"id":"r\u00e9","inputs":[{"name":"x","shape":[3,2],"datatype":"FP32","data":[1.5,null,2,0,1e400,1]}]}`)
	r.wantBody(a, 200, r.inferred("ré", `{"name":"y","datatype":"FP64","shape":[3],"data":[1.5,2,null]}`))
	r.check = false
	r.wantBody(r.post("/v2/models/m/infer", `{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,NaN,true,"NaN"]}]}`), 200,
		r.inferred("", `{"name":"y","datatype":"FP64","shape":[2],"data":[1,1]}`))
	r.wantBody(r.post("/v2/models/m/infer", `{"inputs":[{"name":"x","shape":[0,2],"datatype":"FP32","data":[]}]}`), 200,
		r.inferred("", `{"name":"y","datatype":"FP64","shape":[0],"data":[]}`))
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	z.Write([]byte(`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`))
	z.Close()
	for range 2 { // the second uses the reader of the first again
		r.wantBody(r.post("/v2/models/m/infer", packed.String(), "Content-Encoding", "deflate"), 200, r.inferred("", `{"name":"y","datatype":"FP64","shape":[1],"data":[21]}`))
	}
	r.wantOIPError(r.post("/v2/models/m/infer", "x", "Content-Encoding", "deflate"), 400, "unpacked")
}

func TestOIPInferBinary(t *testing.T) {
	t.Parallel()
	r := newOIPRig(t)
	le := binary.LittleEndian
	f32 := func(values ...float32) (b []byte) {
		for _, v := range values {
			b = le.AppendUint32(b, math.Float32bits(v))
		}
		return b
	}
	post := func(head string, tail []byte) answer {
		return r.post("/v2/models/two/infer", head+string(tail), "Content-Type", "application/octet-stream", "Inference-Header-Content-Length", fmt.Sprint(len(head)))
	}
	a := post(`{"inputs":[{"name":"b","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}},{"name":"a","shape":[2],"datatype":"FP64","data":[1,3]}],`+
		`"outputs":[{"name":"z","parameters":{"binary_data":true}},{"name":"y"}]}`, f32(2, 4))
	n := 0
	fmt.Sscan(a.header.Get("Inference-Header-Content-Length"), &n)
	if a.status != 200 || a.header.Get("Content-Type") != "application/octet-stream" || len(a.body) != n+16 {
		t.Fatalf("got %d %v %q", a.status, a.header, a.body)
	}
	if head := string(a.body[:n]); !strings.HasSuffix(head, `"outputs":[{"name":"z","datatype":"FP64","shape":[2],"parameters":{"binary_data_size":16}},{"name":"y","datatype":"FP64","shape":[2],"data":[21,43]}]}`) {
		t.Errorf("got %s", head)
	}
	if z := math.Float64frombits(le.Uint64(a.body[n+8:])); z != -3 {
		t.Errorf("the second z is %v", z)
	}
	all := map[string][]byte{
		"BOOL": {1, 0}, "INT8": {1, 0xfe}, "UINT8": {1, 254}, "INT16": {1, 0, 0xfe, 0xff}, "UINT16": {1, 0, 0xfe, 0xff},
		"INT32": {1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff}, "UINT32": {1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff}, "FP32": f32(1, -2),
		"INT64": le.AppendUint64(le.AppendUint64(nil, 1), math.MaxUint64-1), "UINT64": le.AppendUint64(le.AppendUint64(nil, 1), 1<<63),
	}
	second := map[string]float64{"BOOL": 0, "INT8": -2, "UINT8": 254, "INT16": -2, "UINT16": 65534, "INT32": -2, "UINT32": 1<<32 - 2, "FP32": -2, "INT64": -2, "UINT64": 1 << 63}
	for datatype, raw := range all {
		a := post(fmt.Sprintf(`{"inputs":[{"name":"a","shape":[2],"datatype":%q,"parameters":{"binary_data_size":%d}},{"name":"b","shape":[2],"datatype":"FP64","data":[0,0]}],"outputs":[{"name":"y"}]}`, datatype, len(raw)), raw)
		var got struct{ Outputs []struct{ Data []float64 } }
		if err := json.Unmarshal(a.body, &got); err != nil || len(got.Outputs) != 1 || got.Outputs[0].Data[0] != 1 || got.Outputs[0].Data[1] != second[datatype] {
			t.Errorf("%s: got %s", datatype, a.body)
		}
	}
	a = post(`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}],"parameters":{"binary_data_output":true}}`, f32(1, 2))
	if a.status != 200 || a.header.Get("Inference-Header-Content-Length") == "" {
		t.Errorf("got %d %s", a.status, a.body)
	}
	for head, part := range map[string]string{
		`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":4}}]}`:              "shape [1 2] of FP32 takes 8 bytes",
		`{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}`:              "the inputs' sum is 4 and 8 bytes follow",
		`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2],"parameters":{"binary_data_size":8}}]}`: "both data and binary_data_size",
		`{"inputs":[{"name":"x","shape":[1000000,1000000],"datatype":"FP64","parameters":{"binary_data_size":8}}]}`:  "over 1048576 numbers",
		`{"inputs":[{"name":"x","shape":[4],"datatype":"FP16","parameters":{"binary_data_size":8}}]}`:                "FP16",
		`{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":8}}]}`:               "BYTES",
	} {
		a := post(head, f32(1, 2))
		status := 400
		if strings.HasPrefix(part, "over") {
			status = 413
		}
		r.wantOIPError(a, status, part)
	}
	r.wantOIPError(r.post("/v2/models/m/infer", "{}", "Inference-Header-Content-Length", "3"), 400, "Inference-Header-Content-Length")
}

func TestOIPRefusals(t *testing.T) {
	t.Parallel()
	r := newOIPRig(t)
	a, b := `{"name":"a","shape":[1],"datatype":"FP64","data":[1]}`, `{"name":"b","shape":[1],"datatype":"FP64","data":[1]}`
	for _, tt := range []struct{ body, part string }{
		{``, "no JSON"}, {`[]`, "expected an object"}, {`{"inputs":[}`, "no JSON: at byte 11"}, {`{} {}`, "something follows"},
		{`{}`, "inputs: missing"}, {`{"inputs":{}}`, "inputs: expected a list"}, {`{"inputs":[1]}`, "inputs: expected an object"},
		{`{"inputs":[{"shape":[1],"datatype":"FP64","data":[1]}]}`, "inputs.name: missing"},
		{`{"inputs":[` + a + `]}`, "b: missing"},
		{`{"inputs":[` + a + `,` + b + `,` + a + `]}`, "input a: given twice"},
		{`{"inputs":[` + a + `,` + b + `,{"name":"c","shape":[1],"datatype":"FP64","data":[1]}]}`, "input c: the model has no such column"},
		{`{"inputs":[` + a + `,{"name":"b","shape":[2],"datatype":"FP64","data":[1,2]}]}`, "input b: it has 2 rows"},
		{`{"inputs":[` + a + `,{"name":"b","shape":[1,1,1],"datatype":"FP64","data":[1]}]}`, "input b: its shape is [1 1 1]"},
		{`{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP64","data":[1,2,3]}]}`, "the model has 2 columns"},
		{`{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP64","data":[1,2,3]}]}`, "takes 4 numbers and data has 3"},
		{`{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP64","data":[[1,2,3],[4]]}]}`, "not nested as shape"},
		{`{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP64","data":[1,[2],3,4]}]}`, "not nested as shape"},
		{`{"inputs":[{"name":"x","shape":[1,-2],"datatype":"FP64","data":[1]}]}`, "negative"},
		{`{"inputs":[{"name":"x","shape":[1.5],"datatype":"FP64","data":[1]}]}`, "shape: 1.5"},
		{`{"inputs":[{"name":"x","datatype":"FP64","data":[1]}]}`, "shape is missing"},
		{`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64"}]}`, "data is missing"},
		{`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":["a",1]}]}`, `\"a\" is no number`},
		{`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":{}}]}`, "expected a list"},
		{`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[{},1]}]}`, "no number"},
		{`{"inputs":[{"name":"x","shape":[1,2],"datatype":"INT32","data":[1.5,1]}]}`, "no list of whole numbers"},
		{`{"inputs":[{"name":"x","shape":[1,2],"datatype":"INT32","data":[true,1]}]}`, "no list of whole numbers"},
		{`{"inputs":[{"name":"x","shape":[1,2],"datatype":"UINT8","data":[256,1]}]}`, "UINT8 does not hold"},
		{`{"inputs":[{"name":"x","shape":[1,2],"datatype":"INT16","data":[1,-32769]}]}`, "INT16 does not hold"},
		{`{"inputs":[{"name":"x","shape":[1,2],"datatype":"BOOL","data":[2,1]}]}`, "BOOL does not hold"},
		{`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1e39,1]}]}`, "FP32 does not hold"},
		{`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP65","data":[1,1]}]}`, "datatype"},
		{`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[null,1]}]}`, "column a is missing in row 0"},
		{`{"inputs":[` + a + `,` + b + `],"outputs":[{"name":"q"}]}`, "output q"},
		{`{"inputs":[` + a + `,` + b + `],"outputs":[{"name":"y"},{"name":"y"}]}`, "asked for twice"},
		{`{"inputs":[` + a + `,` + b + `],"outputs":[{"name":"y","parameters":{"classification":2}}]}`, "classification"},
		{`{"inputs":[` + a + `,` + b + `],"parameters":{"timeout":"x"}}`, "timeout"},
		{`{"inputs":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "nested deeper"},
	} {
		got := r.post("/v2/models/m/infer", tt.body)
		if tt.body == `` {
			got = r.post("/v2/models/m/infer", " ")
		}
		r.wantOIPError(got, 400, strings.ReplaceAll(tt.part, `\"`, `"`))
	}
}
