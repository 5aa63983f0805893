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

func TestFit(t *testing.T) {
	t.Parallel()
	nan, inf := math.NaN(), math.Inf(1)
	for _, test := range []struct {
		datatype string
		fits     []float64
		beyond   []float64
	}{
		{"BOOL", []float64{0, 1, nan}, []float64{2, -1, inf}},
		{"UINT8", []float64{0, 255}, []float64{256, -1, inf}},
		{"INT8", []float64{-128, 127}, []float64{128, -129}},
		{"INT64", []float64{math.MinInt64, math.MaxInt64}, []float64{1 << 64, -inf}},
		{"UINT64", []float64{0, math.MaxUint64}, []float64{-1, 1 << 65}},
		{"FP32", []float64{0.5, math.MaxFloat32, -inf, nan}, []float64{1e39}},
		{"FP64", []float64{1e300, inf, nan}, nil},
	} {
		if !tensor.Fit(test.datatype, test.fits) {
			t.Errorf("%s does not hold one of %v", test.datatype, test.fits)
		}
		for _, v := range test.beyond {
			if tensor.Fit(test.datatype, []float64{v}) {
				t.Errorf("%s holds %v", test.datatype, v)
			}
		}
	}
	// As text and as bytes the same number.
	if v := []float64{0.1}; !tensor.Fit("FP32", v) || v[0] != float64(float32(0.1)) {
		t.Errorf("0.1 as FP32 is %v", v[0])
	}
}
