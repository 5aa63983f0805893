package treemodel_test

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
	"github.com/freshet-ml/freshet/modelruntime/treemodel"
)

const linearBooster = `{"version": [3, 2, 0], "learner": {"attributes": {}, "feature_names": ["a", "b"], "feature_types": [],
 "learner_model_param": {"base_score": "[5E-1,5E-1]", "num_class": "0", "num_feature": "2", "num_target": "2"},
 "objective": {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
 "gradient_booster": {"name": "gblinear", "model": {"weights": [1, 10, 2, 20, 0.25, 0.5], "boosted_rounds": 3}}}}`

func TestXGBoostConformance(t *testing.T) {
	classes := []string{"class_0", "class_1", "class_2"}
	codes := randomXGBoost(5, 10, 9, 3, 1, 70)
	codes.booster = "dart"
	index := randomXGBoost(6, 12, 9, 2, 3, 0)
	index.objective = "multi:softmax"
	modelruntimetest.Run(t, treemodel.XGBoost{}, []modelruntimetest.Example{
		{Name: "json", File: randomXGBoost(3, 21, 15, 3, 1, 0).json(t), Inputs: []string{"x0", "x1", "x2"}, Outputs: []string{"score"}},
		{Name: "ubjson", File: randomXGBoost(4, 21, 15, 3, 3, 0).ubjson(t), Inputs: []string{"x0", "x1", "x2"}, Outputs: classes},
		{Name: "codes", File: codes.ubjson(t), Inputs: []string{"x0", "x1", "x2"}, Outputs: []string{"score"}, Codes: []string{"x2"}},
		{Name: "index", File: index.json(t), Inputs: []string{"x0", "x1"}, Outputs: []string{"score"}},
		{Name: "linear", File: []byte(linearBooster), Inputs: []string{"a", "b"}, Outputs: []string{"target_0", "target_1"}},
	})
}

// TestXGBoostAgainstPlainWalk is a property: slots, thresholds and interleaved sums answer what the rules say when they are
// followed node by node, bit for bit, from JSON and from UBJSON.
func TestXGBoostAgainstPlainWalk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 3))
		features, classes := 1+r.IntN(5), 1+r.IntN(3)
		m := randomXGBoost(seed, classes*(1+r.IntN(9)), 1+r.IntN(20), features, classes, 40*r.IntN(2))
		m.booster, m.base = []string{"gbtree", "dart"}[r.IntN(2)], "0E0"
		if classes == 1 {
			m.objective = "reg:squarederror"
		}
		file := appendUBJSON(nil, m.value())
		opened, err := treemodel.XGBoost{}.Open(fstest.MapFS{"m": {Data: file}}, "m")
		if err != nil {
			t.Fatal(err)
		}
		const rows = 70
		inputs := randomRows(seed, rows, features, 0.2)
		for i := range inputs {
			switch {
			case i%features == features-1: // may be a code
				inputs[i] = math.Abs(math.Trunc(inputs[i] * 20))
			case r.IntN(4) == 0: // exactly a threshold, or what only rounding makes one
				inputs[i] = float64(float32(math.Round(inputs[i]*1000)/1000)) * (1 + 1e-9*float64(r.IntN(3)-1))
			}
		}
		got := make([]float64, rows*classes)
		if err := treemodel.Margins(opened).Predict(context.Background(), inputs, got); err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			row := i / classes
			if want := m.plainMargin(inputs[row*features:(row+1)*features], i%classes); v != float64(want) {
				t.Fatalf("row %d class %d: %v, expected %v", row, i%classes, v, want)
			}
		}
	})
}

