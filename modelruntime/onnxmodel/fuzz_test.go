package onnxmodel_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/onnxmodel"
)

// FuzzOpen: no bytes may panic, and what opens must answer, alone as among others.
func FuzzOpen(f *testing.F) {
	f.Add(network())
	f.Add(trees())
	f.Fuzz(func(t *testing.T, file []byte) {
		if m, err := open(file); err == nil {
			checkRows(t, m)
		}
	})
}

// FuzzGraph makes well-formed files of nonsense: nodes of any operators with any inputs and attributes. Mutated bytes alone
// seldom get past the lengths of protobuf.
func FuzzGraph(f *testing.F) {
	f.Add([]byte("\x00"))
	for i := range onnxmodel.Operators() {
		f.Add([]byte{byte(i), 1, 0, 1, 2, byte(i + 1), 2, 1, 3, 4, 5, 6, 7, 8, 9})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := open(nonsense(data)); err == nil {
			checkRows(t, m)
		}
	})
}

// checkRows asks for three rows, and for the last alone.
func checkRows(t *testing.T, m modelruntime.Model) {
	s := m.Signature()
	width, height := len(s.Inputs), len(s.Outputs)
	if width > 1000 || height > 1000 {
		return
	}
	inputs, outputs, alone := make([]float64, 3*width), make([]float64, 3*height), make([]float64, height)
	for i := range inputs {
		inputs[i] = []float64{0, nan, -3.5, 1, 1e9}[i%5]
		if kind := s.Inputs[i%width].Type; kind != "float" && kind != "double" {
			inputs[i] = float64(i % 2)
		}
	}
	if err := m.Predict(context.Background(), inputs, outputs); err != nil {
		return // a position that a table does not have
	}
	if err := m.Predict(context.Background(), inputs[2*width:], alone); err != nil {
		t.Fatal(err)
	}
	for k, v := range alone {
		if math.Float64bits(v) != math.Float64bits(outputs[2*height+k]) {
			t.Fatalf("output %d: %v alone and %v among others", k, v, outputs[2*height+k])
		}
	}
}

// choices reads decisions off bytes; at their end all are 0.
type choices []byte

func (c *choices) below(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

func (c *choices) integer() int64 {
	return []int64{0, 1, -1, 2, 3, -2, 5, 1 << 20, math.MaxInt64, math.MinInt64, 1 << 40}[c.below(11)]
}

func (c *choices) integers() []int64 {
	list := make([]int64, c.below(5))
	for i := range list {
		list[i] = c.integer()
	}
	return list
}

func (c *choices) float() float32 {
	return []float32{0, 1, -1, 0.5, float32(math.NaN()), float32(math.Inf(1)), math.MaxFloat32, 3}[c.below(8)]
}

func (c *choices) floats() []float32 {
	list := make([]float32, c.below(7))
	for i := range list {
		list[i] = c.float()
	}
	return list
}

// nonsense is a file of up to eight nodes.
func nonsense(data []byte) []byte {
	c := choices(data)
	operators := onnxmodel.Operators()
	parts := []message{
		input("x", kindFloat, -1, 3), input("i", kindInt64, -1, 1), output("y", 0),
		weights(floatTensor("w", []int64{3, 2}, 1, 2, 3, 4, 5, 6)), weights(floatTensor("b", []int64{3}, 1, -2, 3)),
		weights(floatTensor("s", nil, 2)), weights(intTensor("none")),
		weights(intTensor("n", c.integers()...)), weights(intTensor("k", 0, 1)),
	}
	known := list{"x", "i", "w", "b", "s", "none", "n", "k", ""}
	nodes := 1 + c.below(8)
	for n := range nodes {
		op := operators[c.below(len(operators))]
		var inputs, outputs list
		for range c.below(5) {
			inputs = append(inputs, known[c.below(len(known))])
		}
		for k := range 1 + c.below(3) {
			outputs = append(outputs, fmt.Sprintf("t%d_%d", n, k))
		}
		if n == nodes-1 {
			outputs[c.below(len(outputs))] = "y"
		}
		parts = append(parts, node(op[0], op[1], inputs, outputs, c.attributes()...))
		known = append(known, outputs...)
	}
	return modelFile(parts...)
}

func (c *choices) attributes() []message {
	integers := []string{"axis", "keepdims", "to", "transA", "transB", "allowzero", "n_targets", "targets", "num_outputs", "select_last_index", "noop_with_empty_axes", "zeros"}
	lists := []string{
		"axes", "perm", "split", "classlabels_int64s", "classlabels_ints", "cats_int64s", "keys_int64s", "values_int64s", "value_ints", "inputdimensions",
		"nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "target_treeids", "target_nodeids", "target_ids",
	}
	floats := []string{"alpha", "beta", "epsilon", "threshold", "replaced_value_float", "value_float", "min", "max"}
	floatLists := []string{
		"scale", "offset", "coefficients", "intercepts", "imputed_value_floats", "nodes_values", "target_weights", "base_values", "value_floats", "values_floats",
	}
	var all []message
	for range c.below(12) {
		switch c.below(6) {
		case 0:
			all = append(all, attrInt(integers[c.below(len(integers))], c.integer()))
		case 1:
			all = append(all, attrInts(lists[c.below(len(lists))], c.integers()...))
		case 2:
			all = append(all, attrFloat(floats[c.below(len(floats))], c.float()))
		case 3:
			all = append(all, attrFloats(floatLists[c.below(len(floatLists))], c.floats()...))
		case 4:
			modes := []string{"LEAF", "BRANCH_LEQ", "BRANCH_GT", "BRANCH_EQ"}
			var list []string
			for range c.below(5) {
				list = append(list, modes[c.below(len(modes))])
			}
			all = append(all, attrTexts("nodes_modes", list...))
		case 5:
			words := []string{"LOGISTIC", "SOFTMAX", "PROBIT", "L1", "L2", "MAX", "AVERAGE", "MIN", "tanh"}
			names := []string{"post_transform", "norm", "aggregate_function", "approximate"}
			all = append(all, attrText(names[c.below(len(names))], words[c.below(len(words))]))
		}
	}
	return all
}
