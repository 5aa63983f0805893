package modelruntime_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/alloctest"
	"github.com/freshet-ml/freshet/modelruntime"
)

const (
	linear = `{"format": "freshet.linear/1", "link": "identity", "features": [{"name": "a", "missing": 1}, {"name": "b", "missing": 2}],
 "coefficients": [[10, 100]], "intercept": [0]}`
	positional = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\nfeature_names=Column_0 Column_1\n\n" +
		"Tree=0\nnum_leaves=2\nsplit_feature=1\nthreshold=5\ndecision_type=8\nleft_child=-1\nright_child=-2\nleaf_value=1 2\n\nend of trees\n"
	flavors = "flavors:\n  python_function:\n    data: other.bin\n    loader_module: mlflow.lightgbm\n  lightgbm:\n    data: model.bin\n"
)

func withSignature(inputs string) string {
	return flavors + "signature:\n  inputs: '" + inputs + "'\n  params: null\n"
}

// artifact is an MLflow directory.
func artifact(mlmodel, model string) fstest.MapFS {
	return fstest.MapFS{"MLmodel": {Data: []byte(mlmodel)}, "model.bin": {Data: []byte(model)}}
}

func TestSignature(t *testing.T) {
	t.Parallel()
	tests := []struct {
		what, mlmodel, model string
		want                 []modelruntime.Column
	}{
		{"none", flavors, linear, []modelruntime.Column{{Name: "a"}, {Name: "b"}}},
		{"null", flavors + "signature: null\n", linear, []modelruntime.Column{{Name: "a"}, {Name: "b"}}},
		{"predict_fn null", strings.Replace(flavors, "loader_module: mlflow.lightgbm", "predict_fn: null", 1), linear, []modelruntime.Column{{Name: "a"}, {Name: "b"}}},
		{"predict_fn", strings.Replace(flavors, "loader_module: mlflow.lightgbm", "predict_fn: predict_proba", 1), linear, []modelruntime.Column{{Name: "a"}, {Name: "b"}}},
		{"null inputs", flavors + "signature:\n  inputs: null\n", linear, []modelruntime.Column{{Name: "a"}, {Name: "b"}}},
		{
			"the order is the model's", withSignature(`[{"name":"b","type":"long","required":false},{"name":"a","type":"double"}]`), linear,
			[]modelruntime.Column{{Name: "a", Type: "double", Required: true}, {Name: "b", Type: "long"}},
		},
		{
			"names for columns without", withSignature(`[{"name":"x","type":"double","required":false},{"name":"y","type":"float","required":true}]`), positional,
			[]modelruntime.Column{{Name: "x", Type: "double"}, {Name: "y", Type: "float", Required: true}},
		},
		{
			"no names", withSignature(`[{"type":"double","required":false},{"type":"boolean"}]`), linear,
			[]modelruntime.Column{{Name: "a", Type: "double"}, {Name: "b", Type: "boolean", Required: true}},
		},
		{
			"matrix", withSignature(`[{"type":"tensor","tensor-spec":{"dtype":"float64","shape":[-1,2]}}]`), positional,
			[]modelruntime.Column{{Name: "Column_0"}, {Name: "Column_1"}},
		},
		{
			"named matrix", withSignature(`[{"type":"tensor","name":"x","tensor-spec":{"dtype":"float32","shape":[-1,2]}}]`), positional,
			[]modelruntime.Column{{Name: "Column_0", Type: "float"}, {Name: "Column_1", Type: "float"}},
		},
		{
			"several tensors", withSignature(`[{"type":"tensor","name":"b","tensor-spec":{"dtype":"int64","shape":[-1]}},` +
				`{"type":"tensor","name":"a","tensor-spec":{"dtype":"float64","shape":[-1,1]}}]`), linear,
			[]modelruntime.Column{{Name: "a"}, {Name: "b", Type: "long"}},
		},
	}
	for _, test := range tests {
		m, err := modelruntime.Open(artifact(test.mlmodel, test.model), runtimes)
		if err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		if got := m.Signature().Inputs; !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, expected %v", test.what, got, test.want)
		}
	}
}

