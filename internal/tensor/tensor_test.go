package tensor_test

import (
	"math"
	"slices"
	"testing"

	"github.com/freshet-ml/freshet/internal/tensor"
)

func TestValues(t *testing.T) {
	t.Parallel()
	b := tensor.AppendFP64(tensor.AppendFP64(nil, 1.5), math.Inf(-1))
	if got := tensor.AppendValues([]float64{7}, "FP64", b); !slices.Equal(got, []float64{7, 1.5, math.Inf(-1)}) {
		t.Errorf("got %v", got)
	}
	for datatype, size := range map[string]int{"BOOL": 1, "INT16": 2, "FP32": 4, "UINT64": 8} {
		if got, ok := tensor.ElementSize(datatype); !ok || got != size {
			t.Errorf("%s: got %d %v", datatype, got, ok)
		}
		if got := tensor.AppendValues(nil, datatype, make([]byte, 3*size)); !slices.Equal(got, []float64{0, 0, 0}) {
			t.Errorf("%s: got %v", datatype, got)
		}
	}
	if _, ok := tensor.ElementSize("BYTES"); ok {
		t.Error("BYTES are no numbers")
	}
}
