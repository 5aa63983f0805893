package onnxmodel_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/freshet-ml/freshet/modelruntime"
)

// layered is a network of 30 inputs, 64 and 32 neurons with Relu, and one output through Sigmoid.
func layered() []byte {
	r := rand.New(rand.NewPCG(1, 1))
	random := func(n int) []float32 {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(r.NormFloat64() / 4)
		}
		return values
	}
	parts := []message{input("x", kindFloat, -1, 30), output("y", kindFloat)}
	sizes := []int64{30, 64, 32, 1}
	from := "x"
	for i := range sizes[1:] {
		w, b, h, to := fmt.Sprint("w", i), fmt.Sprint("b", i), fmt.Sprint("h", i), fmt.Sprint("r", i)
		in, out := sizes[i], sizes[i+1]
		activation := "Relu"
		if i == len(sizes)-2 {
			to, activation = "y", "Sigmoid"
		}
		parts = append(parts,
			weights(floatTensor(w, []int64{in, out}, random(int(in*out))...)), weights(floatTensor(b, []int64{out}, random(int(out))...)),
			node("", "Gemm", list{from, w, b}, list{h}), node("", activation, list{h}, list{to}))
		from = to
	}
	return modelFile(parts...)
}

// wood is a regressor of trees of 31 leaves over 30 columns, grown at a random leaf each time.
func wood(count int) []byte {
	r := rand.New(rand.NewPCG(2, 1))
	var trees, ids, features, yes, no, tracks, weightTrees, weightNodes, weightIDs []int64
	var values, leaves []float32
	var modes []string
	for t := range int64(count) {
		first := len(ids)
		grow := func() int64 {
			trees, ids, features = append(trees, t), append(ids, int64(len(ids)-first)), append(features, 0)
			yes, no, tracks = append(yes, 0), append(no, 0), append(tracks, r.Int64N(2))
			values, modes = append(values, 0), append(modes, "LEAF")
			return ids[len(ids)-1]
		}
		open := []int64{grow()}
		for len(open) < 31 {
			k := r.IntN(len(open))
			if r.IntN(2) == 0 {
				k = 0 // the oldest: real trees are neither balanced nor a line
			}
			i := first + int(open[k])
			modes[i], features[i], values[i] = "BRANCH_LEQ", r.Int64N(30), float32(r.NormFloat64())
			left, right := grow(), grow()
			yes[i], no[i] = left, right
			open = append(append(open[:k:k], open[k+1:]...), left, right)
		}
		for _, leaf := range open {
			weightTrees, weightNodes, weightIDs = append(weightTrees, t), append(weightNodes, leaf), append(weightIDs, 0)
			leaves = append(leaves, float32(r.NormFloat64()/10))
		}
	}
	return modelFile(input("x", kindFloat, -1, 30), output("y", kindFloat), node("ai.onnx.ml", "TreeEnsembleRegressor", list{"x"}, list{"y"},
		attrInts("nodes_treeids", trees...), attrInts("nodes_nodeids", ids...), attrInts("nodes_featureids", features...),
		attrFloats("nodes_values", values...), attrTexts("nodes_modes", modes...), attrInts("nodes_truenodeids", yes...),
		attrInts("nodes_falsenodeids", no...), attrInts("nodes_missing_value_tracks_true", tracks...),
		attrInts("target_treeids", weightTrees...), attrInts("target_nodeids", weightNodes...), attrInts("target_ids", weightIDs...),
		attrFloats("target_weights", leaves...)))
}

// BenchmarkPredict is promise "100 trees × 31 leaves, one row, in process", and a small network: a different row each time.
func BenchmarkPredict(b *testing.B) {
	for name, file := range map[string][]byte{"network=30-64-32-1": layered(), "trees=100/leaves=31": wood(100)} {
		m, err := open(file)
		if err != nil {
			b.Fatal(err)
		}
		for _, missing := range []float64{0, 0.1} {
			for _, rows := range []int{1, 100} {
				b.Run(fmt.Sprintf("%s/missing=%v/rows=%d", name, missing, rows), func(b *testing.B) { benchmarkRows(b, m, rows, missing) })
			}
		}
	}
}

func benchmarkRows(b *testing.B, m modelruntime.Model, rows int, missing float64) {
	r := rand.New(rand.NewPCG(7, 2))
	const width = 30
	inputs, outputs := make([]float64, 1200*width), make([]float64, rows)
	for i := range inputs {
		if inputs[i] = r.NormFloat64(); r.Float64() < missing {
			inputs[i] = math.NaN()
		}
	}
	blocks, i := 1200/rows, 0
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
	file := wood(100)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := open(file); err != nil {
			b.Fatal(err)
		}
	}
}
