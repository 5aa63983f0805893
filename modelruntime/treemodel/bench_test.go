package treemodel_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
	"github.com/freshet-ml/freshet/modelruntime/treemodel"
)

// allDecisions are the decision types of numerical splits.
var allDecisions = []string{"0", "2", "4", "6", "8", "10"}

// randomModel is the text of a model of random trees: leaf-wise grown, so of uneven depth as LightGBM's, with thresholds
// inside the range that their place in the tree leaves.
func randomModel(seed uint64, trees, leaves, features, classes int, decisions ...string) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	objective := "binary sigmoid:1"
	if classes > 1 {
		objective = fmt.Sprintf("multiclass num_class:%d", classes)
	}
	fmt.Fprintf(&b, "tree\nversion=v4\nnum_class=%d\nnum_tree_per_iteration=%d\nlabel_index=0\nmax_feature_idx=%d\nobjective=%s\nfeature_names=",
		classes, classes, features-1, objective)
	for f := range features {
		fmt.Fprintf(&b, "f%d ", f)
	}
	b.WriteString("\n")
	for t := range trees {
		fmt.Fprintf(&b, "\nTree=%d\n%s", t, randomTree(r, leaves, features, decisions))
	}
	b.WriteString("\nend of trees\n\npandas_categorical:null\n")
	return b.String()
}

func randomTree(r *rand.Rand, leaves, features int, decisions []string) string {
	type open struct{ parent, side int } // a leaf: where it hangs
	var feature, threshold, decision, value []string
	children := [2][]int{}
	ends := []open{{-1, 0}}
	for split := range leaves - 1 {
		i := r.IntN(len(ends))
		if r.IntN(2) == 0 {
			i = 0 // the oldest: real trees are neither balanced nor a line
		}
		e := ends[i]
		if e.parent >= 0 {
			children[e.side][e.parent] = split
		}
		children[0], children[1] = append(children[0], 0), append(children[1], 0)
		ends = append(append(ends[:i:i], ends[i+1:]...), open{split, 0}, open{split, 1})
		feature = append(feature, fmt.Sprint(r.IntN(features)))
		threshold = append(threshold, fmt.Sprint(math.Round(r.NormFloat64()*1000)/1000))
		decision = append(decision, decisions[r.IntN(len(decisions))])
	}
	for i, e := range ends {
		children[e.side][e.parent] = -i - 1
		value = append(value, fmt.Sprint(r.NormFloat64()/10))
	}
	list := func(v []int) string { return strings.Trim(fmt.Sprint(v), "[]") }
	return fmt.Sprintf("num_leaves=%d\nnum_cat=0\nsplit_feature=%s\nthreshold=%s\ndecision_type=%s\nleft_child=%s\nright_child=%s\nleaf_value=%s\nis_linear=0\nshrinkage=0.1\n",
		leaves, strings.Join(feature, " "), strings.Join(threshold, " "), strings.Join(decision, " "), list(children[0]), list(children[1]),
		strings.Join(value, " "))
}

func openText(t testing.TB, text string) modelruntime.Model {
	t.Helper()
	m, err := treemodel.LightGBM{}.Open(fstest.MapFS{"m": {Data: []byte(text)}}, "m")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// randomRows are normal numbers, a share of them missing.
func randomRows(seed uint64, rows, width int, missing float64) []float64 {
	r := rand.New(rand.NewPCG(seed, 2))
	values := make([]float64, rows*width)
	for i := range values {
		values[i] = r.NormFloat64()
		if r.Float64() < missing {
			values[i] = math.NaN()
		}
	}
	return values
}

// BenchmarkPredict is promise "100 trees × 31 leaves, one row, in process": a different row each time.
func BenchmarkPredict(b *testing.B) {
	m := openText(b, randomModel(1, 100, 31, 30, 1, "8", "10"))
	for _, missing := range []float64{0, 0.1} {
		for _, rows := range []int{1, 10, 100, 300} {
			b.Run(fmt.Sprintf("trees=100/leaves=31/missing=%v/rows=%d", missing, rows), func(b *testing.B) {
				benchmarkRows(b, m, randomRows(7, 1200, 30, missing), rows)
			})
		}
	}
}

// BenchmarkXGBoost is BenchmarkPredict for XGBoost.
func BenchmarkXGBoost(b *testing.B) {
	m := openXGBoost(b, randomXGBoost(1, 100, 31, 30, 1, 0).ubjson(b))
	for _, missing := range []float64{0, 0.1} {
		for _, rows := range []int{1, 10, 100, 300} {
			b.Run(fmt.Sprintf("trees=100/leaves=31/missing=%v/rows=%d", missing, rows), func(b *testing.B) {
				benchmarkRows(b, m, randomRows(7, 1200, 30, missing), rows)
			})
		}
	}
}

func BenchmarkCalmRanker(b *testing.B) {
	dir := filepath.Join(modelruntimetest.Fixtures(b), "data", "calm-ranker")
	m, err := modelruntime.OpenPath(dir, runtimes)
	if err != nil {
		b.Fatal(err)
	}
	golden := modelruntimetest.ReadGolden(b, dir).Values()
	width := len(m.Signature().Inputs)
	for len(golden) < 300*width {
		golden = append(golden, golden...)
	}
	for _, rows := range []int{1, 300} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) { benchmarkRows(b, m, golden, rows) })
	}
}

func benchmarkRows(b *testing.B, m modelruntime.Model, inputs []float64, rows int) {
	s := m.Signature()
	width := len(s.Inputs)
	outputs := make([]float64, rows*len(s.Outputs))
	blocks := len(inputs) / (rows * width)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		from := i % blocks * rows * width
		if err := m.Predict(context.Background(), inputs[from:from+rows*width], outputs); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
}

func BenchmarkOpen(b *testing.B) {
	text := []byte(randomModel(1, 100, 31, 30, 1, "8", "10"))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (treemodel.LightGBM{}).Open(fstest.MapFS{"m": {Data: text}}, "m"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenXGBoost(b *testing.B) {
	m := randomXGBoost(1, 100, 31, 30, 1, 0)
	for name, file := range map[string][]byte{"json": m.json(b), "ubjson": m.ubjson(b)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				openXGBoost(b, file)
			}
		})
	}
}
