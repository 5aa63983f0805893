package treemodel_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"

	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/treemodel"
)

type tree = map[string]any

// xgbModel is an XGBoost model in parts, which tests change before they write it.
type xgbModel struct {
	features, classes int
	objective, base   string
	booster           string // gbtree, dart
	trees             []tree
	drop              []float32
	attributes        map[string]any
}

// randomXGBoost is a model of random trees, uneven as real ones; with codes above 0, the last feature is categorical.
func randomXGBoost(seed uint64, trees, leaves, features, classes, codes int) *xgbModel {
	r := rand.New(rand.NewPCG(seed, 1))
	m := &xgbModel{features: features, classes: classes, objective: "binary:logistic", base: "5E-1", booster: "gbtree", attributes: tree{}}
	if classes > 1 {
		m.objective = "multi:softprob"
	}
	for range trees {
		m.trees = append(m.trees, randomXGBTree(r, leaves, features, codes))
		m.drop = append(m.drop, float32(r.Float64()))
	}
	return m
}

func randomXGBTree(r *rand.Rand, leaves, features, codes int) tree {
	n := 2*leaves - 1
	left, right, feature, kind, defaults := make([]int32, n), make([]int32, n), make([]int32, n), make([]int32, n), make([]int32, n)
	condition := make([]float32, n)
	categories, nodes, segments, sizes := []int32{}, []int32{}, []int32{}, []int32{}
	ends := []int{0}
	for next := 1; next < n; next += 2 {
		i := r.IntN(len(ends))
		if r.IntN(2) == 0 {
			i = 0 // the oldest: real trees are neither balanced nor a line
		}
		at := ends[i]
		ends = append(append(ends[:i:i], ends[i+1:]...), next, next+1)
		left[at], right[at] = int32(next), int32(next+1)
		feature[at], defaults[at] = int32(r.IntN(features)), int32(r.IntN(2))
		condition[at] = float32(math.Round(r.NormFloat64()*1000) / 1000)
		if codes > 0 && int(feature[at]) == features-1 {
			kind[at] = 1
			nodes, segments = append(nodes, int32(at)), append(segments, int32(len(categories)))
			for c := range codes {
				if r.IntN(3) == 0 {
					categories = append(categories, int32(c))
				}
			}
			sizes = append(sizes, int32(len(categories))-segments[len(segments)-1])
		}
	}
	for _, at := range ends {
		left[at], right[at], condition[at] = -1, -1, float32(r.NormFloat64()/10)
	}
	return tree{"left_children": left, "right_children": right, "split_indices": feature, "split_conditions": condition, "split_type": kind,
		"default_left": defaults, "categories": categories, "categories_nodes": nodes, "categories_segments": segments, "categories_sizes": sizes,
		"base_weights": condition, "id": 0, "tree_param": tree{"num_nodes": strconv.Itoa(n), "num_deleted": "0", "size_leaf_vector": "1"}}
}

// value is the document.
func (m *xgbModel) value() tree {
	info, rounds := []int32{}, []int32{0}
	for i := range m.trees {
		info = append(info, int32(i%m.classes))
		if (i+1)%m.classes == 0 {
			rounds = append(rounds, int32(i+1))
		}
	}
	names := []string{}
	for f := range m.features {
		names = append(names, fmt.Sprintf("x%d", f))
	}
	classes := m.classes
	if classes == 1 {
		classes = 0
	}
	trees := tree{"model": tree{"trees": m.trees, "tree_info": info, "iteration_indptr": rounds,
		"gbtree_model_param": tree{"num_trees": strconv.Itoa(len(m.trees)), "num_parallel_tree": "1"}}, "name": "gbtree"}
	if m.booster == "dart" {
		trees = tree{"gbtree": trees, "name": "dart", "weight_drop": m.drop}
	}
	return tree{"version": []int32{3, 2, 0}, "learner": tree{"attributes": m.attributes, "feature_names": names, "feature_types": []string{},
		"learner_model_param": tree{"base_score": m.base, "num_class": strconv.Itoa(classes), "num_feature": strconv.Itoa(m.features), "num_target": "1"},
		"objective":           tree{"name": m.objective}, "gradient_booster": trees}}
}

func (m *xgbModel) json(t testing.TB) []byte {
	t.Helper()
	text, err := json.Marshal(m.value())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (m *xgbModel) ubjson(t testing.TB) []byte {
	t.Helper()
	return appendUBJSON(nil, m.value())
}

// appendUBJSON writes what XGBoost would: keys and counts with eight bytes, numbers in lists with a type.
func appendUBJSON(b []byte, value any) []byte {
	text := func(b []byte, s string) []byte {
		return append(binary.BigEndian.AppendUint64(append(b, 'L'), uint64(len(s))), s...)
	}
	list := func(kind string, n int) []byte {
		return binary.BigEndian.AppendUint64(append(append(append(b, '['), kind...), '#', 'L'), uint64(n))
	}
	switch v := value.(type) {
	case tree:
		b = append(b, '{')
		for _, key := range slices.Sorted(maps.Keys(v)) {
			b = appendUBJSON(text(b, key), v[key])
		}
		return append(b, '}')
	case []tree:
		b = list("", len(v))
		for _, e := range v {
			b = appendUBJSON(b, e)
		}
	case []string:
		b = list("", len(v))
		for _, e := range v {
			b = text(append(b, 'S'), e)
		}
	case []int32:
		b = list("$l", len(v))
		for _, e := range v {
			b = binary.BigEndian.AppendUint32(b, uint32(e))
		}
	case []float32:
		b = list("$d", len(v))
		for _, e := range v {
			b = binary.BigEndian.AppendUint32(b, math.Float32bits(e))
		}
	case string:
		b = text(append(b, 'S'), v)
	case int:
		b = binary.BigEndian.AppendUint64(append(b, 'L'), uint64(v))
	default:
		panic(fmt.Sprintf("no UBJSON for %T", value))
	}
	return b
}

func openXGBoost(t testing.TB, file []byte) modelruntime.Model {
	t.Helper()
	m, err := treemodel.XGBoost{}.Open(fstest.MapFS{"m": {Data: file}}, "m")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// plainMargin is the sum of one row and class by the rules as they are written down, node by node.
func (m *xgbModel) plainMargin(row []float64, class int) float32 {
	var sum float32
	for i, t := range m.trees {
		if i%m.classes != class {
			continue
		}
		v := plainXGBLeaf(t, row)
		if m.booster == "dart" {
			v *= m.drop[i]
		}
		sum += v
	}
	return sum
}

func plainXGBLeaf(t tree, row []float64) float32 {
	ints := func(key string) []int32 { return t[key].([]int32) }
	conditions := t["split_conditions"].([]float32)
	n := int32(0)
	for ints("left_children")[n] != -1 {
		x := float32(row[ints("split_indices")[n]])
		left := x < conditions[n]
		if ints("split_type")[n] == 1 {
			i := slices.Index(ints("categories_nodes"), n)
			from := ints("categories_segments")[i]
			left = !slices.Contains(ints("categories")[from:from+ints("categories_sizes")[i]], int32(x))
		}
		if x != x {
			left = ints("default_left")[n] != 0
		}
		if left {
			n = ints("left_children")[n]
		} else {
			n = ints("right_children")[n]
		}
	}
	return conditions[n]
}
