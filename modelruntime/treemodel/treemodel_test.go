package treemodel_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
	"github.com/freshet-ml/freshet/modelruntime/treemodel"
)

func readExample(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestConformance(t *testing.T) {
	modelruntimetest.Run(t, treemodel.LightGBM{}, []modelruntimetest.Example{
		{Name: "mixed", File: []byte(readExample(t, "mixed.lgb")), Inputs: []string{"number", "zero", "nan", "category"}, Outputs: []string{"score"}},
		{Name: "linear", File: []byte(readExample(t, "linear.lgb")), Inputs: []string{"a", "b"}, Outputs: []string{"score"}},
		{Name: "classes", File: []byte(readExample(t, "classes.lgb")), Inputs: []string{"Column_0"}, Outputs: []string{"class_0", "class_1", "class_2"}},
		{Name: "random", File: []byte(randomModel(3, 21, 15, 3, 3, allDecisions...)), Inputs: []string{"f0", "f1", "f2"}, Outputs: []string{"class_0", "class_1", "class_2"}},
	})
}

var nan, inf = math.NaN(), math.Inf(1)

// TestRules checks the evaluation rules of the format one by one: mixed.lgb has a tree for each of four features, and the
// digits of the sum say which leaves were reached.
func TestRules(t *testing.T) {
	t.Parallel()
	m := openText(t, readExample(t, "mixed.lgb"))
	tests := []struct {
		what                        string
		number, zero, nan, category float64
		wantDigits                  float64 // tree 4 adds 10000
	}{
		{what: "ordinary", number: 6, zero: 7, nan: 7, category: 2, wantDigits: 2331},
		{what: "equal to the threshold goes left", number: 5, zero: 5, nan: 5, category: 1, wantDigits: 1223},
		{what: "just above goes right", number: math.Nextafter(5, 6), zero: math.Nextafter(5, 6), nan: math.Nextafter(5, 6), category: 0, wantDigits: 1331},
		{what: "missing", number: nan, zero: nan, nan: nan, category: nan, wantDigits: 2123},
		{what: "zero is missing to one only", number: 0, zero: 0, nan: 0, category: 0, wantDigits: 1223},
		{what: "so is minus zero", number: 0, zero: math.Copysign(0, -1), nan: 0, category: math.Copysign(0, -1), wantDigits: 1223},
		{what: "and what is nearly zero", number: 1e-36, zero: -float64(float32(1e-35)), nan: 1e-36, category: 1e-36, wantDigits: 1223},
		{what: "infinite", number: inf, zero: inf, nan: inf, category: inf, wantDigits: 2331},
		{what: "minus infinite", number: -inf, zero: -inf, nan: -inf, category: -inf, wantDigits: 2212},
		{what: "category in the second word", number: 6, zero: 7, nan: 7, category: 33, wantDigits: 1331},
		{what: "fractions are cut off", number: 6, zero: 7, nan: 7, category: 1.9, wantDigits: 1331},
		{what: "also above minus one", number: 6, zero: 7, nan: 7, category: -0.9, wantDigits: 1331},
		{what: "unknown categories go right", number: 6, zero: 7, nan: 7, category: 500, wantDigits: 2331},
		{what: "so do negative ones", number: 6, zero: 7, nan: 7, category: -1, wantDigits: 2331},
		{what: "and those beyond an int32", number: 6, zero: 7, nan: 7, category: 1 << 32, wantDigits: 2331},
	}
	for _, test := range tests {
		var out [1]float64
		if err := m.Predict(context.Background(), []float64{test.number, test.zero, test.nan, test.category}, out[:]); err != nil {
			t.Fatal(err)
		}
		if got := out[0] - 10000; got != test.wantDigits {
			t.Errorf("%s: %v, expected %v", test.what, got, test.wantDigits)
		}
	}
}

func TestLinearTree(t *testing.T) {
	t.Parallel()
	m := openText(t, readExample(t, "linear.lgb"))
	rows := []float64{3, 4, nan, 4, 3, nan, 6, nan, -1, 1e-40}
	want := []float64{100 + 30 + 2, 1, 1, 200, 90}
	got := make([]float64, len(want))
	if err := m.Predict(context.Background(), rows, got); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("row %d: %v, expected %v", i, got[i], want[i])
		}
	}
}

