package modelregistry_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/internal/sharedtest"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/itemmodel"
	"github.com/freshet-ml/freshet/modelruntime/linearmodel"
	"github.com/freshet-ml/freshet/modelruntime/onnxmodel"
	"github.com/freshet-ml/freshet/modelruntime/treemodel"
	"github.com/freshet-ml/freshet/registry"
	"github.com/freshet-ml/freshet/registry/memregistry"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func runtimes() []modelruntime.Runtime { return []modelruntime.Runtime{linearmodel.Linear{}} }

// model is a + k·b.
func model(k string, more ...string) fstest.MapFS {
	dir := fstest.MapFS{"model.json": {Data: []byte(`{"format":"freshet.linear/1","link":"identity","features":[{"name":"a"},{"name":"b","missing":0}],` +
		`"coefficients":[[1,` + k + `]],"intercept":[0],"outputs":["score"]}`)}}
	for i := 0; i < len(more); i += 2 {
		dir[more[i]] = &fstest.MapFile{Data: []byte(more[i+1])}
	}
	return dir
}

func newModels() (*modelregistry.Models, *registry.Registry) {
	r := registry.New(memregistry.New(), nil)
	return modelregistry.New(r, runtimes()), r
}

func TestPublish(t *testing.T) {
	t.Parallel()
	m, _ := newModels()
	publish := func(dir fs.FS, p modelregistry.Publication) (registry.ModelVersion, bool, error) {
		p.Model, p.Actor = "ranker", "ada"
		return m.Publish(t.Context(), dir, p)
	}
	v, fresh, err := publish(model("2"), modelregistry.Publication{Metrics: map[string]float64{"auc": 0.9}, Reason: "first"})
	must(t, err)
	if !fresh || v.Label() != "ranker@1" || v.PublishedBy != "ada" || v.Reason != "first" || v.Metrics["auc"] != 0.9 || v.Signature.Inputs[1].Name != "b" {
		t.Errorf("the first version is %+v, fresh is %t", v, fresh)
	}
	v, fresh, err = publish(model("3"), modelregistry.Publication{})
	must(t, err)
	if !fresh || v.Number != 2 {
		t.Errorf("the second version is %+v, fresh is %t", v, fresh)
	}
	v, fresh, err = publish(model("2"), modelregistry.Publication{Metrics: map[string]float64{"auc": 0.1}})
	must(t, err)
	if fresh || v.Number != 1 || v.Metrics["auc"] != 0.9 {
		t.Errorf("the same bytes again are %+v, fresh is %t", v, fresh)
	}
	// Its metrics never change; others stand beside them, once.
	_, _, err = publish(model("2"), modelregistry.Publication{Metrics: map[string]float64{"auc": 0.1}})
	must(t, err)
	_, _, err = publish(model("2"), modelregistry.Publication{})
	must(t, err)
	state, _, err := m.Now(t.Context())
	must(t, err)
	if e := state.Model(v.Model).EvaluationsOf(1); len(e) != 1 || e[0].Metrics["auc"] != 0.1 {
		t.Errorf("what was measured after it was published is %+v; want an auc of 0.1, once", e)
	}
	artifact, err := m.Open(t.Context(), v)
	must(t, err)
	defer artifact.Close()
	digest, err := modelruntime.Digest(artifact)
	must(t, err)
	if digest != v.Digest || artifact.Version != 1 {
		t.Errorf("opened version %d with digest %s; want %s", artifact.Version, digest, v.Digest)
	}
	opened, err := modelruntime.Open(artifact, runtimes())
	must(t, err)
	out := make([]float64, 1)
	must(t, opened.Predict(t.Context(), []float64{1, 10}, out))
	if out[0] != 21 {
		t.Errorf("version 1 answers %v; want 21", out)
	}
}

// TestDamaged: what the error of a damaged artifact advises, to put it again, mends it.
func TestDamaged(t *testing.T) {
	t.Parallel()
	d := memregistry.New()
	m := modelregistry.New(registry.New(d, nil), runtimes())
	p := modelregistry.Publication{Model: "ranker", Actor: "ada"}
	v, _, err := m.Publish(t.Context(), model("2"), p)
	must(t, err)
	must(t, d.Put(t.Context(), v.Digest, strings.NewReader("damaged")))
	if _, err := m.Open(t.Context(), v); err == nil || !strings.Contains(err.Error(), "put the same artifact again") {
		t.Errorf("the damaged artifact: %v", err)
	}
	_, _, err = m.Publish(t.Context(), model("2"), p)
	must(t, err)
	artifact, err := m.Open(t.Context(), v)
	must(t, err)
	must(t, artifact.Close())
}