func predictOne(t *testing.T, file []byte, row ...float64) []float64 {
	t.Helper()
	m := openXGBoost(t, file)
	out := make([]float64, len(m.Signature().Outputs))
	if err := m.Predict(context.Background(), row, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestXGBoostLinks(t *testing.T) {
	t.Parallel()
	single := func(v float64) float64 { return float64(float32(v)) }
	tests := []struct {
		objective, base string
		want            float64 // of the leaf 0.5
	}{
		{"reg:squarederror", "2.5E-1", 0.75}, {"reg:linear", "2.5E-1", 0.75}, {"reg:squaredlogerror", "2.5E-1", 0.75},
		{"reg:pseudohubererror", "2.5E-1", 0.75}, {"reg:absoluteerror", "2.5E-1", 0.75}, {"reg:quantileerror", "2.5E-1", 0.75},
		{"rank:pairwise", "2.5E-1", 0.75}, {"rank:ndcg", "2.5E-1", 0.75}, {"rank:map", "2.5E-1", 0.75}, {"binary:logitraw", "[2.5E-1]", 0.75},
		{"binary:hinge", "-2.5E-1", 1}, {"binary:hinge", "-5E-1", 0}, {"binary:logistic", "5E-1", single(1 / (1 + math.Exp(-0.5)))},
		{"reg:logistic", "[5E-1]", single(1 / (1 + math.Exp(-0.5)))}, {"count:poisson", "1E0", single(math.Exp(0.5))},
		{"reg:gamma", "[1E0]", single(math.Exp(0.5))}, {"reg:tweedie", "1E0", single(math.Exp(0.5))}, {"survival:cox", "1E0", single(math.Exp(0.5))},
	}
	for _, test := range tests {
		m := leafModel(0.5)
		m.objective, m.base = test.objective, test.base
		if got := predictOne(t, m.json(t), 0); got[0] != test.want {
			t.Errorf("%s, base score %s: %v, expected %v", test.objective, test.base, got[0], test.want)
		}
	}
	m := leafModel(1, 3, 2)
	m.classes, m.objective, m.base = 3, "multi:softmax", "[0E0,-2E0,0E0]"
	if got := predictOne(t, m.json(t), 0); !slices.Equal(got, []float64{2}) {
		t.Errorf("multi:softmax: %v, expected class 2", got)
	}
	m.objective = "multi:softprob"
	total := math.E + math.E + math.Exp(2)
	for k, e := range []float64{math.E, math.E, math.Exp(2)} {
		if got := predictOne(t, m.json(t), 0); !modelruntimetest.Close(got[k], e/total, 1e-7) {
			t.Errorf("multi:softprob: %v", got)
		}
	}
	if got := predictOne(t, []byte(linearBooster), math.NaN(), 3); !slices.Equal(got, []float64{0.25 + 0.5 + 6, 0.5 + 0.5 + 60}) {
		t.Errorf("gblinear: %v", got)
	}
}

// leafModel has one tree for each leaf, and nothing else in it.
func leafModel(leaves ...float32) *xgbModel {
	m := randomXGBoost(1, len(leaves), 1, 1, 1, 0)
	for i, v := range leaves {
		m.trees[i]["split_conditions"] = []float32{v}
	}
	return m
}

// TestXGBoostBestIteration: the Python class decides, with parallel trees and without the table of rounds.
func TestXGBoostBestIteration(t *testing.T) {
	t.Parallel()
	m := leafModel(1, 10, 100, 1000)
	m.objective, m.base, m.attributes = "reg:squarederror", "0E0", tree{"best_iteration": "1"}
	with := string(m.json(t))
	without := strings.Replace(with, `"iteration_indptr":[0,1,2,3,4],`, "", 1)
	parallel := strings.Replace(without, `"num_parallel_tree":"1"`, `"num_parallel_tree":"2"`, 1)
	tests := []struct {
		file, class string
		want        float64
	}{
		{with, "xgboost.core.Booster", 1111}, {with, "xgboost.sklearn.XGBRegressor", 11}, {without, "xgboost.sklearn.XGBRegressor", 11},
		{parallel, "xgboost.sklearn.XGBRegressor", 1111},
	}
	for _, test := range tests {
		opened, err := treemodel.XGBoost{}.OpenAs(fstest.MapFS{"m": {Data: []byte(test.file)}}, "m", test.class)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float64, 1)
		if err := opened.Predict(context.Background(), []float64{0}, out); err != nil || out[0] != test.want {
			t.Errorf("%s: %v (%v), expected %v", test.class, out[0], err, test.want)
		}
	}
	for _, best := range []string{"4", "-1", "x"} {
		file := strings.Replace(with, `"best_iteration":"1"`, `"best_iteration":"`+best+`"`, 1)
		_, err := treemodel.XGBoost{}.OpenAs(fstest.MapFS{"m": {Data: []byte(file)}}, "m", "xgboost.sklearn.XGBRegressor")
		if freshet.CodeOf(err) != freshet.InvalidArgument || !strings.Contains(err.Error(), "best_iteration") {
			t.Errorf("best_iteration %s: %v, expected a refusal", best, err)
		}
	}
}

// TestNegativeCode: XGBoost refuses such rows, so do we, by the column's name.
func TestNegativeCode(t *testing.T) {
	t.Parallel()
	m := openXGBoost(t, randomXGBoost(5, 10, 9, 2, 1, 70).json(t))
	err := m.Predict(context.Background(), []float64{0, 1, 0, -1}, make([]float64, 2))
	if freshet.CodeOf(err) != freshet.InvalidArgument || freshet.FieldOf(err) != "x1" || !strings.Contains(err.Error(), "row 1") {
		t.Errorf("%v: expected a refusal that names row 1 and column x1", err)
	}
}

// TestNaNConditions: XGBoost 2.1 writes NaN, which is no JSON, as the condition of a categorical split.
func TestNaNConditions(t *testing.T) {
	t.Parallel()
	m := randomXGBoost(5, 1, 2, 1, 1, 5)
	file := string(m.json(t))
	want := predictOne(t, []byte(file), 3)[0]
	_, rest, _ := strings.Cut(file, `"split_conditions":[`)
	condition, _, _ := strings.Cut(rest, ",")
	file = strings.Replace(file, `"split_conditions":[`+condition, `"split_conditions":[NaN`, 1)
	file = strings.Replace(file, `"attributes":{}`, `"attributes":{"a\"NaN":"NaN"}`, 1)
	if got := predictOne(t, []byte(file), 3)[0]; got != want {
		t.Errorf("%v, expected %v", got, want)
	}
	numeric := strings.Replace(file, `"split_type":[1`, `"split_type":[0`, 1)
	if _, err := (treemodel.XGBoost{}).Open(fstest.MapFS{"m": {Data: []byte(numeric)}}, "m"); err == nil || !strings.Contains(err.Error(), "split_conditions of node 0 is NaN") {
		t.Errorf("a numerical split at NaN: %v", err)
	}
}

// TestDeletedNodes: pruning leaves nodes that nothing leads to.
func TestDeletedNodes(t *testing.T) {
	t.Parallel()
	file := string(leafModel(0.5).json(t))
	pruned := strings.NewReplacer(`[-1]`, `[-1,-1,-1]`, `"split_conditions":[0.5]`, `"split_conditions":[0.5,9,9]`, `"split_indices":[0]`, `"split_indices":[0,0,0]`,
		`"split_type":[0]`, `"split_type":[0,0,0]`, `"default_left":[0]`, `"default_left":[0,0,0]`, `"num_nodes":"1"`, `"num_nodes":"3"`,
		`"num_deleted":"0"`, `"num_deleted":"2"`).Replace(file)
	if got := predictOne(t, []byte(pruned), 0); got[0] != predictOne(t, []byte(file), 0)[0] {
		t.Errorf("%v: deleted nodes count", got)
	}
	lost := strings.Replace(pruned, `"num_deleted":"2"`, `"num_deleted":"1"`, 1)
	if _, err := (treemodel.XGBoost{}).Open(fstest.MapFS{"m": {Data: []byte(lost)}}, "m"); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Errorf("%v: expected %s for a node that is neither reached nor deleted", err, freshet.InvalidArgument)
	}
}