// TestRequired: the signature decides what may be missing. It counts allocations, so it is not parallel.
func TestRequired(t *testing.T) {
	m, err := modelruntime.Open(artifact(withSignature(`[{"name":"a","type":"double"},{"name":"b","type":"double","required":false}]`), linear), runtimes)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, 2)
	if err := m.Predict(context.Background(), []float64{3, math.NaN(), 4, 5}, out); err != nil || out[0] != 230 || out[1] != 540 {
		t.Errorf("%v, %v", out, err)
	}
	err = m.Predict(context.Background(), []float64{1, 1, math.NaN(), 1}, out)
	if freshet.CodeOf(err) != freshet.InvalidArgument || freshet.FieldOf(err) != "a" || !strings.Contains(err.Error(), "row 1") {
		t.Errorf("%v (field %q): expected %s about row 1, column a", err, freshet.FieldOf(err), freshet.InvalidArgument)
	}
	if err := m.Predict(context.Background(), []float64{1, 1, 1}, out); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Errorf("half a row: %v", err)
	}
	inputs := []float64{3, 4, 4, 5}
	if allocs := alloctest.PerRun(100, func() { _ = m.Predict(context.Background(), inputs, out) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestMLflowRefused(t *testing.T) {
	t.Parallel()
	signature := func(s string) string { return withSignature(s) }
	tests := []struct {
		what, mlmodel string
		code          freshet.Code
		mentions      string
	}{
		{"a list", "- flavors\n", freshet.InvalidArgument, "mapping"},
		{"two documents", flavors + "---\n" + flavors, freshet.InvalidArgument, "document"},
		{"too big", flavors + "x: '" + strings.Repeat("y", 1<<20) + "'\n", freshet.TooLarge, "MLmodel"},
		{"flavors no mapping", "flavors: [lightgbm]\n", freshet.InvalidArgument, "flavors"},
		{"directory", "flavors:\n  lightgbm:\n    data: .\n", freshet.InvalidArgument, "regular"},
		{"absolute", "flavors:\n  lightgbm:\n    data: /etc/passwd\n", freshet.InvalidArgument, "outside"},
		{"above", "flavors:\n  lightgbm:\n    data: sub/../../model.bin\n", freshet.InvalidArgument, "outside"},
		{"hidden", "flavors:\n  lightgbm:\n    data: .model.bin\n", freshet.InvalidArgument, "hidden"},
		{"not there", "flavors:\n  lightgbm:\n    data: gone.bin\n", freshet.InvalidArgument, "gone.bin"},
		{"alias", "flavors: *x\n", freshet.InvalidArgument, ""},
		{"pyfunc with data", "flavors:\n  python_function:\n    data: model.bin\n", freshet.Unsupported, "python_function"},
		{"another function", strings.Replace(flavors, "loader_module: mlflow.lightgbm", "predict_fn: decision_function", 1), freshet.Unsupported, "decision_function"},
		{"unknown flavor", "flavors:\n  spark:\n    model_data: model.bin\n", freshet.Unsupported, "spark"},
		{"signature no text", flavors + "signature:\n  inputs: [1]\n", freshet.InvalidArgument, "signature"},
		{"text column", signature(`[{"name":"a","type":"string"},{"name":"b","type":"double"}]`), freshet.Unsupported, "string"},
		{"tensor column", signature(`[{"name":"a","type":"tensor","tensor-spec":{"shape":[-1]}},{"name":"b","type":"double"}]`), freshet.Unsupported, "tensor"},
		{"object type", signature(`[{"name":"a","type":{"x":1}},{"name":"b","type":"double"}]`), freshet.InvalidArgument, "type"},
		{"wide tensor", signature(`[{"type":"tensor","tensor-spec":{"shape":[-1,2000000000]}}]`), freshet.Unsupported, "tensor"},
		{"other width", signature(`[{"type":"tensor","tensor-spec":{"shape":[-1,3]}}]`), freshet.InvalidArgument, "3 columns"},
		{"other names", signature(`[{"name":"a","type":"double"},{"name":"c","type":"double"}]`), freshet.InvalidArgument, "[c]"},
	}
	for _, test := range tests {
		_, err := modelruntime.Open(artifact(test.mlmodel, linear), runtimes)
		if freshet.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.mentions) {
			t.Errorf("%s: %v (code %s), expected %s and the words %q", test.what, err, freshet.CodeOf(err), test.code, test.mentions)
		}
	}
}

// TestYAMLBombs: what nests or multiplies ends at once, in an error.
func TestYAMLBombs(t *testing.T) {
	t.Parallel()
	for what, text := range map[string]string{
		"brackets":     "x: " + strings.Repeat("[", 20_000),
		"braces":       "x: " + strings.Repeat("{a: ", 20_000),
		"dashes":       strings.Repeat("- ", 60_000) + "x",
		"marks":        strings.Repeat("? ", 60_000) + "x",
		"tags":         "x: " + strings.Repeat("!a ", 60_000) + "x",
		"anchors":      "x: " + strings.Repeat("&a ", 60_000) + "x",
		"colons":       strings.Repeat("a: ", 60_000),
		"stairs":       stairs(700),
		"dash stairs":  strings.ReplaceAll(stairs(700), "a:", "-"),
		"quotes":       "x: " + strings.Repeat(`"`, 100_001),
		"aliases":      "x: &x 1\ny: [" + strings.Repeat("*x, ", 40_000) + "]",
		"lines":        strings.Repeat("a\n", 80_000),
		"many pairs":   manyPairs(10_000),
		"pairs":        manyPairs(4_000),
		"bracket pile": strings.Repeat("]", 100_000),
	} {
		t.Run(what, func(t *testing.T) {
			begin := time.Now()
			_, err := modelruntime.Open(artifact(text, linear), runtimes)
			if code := freshet.CodeOf(err); code != freshet.InvalidArgument && code != freshet.TooLarge {
				t.Errorf("%v", err)
			}
			t.Logf("%s: %.100v", time.Since(begin), err)
		})
	}
}

func stairs(depth int) string {
	var b strings.Builder
	for i := range depth {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func manyPairs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

// FuzzMLmodel: no bytes may panic.
func FuzzMLmodel(f *testing.F) {
	f.Add([]byte(withSignature(`[{"name":"b","type":"long","required":false},{"name":"a","type":"double"}]`)))
	text, err := os.ReadFile("testdata/MLmodel")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := modelruntime.Open(artifact(string(text), linear), runtimes)
		if err == nil && len(m.Signature().Inputs) != 2 {
			t.Fatalf("%v", m.Signature())
		}
	})
}