// TestPinned expects that a version of an MLflow registry whose bytes changed is refused.
func TestPinned(t *testing.T) {
	t.Parallel()
	m, _ := newModels()
	p := modelregistry.Publication{Model: "ranker", Actor: "ada", Lineage: registry.Lineage{Source: "models:/ranker/7", Tracking: "http://mlflow"}}
	_, _, err := m.Publish(t.Context(), model("2"), p)
	must(t, err)
	if _, fresh, err := m.Publish(t.Context(), model("2"), p); fresh || err != nil {
		t.Errorf("the same bytes of the same version: fresh is %t, %v", fresh, err)
	}
	_, _, err = m.Publish(t.Context(), model("3"), p)
	if freshet.CodeOf(err) != freshet.Conflict || !strings.Contains(err.Error(), "ranker@1") {
		t.Errorf("other bytes of the same version: %v", err)
	}
	p.Lineage.Source = "models:/ranker/8"
	if v, fresh, err := m.Publish(t.Context(), model("3"), p); !fresh || err != nil || v.Number != 2 {
		t.Errorf("another version: %+v, %v", v, err)
	}
}

func TestPublishAtOnce(t *testing.T) {
	t.Parallel()
	m, r := newModels()
	other := modelregistry.New(r, runtimes()) // as another process
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			models := []*modelregistry.Models{m, other}[i%2]
			if _, _, err := models.Publish(t.Context(), model(string(rune('0'+i%6))), modelregistry.Publication{Model: "ranker", Actor: "ada"}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	state, _, err := m.Now(t.Context())
	must(t, err)
	if n := len(state.Model("ranker").Versions); n != 6 {
		t.Errorf("there are %d versions; want 6", n)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, file, text string
		code             freshet.Code
		want             string // of the report, or of the error
	}{
		{"none", "README", "", "", "brings no golden rows"},
		{"agree", "golden.json", `{"columns":["b","a"],"inputs":[[10,1],[null,2]],"outputs":[21,[2]],"tolerance":1e-9}`, "", "2 golden rows of golden.json agree"},
		{"model's order", "golden.json", `{"inputs":[[1,10]],"outputs":[21.0000001]}`, "", "1 golden rows"},
		{"differ", "golden.json", `{"inputs":[[1,10],[1,11]],"outputs":[21,24]}`, freshet.Unprocessable, "row 1: the model answers 23 where 24 is expected"},
		{"no answers", "golden.json", `{"inputs":[[1,10]]}`, "", "1 rows of golden.json run"},
		{"too few answers", "golden.json", `{"inputs":[[1,10]],"outputs":[1,2]}`, freshet.InvalidArgument, "2 outputs for 1 inputs"},
		{"too many columns", "golden.json", `{"columns":["a","b","c"],"inputs":[[1,10,1]]}`, freshet.InvalidArgument, `"c"`},
		{"too few columns", "golden.json", `{"columns":["a"],"inputs":[[1]]}`, freshet.InvalidArgument, `no value for column "b"`},
		{"text", "golden.json", `{"inputs":[["x",1]]}`, freshet.InvalidArgument, "holds no number"},
		{"label", "golden.json", `{"inputs":[[1,1]],"outputs":["yes"]}`, freshet.InvalidArgument, "not the label"},
		{"label for a score", "golden.json", `{"inputs":[[1,-0.04]],"outputs":[1]}`, freshet.Unprocessable, "not the label; if it is none, the file"},
		{"label for scores", "golden.json", `{"inputs":[[1,1]],"outputs":[[]]}`, freshet.InvalidArgument, "0 outputs; the model gives 1"},
		{"other column", "golden.json", `{"columns":["a","c"],"inputs":[[1,10]]}`, freshet.InvalidArgument, `"c"`},
		{"column twice", "golden.json", `{"columns":["a","a"],"inputs":[[1,10]]}`, freshet.InvalidArgument, `"a"`},
		{"short row", "golden.json", `{"inputs":[[1]]}`, freshet.InvalidArgument, "row 0: it has no value for column"},
		{"long row", "golden.json", `{"inputs":[[1,2,3]]}`, freshet.InvalidArgument, "row 0: it has more values"},
		{"no rows", "golden.json", `{"inputs":[]}`, freshet.InvalidArgument, "0 rows"},
		{"no JSON", "golden.json", `{`, freshet.InvalidArgument, "golden.json: it cannot be read"},
		{"a row that the model refuses", "golden.json", `{"inputs":[[null,1]]}`, freshet.InvalidArgument, "does not answer its own rows"},
		{"data frame", "input_example.json", `{"columns":["b","a"],"data":[[NaN,1],[-Infinity,2.5]]}`, "", "2 rows of input_example.json run"},
		{"serving data frame", "serving_input_example.json", `{"dataframe_split":{"columns":["b","a"],"data":[[true,1]]}}`, "", "1 rows of serving"},
		{"array", "input_example.json", `[[1,2],[3,4]]`, "", "2 rows of input"},
		{"serving array", "serving_input_example.json", `{"inputs":[[1,2]]}`, "", "1 rows"},
		{"records", "serving_input_example.json", `{"dataframe_records":[{"b":1,"a":2},{"a":2,"b":null}]}`, "", "2 rows"},
		{"by name", "serving_input_example.json", `{"inputs":{"b":[10,null],"a":[1,1]}}`, "", "2 rows"},
		{"one value by name", "input_example.json", `{"b":10,"a":1}`, "", "1 rows"},
		{"answers by name", "input_example.json", `{"inputs":{"b":[10,20],"a":[1,1]},"outputs":{"label":["x","y"],"score":[21,41]}}`, "", "2 golden rows"},
		{"other answers", "input_example.json", `{"inputs":[[1,10]],"outputs":[{"score":20}]}`, freshet.Unprocessable, "answers 21 where 20"},
		{"of another shape", "input_example.json", `[1,2,3]`, "", "not tried; input_example.json was passed over: row 0: it has no value"},
		{"no rows of the model", "serving_input_example.json", `{"messages":[{"role":"user"}]}`, "", "passed over"},
		{"no JSON example", "input_example.json", `{`, "", "passed over: it cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checked, err := modelregistry.Check(t.Context(), model("2", tt.file, tt.text), runtimes())
			got := checked.Golden.String()
			if err != nil {
				got = err.Error()
			}
			if freshet.CodeOf(err) != tt.code || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, code %q; want %q, code %q", got, freshet.CodeOf(err), tt.want, tt.code)
			}
		})
	}
}

