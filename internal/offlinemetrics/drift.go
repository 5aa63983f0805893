package offlinemetrics

import (
	"math"
	"slices"

	"github.com/freshet-ml/freshet"
)

// The two distances of PSI that practice uses: from the first on a change is worth a look, from the second on it is an alarm.
const (
	PSILook  = 0.1
	PSIAlarm = 0.25
)

// emptyBin is what a bin without a row counts in PSI.
const emptyBin = 1e-4

// PSI is the population stability index Σ (a − b) ln(a ÷ b) over the shares of the bins of a baseline and of what is compared
// with it; an empty bin counts 1e-4. Both lists have one share for each bin.
func PSI(baseline, other []float64) float64 {
	sum := 0.0
	for i := range baseline {
		a, b := max(baseline[i], emptyBin), max(other[i], emptyBin)
		sum += (a - b) * math.Log(a/b)
	}
	return sum
}

// Bins are the inner bounds of that many bins that hold equally many of values; fewer if values repeat. A value belongs to
// the first bin whose bound is not below it.
func Bins(values []float64, bins int) []float64 {
	sorted := slices.Sorted(slices.Values(values))
	var bounds []float64
	for i := 1; i < bins && len(sorted) > 0; i++ {
		bound := sorted[min(len(sorted)-1, i*len(sorted)/bins)]
		if (len(bounds) == 0 || bound > bounds[len(bounds)-1]) && bound < sorted[len(sorted)-1] {
			bounds = append(bounds, bound)
		}
	}
	return bounds
}

// Shares are the parts of values that fall into the bins between bounds: one more than bounds. NaN counts nowhere.
func Shares(values, bounds []float64) []float64 {
	shares := make([]float64, len(bounds)+1)
	n := 0
	for _, v := range values {
		if math.IsNaN(v) {
			continue
		}
		i, _ := slices.BinarySearch(bounds, v)
		shares[i]++
		n++
	}
	for i := range shares {
		shares[i] /= max(1, float64(n))
	}
	return shares
}

// KS is the Kolmogorov–Smirnov distance: the largest difference of the two empirical distribution functions.
func KS(a, b []float64) (float64, error) {
	if len(a) == 0 || len(b) == 0 {
		return 0, freshet.Errorf(freshet.InvalidArgument, "ks: expected values on both sides, got %d and %d", len(a), len(b))
	}
	x, y := slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	distance, i, j := 0.0, 0, 0
	for i < len(x) && j < len(y) {
		at := min(x[i], y[j])
		for i < len(x) && x[i] == at {
			i++
		}
		for j < len(y) && y[j] == at {
			j++
		}
		distance = max(distance, math.Abs(float64(i)/float64(len(x))-float64(j)/float64(len(y))))
	}
	return distance, nil
}

// Constant tells whether one value makes up more than 99 % of values: a model that answers the same to everybody.
func Constant(values []float64) bool {
	counts := map[float64]int{}
	for _, v := range values {
		counts[v]++
	}
	for _, n := range counts {
		if float64(n) > 0.99*float64(len(values)) {
			return true
		}
	}
	return false
}
