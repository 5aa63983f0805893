package skopsmodel_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
	"github.com/freshet-ml/freshet/modelruntime/skopsmodel"
)

type dict = map[string]any

func scalar(v any) dict {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return dict{"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": string(text), "is_json": true}
}

func texts(words ...string) dict {
	content := []dict{}
	for _, w := range words {
		content = append(content, scalar(w))
	}
	return dict{"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", "type": "json", "content": content}
}

func list(loader string, content ...dict) dict {
	return dict{"__class__": "list", "__module__": "builtins", "__loader__": loader, "content": content}
}

func object(module, class string, attributes dict) dict {
	return dict{"__class__": class, "__module__": module, "__loader__": "ObjectNode",
		"content": dict{"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "content": attributes}}
}

// builder collects the arrays of a file.
type builder struct{ files map[string][]byte }

func (b *builder) array(shape string, values ...float64) dict {
	header := fmt.Sprintf("{'descr': '<f8', 'fortran_order': False, 'shape': %s, }\n", shape)
	file := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(header)))
	file = append(file, header...)
	for _, v := range values {
		file = binary.LittleEndian.AppendUint64(file, math.Float64bits(v))
	}
	name := fmt.Sprintf("%d.npy", len(b.files))
	b.files[name] = file
	return dict{"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", "type": "numpy", "file": name}
}