// TestClasses: two iterations are averaged, then the softmax is taken.
func TestClasses(t *testing.T) {
	t.Parallel()
	m := openText(t, readExample(t, "classes.lgb"))
	if !m.Signature().Positional {
		t.Error("Column_0 was taken for a name")
	}
	got := make([]float64, 3)
	if err := m.Predict(context.Background(), []float64{6}, got); err != nil {
		t.Fatal(err)
	}
	a, b, c := math.Exp(1.5), math.Exp(1.5), math.Exp(-0.5)
	for k, e := range []float64{a, b, c} {
		if !modelruntimetest.Close(got[k], e/(a+b+c), 1e-15) {
			t.Errorf("class %d: %v, expected %v", k, got[k], e/(a+b+c))
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	tests := []struct {
		objective string
		want      float64 // of the sum −0.5
	}{
		{"", -0.5}, {"regression", -0.5}, {"regression_l1", -0.5}, {"huber", -0.5}, {"fair", -0.5}, {"quantile", -0.5}, {"mape", -0.5},
		{"lambdarank", -0.5}, {"rank_xendcg", -0.5}, {"regression sqrt", -0.25}, {"poisson", math.Exp(-0.5)}, {"gamma", math.Exp(-0.5)},
		{"tweedie", math.Exp(-0.5)}, {"binary sigmoid:2", 1 / (1 + math.E)}, {"cross_entropy", 1 / (1 + math.Exp(0.5))},
		{"cross_entropy_lambda", math.Log(1 + math.Exp(-0.5))},
	}
	for _, test := range tests {
		m := openText(t, strings.Replace(constantModel, "regression", test.objective, 1))
		got := make([]float64, 1)
		if err := m.Predict(context.Background(), []float64{0}, got); err != nil || !modelruntimetest.Close(got[0], test.want, 1e-15) {
			t.Errorf("%q: %v (%v), expected %v", test.objective, got[0], err, test.want)
		}
	}
}

const constantModel = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=0\nobjective=regression\nfeature_names=a\n\n" +
	"Tree=0\nnum_leaves=1\nleaf_value=-0.5\n\nend of trees\n"

// TestRefused edits one place of a good model: the error names what is wrong.
func TestRefused(t *testing.T) {
	t.Parallel()
	mixed, linear := readExample(t, "mixed.lgb"), readExample(t, "linear.lgb")
	tests := []struct {
		text, old, new string
		code           freshet.Code
		mentions       string
	}{
		{mixed, "version=v4", "version=v5", freshet.Unsupported, "v5"},
		{mixed, "label_index=0", "label_indices=0", freshet.Unsupported, "label_indices"},
		{mixed, "label_index=0", "version=v4", freshet.InvalidArgument, "twice"},
		{mixed, "regression", "custom", freshet.Unsupported, "custom"},
		{mixed, "regression", "regression temper:3", freshet.Unsupported, "temper"},
		{mixed, "regression", "multiclass num_class:3", freshet.InvalidArgument, "num_class"},
		{mixed, "num_class=1", "num_class=2", freshet.Unsupported, "num_tree_per_iteration"},
		{mixed, "number zero", "number number", freshet.InvalidArgument, "number"},
		{mixed, "number zero", "number z\xff", freshet.InvalidArgument, "UTF-8"},
		{mixed, "tree_sizes=400 ", "tree_sizes=", freshet.InvalidArgument, "tree_sizes"},
		{mixed, "Tree=1", "Tree=2", freshet.InvalidArgument, "Tree=2"},
		{mixed, "shrinkage=1\n", "mystery=1\n", freshet.Unsupported, "mystery"},
		{mixed, "split_gain=1 1\n", "threshold=1 1\n", freshet.InvalidArgument, "threshold"},
		{mixed, "left_child=1 -2", "left_child=1 1", freshet.InvalidArgument, "left_child"},
		{mixed, "left_child=1 -2", "left_child=1 -1", freshet.InvalidArgument, "leaf 0 twice"},
		{mixed, "right_child=-1 -3", "right_child=-1 7", freshet.InvalidArgument, "right_child"},
		{mixed, "right_child=-1 -3", "right_child=-1 -2147483648", freshet.InvalidArgument, "right_child"},
		{mixed, "right_child=-1 -3", "right_child=-1", freshet.InvalidArgument, "right_child"},
		{mixed, "leaf_value=1 2 3", "leaf_value=1 2 inf", freshet.InvalidArgument, "leaf_value[2]"},
		{mixed, "decision_type=0 0", "decision_type=12 0", freshet.Unsupported, "decision_type"},
		{mixed, "threshold=0\n", "threshold=1\n", freshet.InvalidArgument, "set"},
		{mixed, "threshold=0\n", "threshold=0.5\n", freshet.InvalidArgument, "set"},
		{mixed, "cat_boundaries=0 2", "cat_boundaries=1 2", freshet.InvalidArgument, "cat_boundaries"},
		{mixed, "cat_threshold=3 2", "cat_threshold=3 4294967296", freshet.InvalidArgument, "cat_threshold"},
		{mixed, "num_cat=1", "num_cat=2000000000", freshet.InvalidArgument, "num_cat"},
		{mixed, `[["a","b"]]`, `[[10,20]]`, freshet.Unsupported, "codes"},
		{mixed, `[["a","b"]]`, `{`, freshet.InvalidArgument, "pandas_categorical"},
		{linear, "num_features=2 0", "num_features=3 0", freshet.InvalidArgument, "num_features"},
		{linear, "leaf_features=0 1", "leaf_features=0 2", freshet.InvalidArgument, "leaf_features"},
		{linear, "leaf_coeff=10 0.5", "leaf_coeff=10", freshet.InvalidArgument, "leaf_coeff"},
	}
	for _, test := range tests {
		text := strings.Replace(test.text, test.old, test.new, 1)
		if text == test.text {
			t.Fatalf("%q is not there", test.old)
		}
		_, err := treemodel.LightGBM{}.Open(fstest.MapFS{"m": {Data: []byte(text)}}, "m")
		if freshet.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.mentions) {
			t.Errorf("%q → %q: %v (code %s), expected %s and the words %q", test.old, test.new, err, freshet.CodeOf(err), test.code, test.mentions)
		}
	}
	for _, good := range []string{`[[0,1,2]]`, `[[false,true]]`, `[]`, `null`} {
		openText(t, strings.Replace(mixed, `[["a","b"]]`, good, 1))
	}
	openText(t, strings.ReplaceAll(mixed, "\n", "\r\n"))
}

// TestAgainstPlainWalk is a property: the slots and the interleaved walk answer what the rules say when they are followed
// node by node.
func TestAgainstPlainWalk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 3))
		trees, leaves, features := 1+r.IntN(9), 2+r.IntN(20), 1+r.IntN(5)
		text := randomModel(seed, trees, leaves, features, 1, allDecisions...)
		m, err := treemodel.LightGBM{}.Open(fstest.MapFS{"m": {Data: []byte(strings.Replace(text, "binary sigmoid:1", "regression", 1))}}, "m")
		if err != nil {
			t.Fatal(err)
		}
		const rows = 70
		inputs := randomRows(seed, rows, features, 0.2)
		for i := range inputs {
			if r.IntN(8) == 0 {
				inputs[i] = 0
			}
		}
		got := make([]float64, rows)
		if err := m.Predict(context.Background(), inputs, got); err != nil {
			t.Fatal(err)
		}
		for row := range rows {
			if want := plainSum(text, inputs[row*features:(row+1)*features]); got[row] != want {
				t.Fatalf("row %d: %v, expected %v", row, got[row], want)
			}
		}
	})
}

// FuzzOpen: no bytes may panic, and what opens must answer.
func FuzzOpen(f *testing.F) {
	for _, name := range []string{"mixed.lgb", "linear.lgb", "classes.lgb"} {
		f.Add([]byte(readExample(f, name)))
	}
	f.Add([]byte(constantModel))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := treemodel.LightGBM{}.Open(fstest.MapFS{"m": {Data: text}}, "m")
		if err != nil {
			return
		}
		s := m.Signature()
		inputs, outputs := make([]float64, 5*len(s.Inputs)), make([]float64, 5*len(s.Outputs))
		for i := range inputs {
			inputs[i] = []float64{0, nan, -3, 2.5, 1e9}[i%5]
		}
		if err := m.Predict(context.Background(), inputs, outputs); err != nil {
			t.Fatal(err)
		}
	})
}
