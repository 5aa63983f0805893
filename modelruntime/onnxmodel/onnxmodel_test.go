package onnxmodel_test

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
	"github.com/freshet-ml/freshet/modelruntime/onnxmodel"
)

const (
	kindFloat  = 1
	kindInt64  = 7
	kindString = 8
)

func open(file []byte) (modelruntime.Model, error) {
	return onnxmodel.ONNX{}.Open(fstest.MapFS{"m": {Data: file}}, "m")
}

// network is x·W + b, relu, and the softmax of three classes.
func network() []byte {
	return modelFile(
		input("x", kindFloat, -1, 2), output("p", kindFloat, -1, 3),
		weights(floatTensor("w", []int64{2, 3}, 1, -1, 0.5, 2, 0, -0.5)), weights(floatTensor("b", []int64{3}, 0.1, 0.2, 0.3)),
		node("", "MatMul", list{"x", "w"}, list{"h"}), node("", "Add", list{"h", "b"}, list{"z"}),
		node("", "Relu", list{"z"}, list{"r"}), node("", "Softmax", list{"r"}, list{"p"}),
	)
}

// trees is a classifier of two classes by two trees: labels and probabilities.
func trees() []byte {
	return modelFile(input("x", kindFloat, -1, 2), output("label", kindInt64, -1), output("p", kindFloat, -1, 2), treeNode())
}

func treeNode(more ...message) message {
	return node("ai.onnx.ml", "TreeEnsembleClassifier", list{"x"}, list{"label", "p"}, append([]message{
		attrInts("nodes_treeids", 0, 0, 0, 1, 1, 1), attrInts("nodes_nodeids", 0, 1, 2, 0, 1, 2),
		attrInts("nodes_featureids", 0, 0, 0, 1, 0, 0), attrFloats("nodes_values", 0.5, 0, 0, -1, 0, 0),
		attrTexts("nodes_modes", "BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_GTE", "LEAF", "LEAF"),
		attrInts("nodes_truenodeids", 1, 0, 0, 1, 0, 0), attrInts("nodes_falsenodeids", 2, 0, 0, 2, 0, 0),
		attrInts("nodes_missing_value_tracks_true", 1, 0, 0, 0, 0, 0),
		attrInts("class_treeids", 0, 0, 1, 1), attrInts("class_nodeids", 1, 2, 1, 2), attrInts("class_ids", 0, 0, 0, 0),
		attrFloats("class_weights", -1, 2, 0.25, -0.5), attrInts("classlabels_int64s", 0, 1), attrText("post_transform", "LOGISTIC"),
	}, more...)...)
}

func TestConformance(t *testing.T) {
	modelruntimetest.Run(t, onnxmodel.ONNX{}, []modelruntimetest.Example{
		{Name: "network", File: network(), Inputs: []string{"x_0", "x_1"}, Outputs: []string{"p_0", "p_1", "p_2"}},
		{Name: "trees", File: trees(), Inputs: []string{"x_0", "x_1"}, Outputs: []string{"p_1", "p_0"}},
	})
}

var nan = math.NaN()

func answer(t *testing.T, file []byte, inputs ...float64) []float64 {
	t.Helper()
	m, err := open(file)
	if err != nil {
		t.Fatal(err)
	}
	outputs := make([]float64, len(inputs)/len(m.Signature().Inputs)*len(m.Signature().Outputs))
	if err := m.Predict(context.Background(), inputs, outputs); err != nil {
		t.Fatal(err)
	}
	return outputs
}

func expect(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %v, expected %v", what, got, want)
		return
	}
	for i := range got {
		if !modelruntimetest.Close(got[i], want[i], 1e-6) {
			t.Errorf("%s: %v, expected %v", what, got, want)
			return
		}
	}
}

func TestTrees(t *testing.T) {
	t.Parallel()
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	tests := []struct {
		what string
		x    []float64
		want float64
	}{
		{"left, right", []float64{0, -2}, -1 - 0.5},
		{"equal to the thresholds", []float64{0.5, -1}, -1 + 0.25},
		{"float64 that rounds to the threshold", []float64{0.5 + 1e-12, -1 - 1e-12}, -1 + 0.25},
		{"just above", []float64{0.5000001, -1.0000001}, 2 - 0.5},
		{"missing: the first tracks true", []float64{nan, nan}, -1 - 0.5},
		{"infinite", []float64{math.Inf(1), math.Inf(-1)}, 2 - 0.5},
	}
	for _, test := range tests {
		expect(t, test.what, answer(t, trees(), test.x...), []float64{sigmoid(test.want), sigmoid(-test.want)})
	}
}