// TestXGBoostRefused edits one place of a good model: the error names what is wrong.
func TestXGBoostRefused(t *testing.T) {
	t.Parallel()
	m := randomXGBoost(5, 2, 3, 2, 1, 5)
	m.booster = "dart"
	trees := string(m.json(t))
	tests := []struct {
		text, old, new string
		code           freshet.Code
		mentions       string
	}{
		{trees, `"version":[3,2,0]`, `"version":[4,0,0]`, freshet.Unsupported, "version"},
		{trees, `"version":[3,2,0]`, `"version":[]`, freshet.InvalidArgument, "version"},
		{trees, `"version"`, `"mystery"`, freshet.Unsupported, "mystery"},
		{trees, `"feature_types"`, `"feature_kinds"`, freshet.Unsupported, "feature_kinds"},
		{trees, `"base_weights"`, `"leaf_model"`, freshet.Unsupported, "leaf_model"},
		{trees, `"num_target":"1"`, `"num_target":"1","output_scale":"2"`, freshet.Unsupported, "output_scale"},
		{trees, `"num_nodes":"5"`, `"num_nodes":"5","leaf_scale":"6"`, freshet.Unsupported, "leaf_scale"},
		{trees, `"objective":{`, `"objective":{"temperature_param":{"t":"2"},`, freshet.Unsupported, "temperature_param"},
		{trees, `"name":"dart"`, `"name":"gbtree"`, freshet.InvalidArgument, "weights of another"},
		{linearBooster, `"name": "gblinear"`, `"name": "gbtree"`, freshet.InvalidArgument, "weights of another"},
		{trees, `binary:logistic`, `survival:aft`, freshet.Unsupported, "survival:aft"},
		{trees, `binary:logistic`, `multi:softprob`, freshet.InvalidArgument, "num_class"},
		{trees, `"name":"dart"`, `"name":"forest"`, freshet.Unsupported, "forest"},
		{trees, `["x0","x1"]`, `["x0","x0"]`, freshet.InvalidArgument, "x0"},
		{trees, `["x0","x1"]`, `["x0"]`, freshet.InvalidArgument, "feature_names"},
		{trees, `["x0","x1"]`, `["x0",1]`, freshet.InvalidArgument, "feature_names: [1]"},
		{trees, `"num_feature":"2"`, `"num_feature":2`, freshet.InvalidArgument, "num_feature"},
		{trees, `"num_feature":"2"`, `"num_feature":"-2"`, freshet.InvalidArgument, "num_feature"},
		{trees, `"num_target":"1"`, `"num_target":"3"`, freshet.InvalidArgument, "num_target"},
		{trees, `"base_score":"5E-1"`, `"base_score":"[5E-1,5E-1]"`, freshet.InvalidArgument, "base_score"},
		{trees, `"base_score":"5E-1"`, `"base_score":"1E0"`, freshet.InvalidArgument, "base_score"},
		{trees, `"base_score":"5E-1"`, `"base_score":"half"`, freshet.InvalidArgument, "base_score"},
		{trees, `"weight_drop":[`, `"weight_drop":[1,`, freshet.InvalidArgument, "weight_drop"},
		{trees, `"tree_info":[0,0]`, `"tree_info":[0,1]`, freshet.InvalidArgument, "tree_info"},
		{trees, `"tree_info":[0,0]`, `"tree_info":[0]`, freshet.InvalidArgument, "tree_info"},
		{trees, `"num_trees":"2"`, `"num_trees":"3"`, freshet.InvalidArgument, "num_trees"},
		{trees, `"size_leaf_vector":"1"`, `"size_leaf_vector":"3"`, freshet.Unsupported, "leaves are vectors"},
		{trees, `"num_nodes":"5"`, `"num_nodes":"6"`, freshet.InvalidArgument, "num_nodes"},
		{trees, `"split_type":[1`, `"split_type":[2`, freshet.Unsupported, "split_type"},
		{trees, `"categories_nodes":[0`, `"categories_nodes":[4`, freshet.InvalidArgument, "categories_nodes"},
		{trees, `"categories_segments":[0`, `"categories_segments":[900`, freshet.InvalidArgument, "categories_segments"},
		{trees, `"categories":[`, `"categories":[99999999,`, freshet.InvalidArgument, "categories has the code"},
		{trees, `"left_children":[1`, `"left_children":[0`, freshet.InvalidArgument, "left_children"},
		{trees, `"left_children":[1`, `"left_children":[2147483648`, freshet.InvalidArgument, "left_children"},
		{trees, `"left_children":[1`, `"left_children":["1"`, freshet.InvalidArgument, "left_children"},
		{trees, `"left_children":[1`, `"left_children":[[1]`, freshet.InvalidArgument, "left_children"},
		{trees, `"learner":{`, `"learner":{"objective":{"name":"reg:squarederror"},`, freshet.InvalidArgument, "duplicate"},
		{trees, `"model":{`, `"model":{"cats":{"enc":[{"values":[]},{"offsets":[0,3],"values":[97,98,99]}]},`, freshet.Unsupported, `"x1"`},
		{trees, `"model":{`, `"model":{"cats":{"enc":[{"type":3,"values":[10,20]}]},`, freshet.Unsupported, `"x0"`},
		{trees, `{"learner"`, `{"version":` + strings.Repeat("[", 100) + `"learner"`, freshet.InvalidArgument, "expected"},
		{trees, `"feature_types":[]`, `"feature_types":` + strings.Repeat("[", 100), freshet.InvalidArgument, "deep"},
		{linearBooster, `[1, 10, 2`, `[1, 10`, freshet.InvalidArgument, "weights"},
		{linearBooster, `[5E-1,5E-1]`, `[5E-1,1E0]`, freshet.Unsupported, "gblinear"},
		{linearBooster, `"reg:squarederror"`, `"reg:mystery"`, freshet.Unsupported, "reg:mystery"},
	}
	for _, test := range tests {
		text := strings.Replace(test.text, test.old, test.new, 1)
		if text == test.text {
			t.Fatalf("%q is not there: %s", test.old, test.text)
		}
		_, err := treemodel.XGBoost{}.Open(fstest.MapFS{"m": {Data: []byte(text)}}, "m")
		if freshet.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.mentions) {
			t.Errorf("%q → %q: %v (code %s), expected %s and the words %q", test.old, test.new, err, freshet.CodeOf(err), test.code, test.mentions)
		}
	}
	codes := strings.Replace(trees, `"model":{`, `"model":{"cats":{"enc":[{"offsets":[],"values":[]},{"type":3,"values":[0,1,2]}],"feature_segments":[],"sorted_idx":[]},`, 1)
	openXGBoost(t, []byte(codes))
	openXGBoost(t, append([]byte("\ufeff"), trees...))
}

