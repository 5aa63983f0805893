package loadgen

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/freshet-ml/freshet/internal/alloctest"
)

func TestQuantilesAreRightToOnePart128(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, 1<<maxBits-1), 1, 200).Draw(t, "values")
		var whole, a, b Histogram
		for i, v := range values {
			whole.Record(time.Duration(v))
			if i%2 == 0 {
				a.Record(time.Duration(v))
			} else {
				b.Record(time.Duration(v))
			}
		}
		a.Merge(&b)
		slices.Sort(values)
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		exact := values[max(int(math.Ceil(q*float64(len(values))))-1, 0)]
		got := int64(whole.Quantile(q))
		if got < exact || got > exact+exact/subs {
			t.Fatalf("q %v: got %d, exact %d", q, got, exact)
		}
		if a.Quantile(q) != whole.Quantile(q) || a.Count() != whole.Count() || a.Max() != whole.Max() {
			t.Fatal("merged halves differ from the whole")
		}
	})
}

func TestEmptyAndExtremes(t *testing.T) {
	t.Parallel()
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Mean() != 0 || h.Max() != 0 || h.Count() != 0 {
		t.Error("an empty histogram must be all zero")
	}
	h.Record(-time.Second)
	h.Record(math.MaxInt64)
	if h.Quantile(0) != 0 || h.Quantile(1) != 1<<maxBits-1 || h.Count() != 2 {
		t.Errorf("%s %s", h.Quantile(0), h.Quantile(1))
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	var h Histogram
	h.Record(1)
	if n := alloctest.PerRun(100, func() { h.Record(time.Millisecond) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