// TestOperators runs one node on x of shape [1, 2], [3, −2] and, where the operator gets one, [0.5, 4].
func TestOperators(t *testing.T) {
	t.Parallel()
	one := func(op string, attributes ...message) message {
		return node("", op, list{"x"}, list{"y"}, attributes...)
	}
	ml := func(op string, attributes ...message) message {
		return node("ai.onnx.ml", op, list{"x"}, list{"y"}, attributes...)
	}
	two := func(op string, attributes ...message) message {
		return node("", op, list{"x", "c"}, list{"y"}, attributes...)
	}
	given := func(op string, values ...int64) message {
		return append(weights(intTensor("i", values...)), node("", op, list{"x", "i"}, list{"y"})...)
	}
	tests := []struct {
		node message
		want []float64
	}{
		{one("Abs"), []float64{3, 2}},
		{one("LeakyRelu", attrFloat("alpha", 0.5)), []float64{3, -1}},
		{one("Elu"), []float64{3, math.Expm1(-2)}},
		{one("Sign"), []float64{1, -1}},
		{two("Sub"), []float64{2.5, -6}},
		{two("Max"), []float64{3, 4}},
		{two("Mean"), []float64{1.75, 1}},
		{two("Concat", attrInt("axis", 1)), []float64{3, -2, 0.5, 4}},
		{two("Gemm", attrInt("transB", 1), attrFloat("alpha", 2)), []float64{2 * (1.5 - 8)}},
		{two("MatMul"), nil},
		{one("ReduceMean", attrInts("axes", 1)), []float64{0.5}},
		{one("ReduceL2"), []float64{math.Sqrt(13)}},
		{one("ReduceLogSumExp"), []float64{3 + math.Log1p(math.Exp(-5))}},
		{one("Transpose"), nil}, // its first axis is no batch
		{one("LogSoftmax"), []float64{-math.Log1p(math.Exp(-5)), -5 - math.Log1p(math.Exp(-5))}},
		{one("Flatten"), []float64{3, -2}},
		{given("Reshape", 1, -1), []float64{3, -2}},
		{given("Tile", 1, 2), []float64{3, -2, 3, -2}},
		{given("Unsqueeze", 0), []float64{3, -2}},
		{node("ai.onnx.ml", "Scaler", list{"x"}, list{"y"}, attrFloats("offset", 1, 2), attrFloats("scale", 2, 0.5)), []float64{4, -2}},
		{ml("Normalizer", attrText("norm", "L1")), []float64{0.6, -0.4}},
		{ml("Normalizer"), []float64{1, -2.0 / 3}},
		{ml("Binarizer", attrFloat("threshold", 1)), []float64{1, 0}},
		{ml("LinearRegressor", attrFloats("coefficients", 1, 2), attrFloats("intercepts", 0.5)), []float64{-0.5}},
		{ml("LabelEncoder", attrFloats("keys_floats", 3), attrFloats("values_floats", 7), attrFloat("default_float", 9)), []float64{7, 9}},
		{ml("OneHotEncoder", attrInts("cats_int64s", 3, 4)), []float64{1, 0, 0, 0}},
		{ml("Imputer", attrFloats("imputed_value_floats", 7), attrFloat("replaced_value_float", -2)), []float64{3, 7}},
		{ml("ArrayFeatureExtractor"), nil},
		{two("PRelu"), []float64{3, -8}},
		{one("Clip"), []float64{3, -2}},
		{one("LayerNormalization"), nil},
		{
			append(weights(floatTensor("l", []int64{2}, 2, 1)), node("", "LayerNormalization", list{"x", "l"}, list{"y"}, attrFloat("epsilon", 0))...),
			[]float64{2, -1},
		},
		{
			append(append(weights(intTensor("from", -1)), weights(intTensor("to", math.MinInt64))...),
				append(weights(intTensor("step", -1)), node("", "Slice", list{"x", "from", "to", "axis", "step"}, list{"y"})...)...),
			nil, // axis is not there
		},
		{
			append(append(weights(intTensor("from", -1)), weights(intTensor("to", math.MinInt64))...),
				append(append(weights(intTensor("axis", 1)), weights(intTensor("step", -1))...),
					node("", "Slice", list{"x", "from", "to", "axis", "step"}, list{"y"})...)...),
			[]float64{-2, 3},
		},
		{append(node("", "Split", list{"x"}, list{"p", "q"}, attrInt("axis", 1)), node("", "Div", list{"p", "q"}, list{"y"})...), []float64{-1.5}},
		{append(node("", "Greater", list{"x", "c"}, list{"g"}), node("", "Where", list{"g", "x", "c"}, list{"y"})...), []float64{3, 4}},
		{append(node("", "Shape", list{"x"}, list{"n"}), node("", "Reshape", list{"x", "n"}, list{"y"})...), []float64{3, -2}},
		{append(node("", "Transpose", list{"c"}, list{"t"}), node("", "MatMul", list{"x", "t"}, list{"y"})...), []float64{1.5 - 8}},
	}
	for _, test := range tests {
		file := modelFile(input("x", kindFloat, -1, 2), output("y", kindFloat), weights(floatTensor("c", []int64{1, 2}, 0.5, 4)), test.node)
		if test.want == nil {
			if _, err := open(file); err == nil {
				t.Errorf("%q was opened", test.node)
			}
			continue
		}
		expect(t, string(test.node), answer(t, file, 3, -2), test.want)
	}
}

