package modelruntimetest

import (
	"context"
	"math"
	"testing"

	"github.com/freshet-ml/freshet/internal/alloctest"
	"github.com/freshet-ml/freshet/modelruntime"
)

// ranker checks that texts have numbers, and that rows which share lists have the same bits together as alone.
func (e Example) ranker(t *testing.T, r modelruntime.Runtime) {
	m, ok := e.open(t, r).(modelruntime.Ranker)
	if !ok {
		t.Fatal("the model has texts and is no modelruntime.Ranker")
	}
	width, classes := len(e.Inputs), len(e.Outputs)
	var lists [][]float64
	inputs := make([]float64, len(e.Texts)*width)
	for i, c := range m.Signature().Inputs {
		if c.Type != modelruntime.TextType && c.Type != modelruntime.TextsType {
			continue
		}
		if v := m.Encode(i, "nobody has this name"); !math.IsNaN(v) {
			t.Errorf("%s: an unknown text has the number %v", c.Name, v)
		}
		if c.Type == modelruntime.TextsType {
			lists = append(lists, nil)
		}
		for row, text := range e.Texts {
			v := m.Encode(i, text)
			if math.IsNaN(v) {
				t.Fatalf("%s: it does not know %q", c.Name, text)
			}
			inputs[row*width+i] = v
			if c.Type == modelruntime.TextsType {
				lists[len(lists)-1] = append(lists[len(lists)-1], v)
			}
		}
	}
	ctx := context.Background()
	together, alone := make([]float64, len(e.Texts)*classes), make([]float64, classes)
	if err := m.Rank(ctx, lists, inputs, together); err != nil {
		t.Fatal(err)
	}
	for row := range e.Texts {
		if err := m.Rank(ctx, lists, inputs[row*width:(row+1)*width], alone); err != nil {
			t.Fatal(err)
		}
		if !sameBits(alone, together[row*classes:(row+1)*classes]) {
			t.Errorf("row %d: %v among others and %v alone", row, together[row*classes:(row+1)*classes], alone)
		}
	}
	if allocs := alloctest.PerRun(100, func() {
		m.Encode(0, e.Texts[0])
		if err := m.Rank(ctx, lists, inputs, together); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