// TestUBJSON: forms that XGBoost does not write but the format allows, and lies about lengths.
func TestUBJSON(t *testing.T) {
	t.Parallel()
	good := leafModel(0.5).ubjson(t)
	leaf := []byte("[$d#L\x00\x00\x00\x00\x00\x00\x00\x01\x3f\x00\x00\x00")
	for _, other := range []string{"[D\x3f\xe0\x00\x00\x00\x00\x00\x00]", "[#i\x01d\x3f\x00\x00\x00", "[NNd\x3f\x00\x00\x00]", "[$D#U\x01\x3f\xe0\x00\x00\x00\x00\x00\x00"} {
		if got := predictOne(t, bytes.ReplaceAll(good, leaf, []byte(other)), 0); got[0] != predictOne(t, good, 0)[0] {
			t.Errorf("%q: %v", other, got)
		}
	}
	for _, bad := range []string{"[$d#L\x10\x00\x00\x00\x00\x00\x00\x00", "[$d#i\xff", "[$Z#L\x00\x00\x00\x10\x00\x00\x00\x00", "[$d\x3f", "[$[#i\x01]", "[H", "[S", "d", "["} {
		_, err := treemodel.XGBoost{}.Open(fstest.MapFS{"m": {Data: bytes.ReplaceAll(good, leaf, []byte(bad))}}, "m")
		if freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%q: %v, expected %s", bad, err, freshet.InvalidArgument)
		}
	}
}

// FuzzXGBoost: no bytes may panic, and what opens must answer.
func FuzzXGBoost(f *testing.F) {
	m := randomXGBoost(5, 2, 3, 2, 1, 5)
	m.booster = "dart"
	f.Add(m.json(f))
	f.Add(m.ubjson(f))
	f.Add(randomXGBoost(5, 4, 3, 2, 2, 0).ubjson(f))
	f.Add([]byte(linearBooster))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := treemodel.XGBoost{}.Open(fstest.MapFS{"m": {Data: file}}, "m")
		if err != nil {
			return
		}
		s := m.Signature()
		inputs, outputs := make([]float64, 5*len(s.Inputs)), make([]float64, 5*len(s.Outputs))
		for i := range inputs {
			inputs[i] = []float64{0, nan, 3, 2.5, 1e9}[i%5]
		}
		if err := m.Predict(context.Background(), inputs, outputs); err != nil {
			t.Fatal(err)
		}
	})
}