// TestLabels: the label of a classifier is left out beside scores and given alone; a ZipMap names the scores.
func TestLabels(t *testing.T) {
	t.Parallel()
	m, err := open(modelFile(input("x", kindFloat, -1, 2), output("label", kindInt64, -1), treeNode()))
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, 2)
	if err := m.Predict(context.Background(), []float64{0, -2, 1, 0}, out); err != nil {
		t.Fatal(err)
	}
	expect(t, "labels", out, []float64{0, 1})
	m, err = open(modelFile(input("x", kindFloat, -1, 2), output("label", kindInt64, -1), output("z", kindFloat, -1, 2), treeNode(),
		node("ai.onnx.ml", "ZipMap", list{"p"}, list{"z"}, attrTexts("classlabels_strings", "no", "yes"))))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(m.Signature().Outputs, " "); got != "z_yes z_no" {
		t.Errorf("outputs %s", got)
	}
}

// TestOwnFunctions: a function of the model in place of an operator is not passed over; one that nothing calls is.
func TestOwnFunctions(t *testing.T) {
	t.Parallel()
	file := modelFile(input("x", kindFloat, -1, 2), output("y", kindFloat, -1, 2), node("", "Relu", list{"x"}, list{"y"}))
	with := func(name, domain string) []byte {
		return append(slices.Clone(file), message{}.bytes(25, message{}.text(1, name).text(10, domain))...)
	}
	for _, domain := range []string{"", "ai.onnx"} {
		if _, err := open(with("Relu", domain)); freshet.CodeOf(err) != freshet.Unsupported || !strings.Contains(err.Error(), "operator Relu of domain ai.onnx is a function") {
			t.Errorf("a function of domain %q: %v", domain, err)
		}
	}
	if _, err := open(with("Relu", "com.example")); err != nil {
		t.Errorf("a function that nothing calls: %v", err)
	}
}

