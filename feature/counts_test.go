package feature

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/freshet-ml/freshet/feature/expression"
)

func text(s string) *operand {
	return &operand{ok: true, value: expression.Value{Kind: expression.String, Str: s}}
}

// Of many values those with the smallest hashes stay, each with all its events, also those it had before it was known to stay.
func TestCountsKeepTheSmallestHashes(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	want := map[string]float64{}
	c := countsCell{kind: expression.String}
	for range 20_000 {
		s := "v" + strconv.Itoa(int(rng.ExpFloat64()*500))
		want[s]++
		c.add(text(s), nil)
	}
	var names []string
	for s := range want {
		names = append(names, s)
	}
	hash := func(s string) uint64 {
		return hashOf(appendValue(nil, &expression.Value{Kind: expression.String, Str: s}))
	}
	slices.SortFunc(names, func(a, b string) int {
		if hash(a) < hash(b) {
			return -1
		}
		return 1
	})
	got := c.counts().List
	if len(got) != maxCounts || len(names) < 3*maxCounts {
		t.Fatalf("%d of %d values are counted", len(got), len(names))
	}
	for _, entry := range got {
		if !slices.Contains(names[:maxCounts], entry.Str) || entry.Num != want[entry.Str] {
			t.Errorf("%s is counted %v times, want %v", entry.Str, entry.Num, want[entry.Str])
		}
	}
}

func TestKeysOfCounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind   expression.Kind
		values []float64
		want   string
	}{
		{expression.Number, []float64{5, -0.5, 1e15, 1e-7, 5}, `{"-0.5":1,"1000000000000000":1,"1e-7":1,"5":2}`},
		{expression.Bool, []float64{1, 0, 1}, `{"false":1,"true":2}`},
		{expression.Time, []float64{1_741_003_200_000}, `{"2025-03-03T12:00:00.000Z":1}`},
		{expression.Number, nil, `{}`},
	} {
		cell := countsCell{kind: c.kind}
		for _, x := range c.values {
			cell.add(&operand{ok: true, num: x}, nil)
		}
		if got := string(cell.counts().AppendJSON(nil)); got != c.want {
			t.Errorf("counts of %v are %s, want %s", c.values, got, c.want)
		}
	}
	cell := countsCell{kind: expression.String}
	for _, s := range []string{"b", `"`, "", "b"} {
		cell.add(text(s), nil)
	}
	if got, want := string(cell.counts().AppendJSON(nil)), `{"":1,"\"":1,"b":2}`; got != want {
		t.Errorf("counts are %s, want %s", got, want)
	}
}