// TestGoldenTensors expects that the rows of a tensor by its name are the columns that ONNX models have of it.
func TestGoldenTensors(t *testing.T) {
	t.Parallel()
	for names, rows := range map[string]string{"x_0,x_1": `{"inputs":{"x":[[1,10],[[2],[20]]]}}`, "u,x": `{"u":[1,2],"x":[[10],[20]]}`} {
		first, second, _ := strings.Cut(names, ",")
		dir := fstest.MapFS{"model.json": {Data: []byte(`{"format":"freshet.linear/1","link":"identity","features":[{"name":"` + first + `"},{"name":"` + second +
			`"}],"coefficients":[[1,2]],"intercept":[0],"outputs":["score"]}`)}, "input_example.json": {Data: []byte(rows)}}
		checked, err := modelregistry.Check(t.Context(), dir, runtimes())
		must(t, err)
		if checked.Golden.Rows != 2 {
			t.Errorf("%s: %s", names, checked.Golden)
		}
	}
}

// TestGoldenTexts has rows of texts and of lists of them.
func TestGoldenTexts(t *testing.T) {
	t.Parallel()
	for rows, want := range map[string]string{
		`{"columns":["item","recent"],"inputs":[["a",["b","c","new"]],["b",[]],["a",null]],"outputs":[5,null,null]}`: "3 golden rows",
		`{"columns":["item","recent"],"inputs":[["a",["b"]]],"outputs":[3]}`:                                         "answers 2 where 3",
		`{"columns":["item","recent"],"inputs":[["a","b"]]}`:                                                         "no list of texts",
		`{"columns":["item","recent"],"inputs":[[1,["b"]]]}`:                                                         "no text",
	} {
		dir := fstest.MapFS{"items.csv": {Data: []byte("item,other,weight\nb,a,2\nc,a,3\na,b,1\n")}, "golden.json": {Data: []byte(rows)}}
		checked, err := modelregistry.Check(t.Context(), dir, []modelruntime.Runtime{itemmodel.Items{}})
		got := checked.Golden.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s; want %s", rows, got, want)
		}
	}
}