// TestExternal: weights beside the model are read within the bounds of the file.
func TestExternal(t *testing.T) {
	t.Parallel()
	file := func(location, offset, length string) []byte {
		entry := func(key, value string) message { return message{}.text(1, key).text(2, value) }
		w := message{}.integer(1, 2).integer(2, 1).text(8, "w").bytes(13, entry("location", location)).bytes(13, entry("offset", offset)).
			bytes(13, entry("length", length)).integer(14, 1)
		return modelFile(input("x", kindFloat, -1, 2), output("y", kindFloat), weights(w), node("", "Mul", list{"x", "w"}, list{"y"}))
	}
	data := []byte{0, 0, 0, 0, 0, 0, 128, 63, 0, 0, 0, 64} // 0, 1, 2
	tests := []struct {
		location, offset, length string
		mentions                 string // "": it is read
	}{
		{"w.bin", "4", "8", ""},
		{"w.bin", "5", "8", "reach beyond"},
		{"w.bin", "9223372036854775807", "8", "reach beyond"},
		{"w.bin", "-4", "8", "offset"},
		{"w.bin", "0", "12", "length"},
		{"../w.bin", "0", "8", "outside"},
		{"other.bin", "0", "8", "other.bin"},
	}
	for _, test := range tests {
		dir := fstest.MapFS{"m": {Data: file(test.location, test.offset, test.length)}, "w.bin": {Data: data}}
		m, err := onnxmodel.ONNX{}.Open(dir, "m")
		if test.mentions != "" {
			if err == nil || !strings.Contains(err.Error(), test.mentions) {
				t.Errorf("%v: %v, expected the words %q", test, err, test.mentions)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", test, err)
			continue
		}
		out := make([]float64, 2)
		if err := m.Predict(context.Background(), []float64{3, 4}, out); err != nil {
			t.Error(err)
		}
		expect(t, "external", out, []float64{3, 8})
	}
}

// TestColumns: what inputs and outputs are called, and what is asked of integers.
func TestColumns(t *testing.T) {
	t.Parallel()
	m, err := open(modelFile(
		input("age", kindFloat, -1, 1), input("kind", kindInt64, -1), input("v", kindFloat, 1, 2), output("label", kindString, -1), output("y", kindFloat),
		weights(floatTensor("table", []int64{3, 1}, 10, 20, 30)),
		node("", "Gather", list{"table", "kind"}, list{"g"}), node("", "Concat", list{"age", "g", "v"}, list{"y"}, attrInt("axis", 1)),
		node("", "Identity", list{"kind"}, list{"label"}),
	))
	if err != nil {
		t.Fatal(err)
	}
	s := m.Signature()
	want := []modelruntime.Column{{Name: "age", Type: "float"}, {Name: "kind", Type: "long", Required: true}, {Name: "v_0", Type: "float"}, {Name: "v_1", Type: "float"}}
	for i, c := range s.Inputs {
		if c != want[i] {
			t.Errorf("column %d: %v, expected %v", i, c, want[i])
		}
	}
	if s.Positional || strings.Join(s.Outputs, " ") != "y_0 y_1 y_2 y_3" {
		t.Errorf("outputs %v, positional %v", s.Outputs, s.Positional)
	}
	out := make([]float64, 4)
	if err := m.Predict(context.Background(), []float64{1, 2, 3, nan}, out); err != nil {
		t.Fatal(err)
	}
	expect(t, "gathered", out, []float64{1, 30, 3, nan})
	for _, kind := range []float64{nan, 0.5, 1e300, -4, 3} {
		err := m.Predict(context.Background(), []float64{1, kind, 3, 4}, out)
		if freshet.CodeOf(err) != freshet.InvalidArgument || !strings.Contains(err.Error(), "kind") {
			t.Errorf("kind %v: %v", kind, err)
		}
	}
}

// TestRefused: the error names what is wrong.
func TestRefused(t *testing.T) {
	t.Parallel()
	graph := func(parts ...message) []byte {
		return modelFile(append([]message{input("x", kindFloat, -1, 2), output("y", kindFloat)}, parts...)...)
	}
	relu := node("", "Relu", list{"x"}, list{"y"})
	tests := []struct {
		file     []byte
		code     freshet.Code
		mentions string
	}{
		{graph(node("", "LSTM", list{"x"}, list{"y"})), freshet.Unsupported, "LSTM"},
		{graph(relu, node("com.example", "Rank", list{"x"}, list{"z"})), freshet.Unsupported, "com.example"},
		{graph(node("", "Relu", list{"x"}, list{"y"}, attrInt("mystery", 1))), freshet.Unsupported, "mystery"},
		{graph(node("", "Relu", list{"z"}, list{"y"})), freshet.InvalidArgument, `"z"`},
		{graph(node("", "Relu", list{"y"}, list{"y"})), freshet.InvalidArgument, "cycle"},
		{graph(relu, relu), freshet.InvalidArgument, "two nodes"},
		{graph(node("", "Reshape", list{"x", "x"}, list{"y"})), freshet.Unsupported, "depends on the values"},
		{graph(weights(intTensor("s", 3, 5)), node("", "Reshape", list{"x", "s"}, list{"y"})), freshet.InvalidArgument, "Reshape"},
		{graph(weights(intTensor("s", 1<<20, 1<<20, 1, 2)), node("", "Expand", list{"x", "s"}, list{"y"})), freshet.TooLarge, "Expand"},
		{graph(node("", "Cast", list{"x"}, list{"y"}, attrInt("to", 10))), freshet.Unsupported, "float16"},
		{graph(node("", "Relu", list{"x", "x"}, list{"y"})), freshet.InvalidArgument, "Relu: it has 2 inputs"},
		{graph(node("ai.onnx.ml", "Scaler", list{"x"}, list{"y"}, attrFloats("offset", 1, 2, 3), attrFloats("scale", 1))), freshet.InvalidArgument, "offset"},
		{modelFile(input("x", kindString, -1, 2), output("y", kindFloat), relu), freshet.Unsupported, "string"},
		{modelFile(input("x", kindFloat, -1, -1), output("y", kindFloat), relu), freshet.Unsupported, "[batch, number of columns]"},
		{modelFile(input("x", kindFloat, 7, 2), output("y", kindFloat), relu), freshet.Unsupported, "batch"},
		{modelFile(input("x", kindFloat, -1, 2), output("y", kindString), relu), freshet.Unsupported, "no numbers"},
		{modelFile(input("x", kindFloat, -1, 2), output("p", kindFloat), treeNode(attrFloats("base_values", 1, 2))), freshet.Unsupported, "base_values"},
		{bytes.Replace(network(), []byte("MatMul"), []byte("MatMal"), 1), freshet.Unsupported, "MatMal"},
		{bytes.Replace(trees(), []byte("BRANCH_LEQ"), []byte("BRANCH_SET"), 1), freshet.Unsupported, "BRANCH_SET"},
	}
	for _, test := range tests {
		_, err := open(test.file)
		if freshet.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.mentions) {
			t.Errorf("%v (code %s): expected %s and the words %q", err, freshet.CodeOf(err), test.code, test.mentions)
		}
	}
}
