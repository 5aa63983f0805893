package api

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/internal/ondemand"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/serving"
	"github.com/freshet-ml/freshet/internal/sharedtest"
	"github.com/freshet-ml/freshet/internal/telemetry"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/linearmodel"
	"github.com/freshet-ml/freshet/modelruntime/treemodel"
	"github.com/freshet-ml/freshet/registry"
	"github.com/freshet-ml/freshet/registry/memregistry"
)

// modelProject has nothing but models.
const modelProject = `
project: models
entities: { user: { key: user_id } }
events: { play: { keys: [user_id] } }
views: { plays: { entity: user, from: play, window: lifetime, features: { n: count() } } }
models:
`

// newModelRig is a door whose live release has the models in dirs, by name, run by the serving layer.
func newModelRig(t testing.TB, o Options, dirs map[string]string) *rig {
	t.Helper()
	dir, text := t.TempDir(), modelProject
	for name, from := range dirs {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("  %s: { path: %s }\n", name, name)
	}
	if err := os.WriteFile(filepath.Join(dir, "freshet.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := project.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	rel, err := release.Open(p, []modelruntime.Runtime{treemodel.LightGBM{}, linearmodel.Linear{}})
	if err != nil {
		t.Fatal(err)
	}
	rel.Name("r7", now)
	models := serving.New(telemetry.NewRegistry())
	if err := models.Warm(t.Context(), rel); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, live: new(release.Live), back: &behind{}, check: true}
	r.live.Store(rel)
	rel.Close() // its role holds it
	unpinned(t, r.live)
	base := newRig(t, Options{}).api.deps
	base.Live, base.Models, base.Metrics = r.live, models, telemetry.NewRegistry()
	runtimes := []modelruntime.Runtime{treemodel.LightGBM{}, linearmodel.Linear{}}
	r.models = modelregistry.New(registry.New(memregistry.New(), nil), runtimes)
	base.Versions, base.Loaded = r.models, ondemand.New(r.models, runtimes, ondemand.Options{Max: 2, Warm: models.WarmModel})
	base.Now = func() time.Time { return now.Time() }
	r.api = New(base, o)
	return r
}

// linear is a folder with a model of two columns: score = a + 10 b, with b an optional long.
func linearFolder(t testing.TB, outputs int) string {
	t.Helper()
	dir := t.TempDir()
	text := `{"format":"freshet.linear/1","link":"identity","features":[{"name":"a"},{"name":"b","missing":0}],"coefficients":[[1,10]],"intercept":[0],"outputs":["y"]}`
	if outputs == 2 {
		text = `{"format":"freshet.linear/1","link":"identity","features":[{"name":"a"},{"name":"b","missing":0}],"coefficients":[[1,10],[-1,0]],"intercept":[0,0],"outputs":["y","z"]}`
	}
	if err := os.WriteFile(filepath.Join(dir, "m.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// recorded is a request and what MLflow's own server answered.
type recorded struct {
	What, Method, Path, Body, Reply string
	ContentType                     *string `json:"content_type"`
	Status                          int
	ReplyType                       string `json:"reply_type"`
}

// stricter are the recorded requests that we answer otherwise, with the reason.
var stricter = map[string]int{
	"3.5 for a long":              400, // MLflow cuts off the fraction
	"2^40 for an integer (int32)": 400, // and what is above 32 bits
	"2^63 for a long":             400, // and 64
	"content type missing (MLflow itself fails here: AttributeError; answer 415 or 400 instead)": 415,
}

func TestMLflowAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	dir := sharedtest.Path(t, "fixtures/models/mlflow-invocations")
	text, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Requests []recorded
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Requests) < 30 {
		t.Fatalf("only %d requests", len(golden.Requests))
	}
	r := newModelRig(t, Options{}, map[string]string{"m": dir})
	for _, q := range golden.Requests {
		t.Run(q.What, func(t *testing.T) { // not parallel: the rig reports to one test
			sub := *r
			sub.t, sub.check = t, false
			sub.recorded(q)
		})
	}
}

func (r *rig) recorded(q recorded) {
	r.t.Helper()
	headers := []string{}
	if q.ContentType != nil {
		headers = []string{"Content-Type", *q.ContentType}
	} else if q.Body != "" {
		headers = []string{"Content-Type", ""}
	}
	a := r.send(q.Method, q.Path, q.Body, headers...)
	want, other := stricter[q.What]
	if !other {
		want = q.Status
	}
	if a.status != want {
		r.t.Fatalf("status %d, MLflow: %d %s\nbody %s", a.status, q.Status, q.Reply, a.body)
	}
	if other || q.Path == "/version" || q.Path == "/nope" {
		return
	}
	if got := a.header.Get("Content-Type"); got != q.ReplyType && q.Status != 405 {
		r.t.Errorf("content type %q, MLflow: %q", got, q.ReplyType)
	}
	if q.ReplyType != "application/json" || q.Reply == "\n" {
		if q.Reply == "\n" && string(a.body) != q.Reply {
			r.t.Errorf("body %q, MLflow: %q", a.body, q.Reply)
		}
		return
	}
	var theirs, ours map[string]any
	if err := json.Unmarshal([]byte(q.Reply), &theirs); err != nil { // recorded up to a length
		const begin = `{"error_code": "BAD_REQUEST", "message": `
		if !strings.HasPrefix(q.Reply, begin) || !strings.HasPrefix(string(a.body), strings.ReplaceAll(begin, " ", "")) {
			r.t.Errorf("body %s, MLflow: %s", a.body, q.Reply)
		}
		return
	}
	if err := json.Unmarshal(a.body, &ours); err != nil {
		r.t.Fatalf("%v in %s", err, a.body)
	}
	for _, key := range []string{"error_code", "sqlstate", "error_class"} {
		if theirs[key] != ours[key] {
			r.t.Errorf("%s is %v, MLflow: %v\n%s", key, ours[key], theirs[key], a.body)
		}
	}
	for key := range theirs {
		if _, ok := ours[key]; !ok && key != "stack_trace" {
			r.t.Errorf("key %s is missing: %s", key, a.body)
		}
	}
	numbers, _ := theirs["predictions"].([]any)
	for i, v := range numbers {
		if got := ours["predictions"].([]any)[i].(float64); math.Abs(got-v.(float64)) > 1e-9 {
			r.t.Errorf("prediction %d is %v, MLflow: %v", i, got, v)
		}
	}
}

func TestMLflowForms(t *testing.T) {
	t.Parallel()
	r := newModelRig(t, Options{DefaultModel: "m"}, map[string]string{"m": linearFolder(t, 1), "two": linearFolder(t, 2)})
	for _, tt := range []struct{ path, body, want string }{
		{"/invocations", `{"dataframe_split":{"data":[[1,2],[3,null]]}}`, `[21,3]`},
		{"/invocations", `{"dataframe_split":{"columns":["b","x","a"],"data":[[2,"?",1]]}}`, `[21]`},
		{"/invocations", `{"dataframe_records":[{"b":"2","a":true},{"a":1e0,"b":NaN}]}`, `[21,1]`},
		{"/invocations", `{"instances":[[1,2],[3,4]]}`, `[21,43]`},
		{"/invocations", `{"instances":[{"a":1,"b":2},{"b":null,"a":3}]}`, `[21,3]`},
		{"/invocations", `{"inputs":{"b":[2,4],"a":[1,3],"c":[{},[]]}}`, `[21,43]`},
		{"/invocations", `{"inputs":{"b":2,"a":1}}`, `[21]`},
		{"/invocations", `{"inputs":[[1,2]],"params":{"k":1}}`, `[21]`},
		{"/models/two/invocations", `{"inputs":[[1,2],[3,4]]}`, `[[21,-1],[43,-3]]`},
		{"/invocations", `{"inputs":{"a":Infinity,"b":0}}`, `[null]`},
	} {
		r.check = !strings.ContainsAny(tt.body, "NI")
		r.wantBody(r.post(tt.path, tt.body), 200, `{"predictions":`+tt.want+`}`)
	}
	r.check = true
	r.wantBody(r.post("/invocations", "a,zz,b\n1,x,2\n3,\"y,\",\n", "Content-Type", "text/csv"), 200, `{"predictions":[21,3]}`)
}

func TestMLflowRefusals(t *testing.T) {
	t.Parallel()
	r := newModelRig(t, Options{}, map[string]string{"m": linearFolder(t, 1), "two": linearFolder(t, 2)})
	for _, tt := range []struct {
		path, body string
		status     int
		parts      []string
	}{
		{"/invocations", `{"inputs":[[1,2]]}`, 404, []string{"RESOURCE_DOES_NOT_EXIST", "2 models"}},
		{"/models/zz/invocations", `{"inputs":[[1,2]]}`, 404, []string{"RESOURCE_DOES_NOT_EXIST", "zz"}},
		{"/models/m/invocations", `{"inputs":{"b":[1]}}`, 400, []string{"INVALID_PARAMETER_VALUE", "Model is missing inputs ['a']"}},
		{"/models/m/invocations", `{"inputs":{"a":null,"b":1}}`, 400, []string{"INVALID_PARAMETER_VALUE", "SCHEMA_ENFORCEMENT_FAILED", "column a is missing in row 0"}},
		{"/models/m/invocations", `{"dataframe_split":{"columns":["a","b","a"],"data":[]}}`, 400, []string{"BAD_REQUEST", `\"a\" stands there twice`}},
		{"/models/m/invocations", `{"dataframe_split":{"columns":["a"],"rows":[]}}`, 400, []string{"unknown key", "rows"}},
		{"/models/m/invocations", `{"dataframe_split":{"columns":["a","b"]}}`, 400, []string{"dataframe_split.data: missing"}},
		{"/models/m/invocations", `{"dataframe_split":[]}`, 400, []string{"dataframe_split"}},
		{"/models/m/invocations", `{"dataframe_records":{"a":1}}`, 400, []string{"dataframe_records: expected a list"}},
		{"/models/m/invocations", `{"dataframe_records":[[1]]}`, 400, []string{"expected each row to be an object"}},
		{"/models/m/invocations", `{"instances":[{"a":1,"b":2},{"a":1}]}`, 400, []string{"the rows have 2 and 1 columns"}},
		{"/models/m/invocations", `{"instances":[[1,null]]}`, 400, []string{"column b is null"}},
		{"/models/m/invocations", `{"instances":[[1,2,3]]}`, 400, []string{"2 columns passed, passed data had 3"}},
		{"/models/m/invocations", `{"instances":[]}`, 400, []string{"no rows"}},
		{"/models/m/invocations", `{"instances":3}`, 400, []string{"instances"}},
		{"/models/m/invocations", `{"inputs":{"a":[1,2],"b":[1]}}`, 400, []string{"column b has 1 values and another has 2"}},
		{"/models/m/invocations", `{"inputs":{"a":[[1]],"b":[1]}}`, 400, []string{"column a", "expected a number"}},
		{"/models/m/invocations", `{"inputs":{"a":"0x1p3","b":1}}`, 400, []string{"column a", "0x1p3"}},
		{"/models/m/invocations", `{"inputs":"x"}`, 400, []string{"inputs"}},
		{"/models/m/invocations", `{"messages":[]}`, 400, []string{"language models"}},
		{"/models/m/invocations", `{"inputs":[[1,2]],"inputs":[[1,2]]}`, 400, []string{"no JSON"}},
		{"/models/m/invocations", `{"inputs":[[1,2]]} {}`, 400, []string{"something follows"}},
		{"/models/m/invocations", "\xff", 400, []string{"no JSON"}},
		{"/models/m/invocations", `{"inputs":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, 400, []string{"nested deeper"}},
	} {
		a := r.post(tt.path, tt.body)
		if a.status != tt.status {
			t.Errorf("%.100s: status %d, expected %d: %s", tt.body, a.status, tt.status, a.body)
		}
		for _, part := range tt.parts {
			if !strings.Contains(string(a.body), part) {
				t.Errorf("%.100s: %q is not in %s", tt.body, part, a.body)
			}
		}
	}
	for text, part := range map[string]string{"a,b\n1\n": "line 2", "a\n1\n": "column 'b' is missing", "b\n1\n": "Model is missing inputs ['a']", "a,b\n": "no rows", "a,b\n1,x\n": "column b"} {
		if a := r.post("/models/m/invocations", text, "Content-Type", "text/csv"); a.status != 400 || !strings.Contains(string(a.body), part) {
			t.Errorf("%q: %q is not in %d %s", text, part, a.status, a.body)
		}
	}
}