// TestGoldenFixtures tries models that MLflow logged on the examples it logged with them.
func TestGoldenFixtures(t *testing.T) {
	t.Parallel()
	for name, runtime := range map[string]modelruntime.Runtime{
		"onnx-mlflow-mlp": onnxmodel.ONNX{}, "mlflow-invocations": treemodel.LightGBM{}, "xgb3-mlflow-classifier-ubj": treemodel.XGBoost{},
	} {
		dir := withoutGolden(t, sharedtest.Path(t, "fixtures/models/"+name))
		checked, err := modelregistry.Check(t.Context(), dir, []modelruntime.Runtime{runtime})
		must(t, err)
		if checked.Golden.File != "serving_input_example.json" || checked.Golden.Rows == 0 {
			t.Errorf("%s: %s", name, checked.Golden)
		}
	}
}

// withoutGolden is a folder without the file that Freshet would try first.
func withoutGolden(t *testing.T, path string) fs.FS {
	t.Helper()
	dir := fstest.MapFS{}
	must(t, fs.WalkDir(os.DirFS(path), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "golden.json" {
			return err
		}
		b, err := os.ReadFile(filepath.Join(path, name))
		dir[name] = &fstest.MapFile{Data: b}
		return err
	}))
	return dir
}

// TestPickle expects the sentence that says what to log instead.
func TestPickle(t *testing.T) {
	t.Parallel()
	dir := fstest.MapFS{
		"MLmodel":   {Data: []byte("flavors:\n  sklearn: {pickled_model: model.pkl}\n")},
		"model.pkl": {Data: []byte("\x80\x04\x95")},
	}
	_, err := modelregistry.Check(t.Context(), dir, runtimes())
	if freshet.CodeOf(err) != freshet.Unsupported || !strings.Contains(err.Error(), "skops") {
		t.Errorf("a pickle: %v", err)
	}
}

func TestAlias(t *testing.T) {
	t.Parallel()
	m, _ := newModels()
	_, _, err := m.Publish(t.Context(), model("2"), modelregistry.Publication{Model: "ranker", Actor: "ada"})
	must(t, err)
	set := func(expected registry.Revision, alias string, version int) (*registry.Model, error) {
		return m.SetAlias(t.Context(), expected, registry.AliasChange{Model: "ranker", Alias: alias, Version: version}, "ada", "why")
	}
	got, err := set(0, "champion", 1)
	must(t, err)
	if got.Aliases["champion"] != 1 {
		t.Errorf("aliases are %v", got.Aliases)
	}
	got, err = set(2, "champion", 1) // it points there: nothing is decided
	must(t, err)
	if len(got.History) != 1 {
		t.Errorf("history is %v", got.History)
	}
	for _, tt := range []struct {
		expected registry.Revision
		alias    string
		version  int
		code     freshet.Code
	}{
		{0, "champion", 2, freshet.NotFound},
		{0, "none", 0, freshet.NotFound},
		{1, "other", 1, freshet.PreconditionFailed},
		{0, "Champion", 1, freshet.InvalidArgument},
	} {
		if _, err := set(tt.expected, tt.alias, tt.version); freshet.CodeOf(err) != tt.code {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if _, err := m.SetAlias(context.Background(), 0, registry.AliasChange{Model: "none", Alias: "a", Version: 1}, "ada", ""); freshet.CodeOf(err) != freshet.NotFound {
		t.Errorf("alias of no model: %v", err)
	}
}

// FuzzGolden reads whatever a file of rows holds.
func FuzzGolden(f *testing.F) {
	for _, seed := range []string{`{"columns":["a","b"],"inputs":[[1,null]],"outputs":[[1]]}`, `[[1,2]]`, `{"dataframe_split":{"columns":["a"],"data":[[NaN]]}}`, `"\`,
		`{"inputs":{"a":[1],"b":[[[2]]]},"outputs":{"score":[5]}}`, `{"dataframe_records":[{"a":1,"b":null}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := model("2")
		dir["golden.json"], dir["input_example.json"] = &fstest.MapFile{Data: bytes.Clone(text)}, &fstest.MapFile{Data: bytes.Clone(text)}
		_, err := modelregistry.Check(t.Context(), dir, runtimes())
		if freshet.CodeOf(err) == freshet.Internal {
			t.Errorf("%v", err)
		}
		delete(dir, "golden.json")
		if _, err := modelregistry.Check(t.Context(), dir, runtimes()); freshet.CodeOf(err) == freshet.Internal {
			t.Errorf("as an example: %v", err)
		}
	})
}