func (b *builder) zip(t testing.TB, root dict) []byte {
	t.Helper()
	root["protocol"] = 2
	schema, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	b.files["schema.json"] = schema
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for name, file := range b.files {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = f.Write(file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// pipeline imputes, scales, clips, and ends in a classifier or regressor.
func pipeline(t testing.TB, module, class string, edit func(last dict)) []byte {
	b := &builder{files: map[string][]byte{}}
	last := dict{"coef_": b.array("(1, 2)", 1, -2), "intercept_": b.array("(1,)", 0.5), "classes_": texts("no", "yes"),
		"n_features_in_": scalar(2)}
	if edit != nil {
		edit(last)
	}
	steps := list("ListNode",
		list("TupleNode", scalar("fill"), object("sklearn.impute._base", "SimpleImputer", dict{"statistics_": b.array("(2,)", 3, 4),
			"missing_values": dict{"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "NaN"},
			"n_features_in_": scalar(2), "feature_names_in_": texts("a", "b")})),
		list("TupleNode", scalar("standard"), object("sklearn.preprocessing._data", "StandardScaler", dict{"mean_": b.array("(2,)", 1, 2),
			"scale_": b.array("(2,)", 2, 4), "with_mean": scalar(true), "with_std": scalar(true)})),
		list("TupleNode", scalar("nothing"), scalar("passthrough")),
		list("TupleNode", scalar("last"), object(module, class, last)))
	return b.zip(t, object("sklearn.pipeline", "Pipeline", dict{"steps": steps}))
}

func classes(t testing.TB, extra dict) []byte {
	b := &builder{files: map[string][]byte{}}
	attributes := dict{"coef_": b.array("(3, 1)", 1, 0, -1), "intercept_": b.array("(3,)", 0, 1, 0), "classes_": texts("x", "y", "z"), "n_features_in_": scalar(1)}
	for k, v := range extra {
		attributes[k] = v
	}
	return b.zip(t, object("sklearn.linear_model._logistic", "LogisticRegression", attributes))
}

const linear = "sklearn.linear_model._base"

func TestConformance(t *testing.T) {
	modelruntimetest.Run(t, skopsmodel.Skops{}, []modelruntimetest.Example{
		{Name: "pipeline", File: pipeline(t, linear, "LogisticRegression", nil), Inputs: []string{"a", "b"}, Outputs: []string{"score"}},
		{Name: "classes", File: classes(t, nil), Inputs: []string{"x0"}, Required: []string{"x0"}, Outputs: []string{"class_x", "class_y", "class_z"}},
	})
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	sigmoid := func(z float64) float64 { return 1 / (1 + math.Exp(-z)) }
	total := math.E + math.E + math.Exp(-1)
	rest := sigmoid(1) + sigmoid(1) + sigmoid(-1)
	tests := []struct {
		what         string
		file         []byte
		inputs, want []float64
	}{
		{"binary", pipeline(t, linear, "LogisticRegression", nil), []float64{5, 6}, []float64{sigmoid(0.5)}},
		{"imputed", pipeline(t, linear, "LogisticRegression", nil), []float64{math.NaN(), math.NaN()}, []float64{sigmoid(0.5)}},
		{"two of many", pipeline(t, linear, "LogisticRegression", func(last dict) { last["multi_class"] = scalar("multinomial") }), []float64{5, 6}, []float64{sigmoid(1)}},
		{"regression", pipeline(t, linear, "Ridge", nil), []float64{7, 6}, []float64{1.5}},
		{"plain intercept", pipeline(t, linear, "Ridge", func(last dict) { last["intercept_"] = scalar(0.0) }), []float64{7, 6}, []float64{1}},
		{"log link", pipeline(t, "sklearn.linear_model._glm.glm", "PoissonRegressor", nil), []float64{7, 6}, []float64{math.Exp(1.5)}},
		{"softmax", classes(t, nil), []float64{1}, []float64{math.E / total, math.E / total, math.Exp(-1) / total}},
		{"one against the rest", classes(t, dict{"solver": scalar("liblinear")}), []float64{1}, []float64{sigmoid(1) / rest, sigmoid(1) / rest, sigmoid(-1) / rest}},
	}
	for _, test := range tests {
		m, err := skopsmodel.Skops{}.Open(fstest.MapFS{"m": {Data: test.file}}, "m")
		if err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		got := make([]float64, len(m.Signature().Outputs))
		err = m.Predict(context.Background(), test.inputs, got)
		if err != nil || !slices.EqualFunc(got, test.want, func(a, b float64) bool { return modelruntimetest.Close(a, b, 1e-15) }) {
			t.Errorf("%s: %v (%v), expected %v", test.what, got, err, test.want)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		what     string
		file     []byte
		code     freshet.Code
		mentions string
	}{
		{"class", pipeline(t, "sklearn.ensemble._forest", "RandomForestClassifier", nil), freshet.Unsupported, "RandomForestClassifier"},
		{"module", pipeline(t, "acme.linear_model", "Ridge", nil), freshet.Unsupported, "acme"},
		{"wrapper", pipeline(t, "lightgbm.sklearn", "LGBMClassifier", nil), freshet.Unsupported, "booster_"},
		{"hinge", pipeline(t, linear, "SGDClassifier", func(last dict) { last["loss"] = scalar("hinge") }), freshet.Unsupported, "hinge"},
		{"not fitted", pipeline(t, linear, "Ridge", func(last dict) { delete(last, "coef_") }), freshet.InvalidArgument, "coef_"},
		{"one label", pipeline(t, linear, "LogisticRegression", func(last dict) { last["classes_"] = texts("a") }), freshet.InvalidArgument, "classes_"},
		{"multi_class", classes(t, dict{"multi_class": scalar("mystery")}), freshet.Unsupported, "mystery"},
		{"labels twice", classes(t, dict{"classes_": texts("a", "a", "b")}), freshet.InvalidArgument, "twice"},
		{"a function", classes(t, dict{"coef_": dict{"__class__": "arctan", "__module__": "numpy", "__loader__": "FunctionNode"}}), freshet.Unsupported, "FunctionNode"},
	}
	for _, test := range tests {
		_, err := skopsmodel.Skops{}.Open(fstest.MapFS{"m": {Data: test.file}}, "m")
		if freshet.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.mentions) {
			t.Errorf("%s: %v (code %s), expected %s and the words %q", test.what, err, freshet.CodeOf(err), test.code, test.mentions)
		}
	}
	m, err := skopsmodel.Skops{}.Open(fstest.MapFS{"m": {Data: classes(t, nil)}}, "m")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Predict(context.Background(), []float64{math.Inf(1)}, make([]float64, 3)); freshet.FieldOf(err) != "x0" {
		t.Errorf("infinity: %v, expected a refusal that names the column", err)
	}
}

// FuzzSchema: no schema may panic, and what opens must answer.
func FuzzSchema(f *testing.F) {
	seed := &builder{files: map[string][]byte{}}
	seed.array("(1, 2)", 1, 2)
	seed.array("(1,)", 1)
	for _, class := range []string{"Ridge", "LogisticRegression"} {
		root := object(linear, class, dict{"coef_": dict{"__loader__": "NdArrayNode", "type": "numpy", "file": "0.npy"}, "intercept_": scalar(1), "classes_": texts("a", "b"), "n_features_in_": scalar(2)})
		text, _ := json.Marshal(root)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, schema []byte) {
		m, err := skopsmodel.ParseSchema(seed.files, schema)
		if err != nil {
			return
		}
		s := m.Signature()
		_ = m.Predict(context.Background(), make([]float64, len(s.Inputs)), make([]float64, len(s.Outputs)))
	})
}
