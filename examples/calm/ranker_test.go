package calm_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
)

// golden is testdata/ranker-golden.json: what MLflow and LightGBM answered.
type golden struct {
	Columns   []string     `json:"columns"`
	Tolerance float64      `json:"tolerance"`
	Inputs    [][]*float64 `json:"inputs"`
	Outputs   []float64    `json:"outputs"`
	Top10     []struct {
		Next    freshet.Key         `json:"next_completed"`
		Context map[string]*float64 `json:"context"`
		Items   [][2]any            `json:"top10"`
	} `json:"top10"`
}

func readGolden(t *testing.T) golden {
	t.Helper()
	text, err := os.ReadFile("testdata/ranker-golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// number is a recorded value; null is a missing one.
func number(x *float64) float64 {
	if x == nil {
		return math.NaN()
	}
	return *x
}

// TestScoresAreThoseOfTheLibrary scores the rows that the library scored.
func TestScoresAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	_, today := openApp(t)
	g := readGolden(t)
	var inputs []float64
	for _, row := range g.Inputs {
		for _, in := range today.Plan.Inputs {
			inputs = append(inputs, number(row[slices.Index(g.Columns, in.Column)]))
		}
	}
	scores := make([]float64, len(g.Inputs))
	if err := today.Model.Predict(t.Context(), inputs, scores); err != nil {
		t.Fatal(err)
	}
	for i, want := range g.Outputs {
		if !sameNumber(scores[i], want, g.Tolerance) {
			t.Errorf("row %d scores %v, the library says %v", i, scores[i], want)
		}
	}
}

// TestRankingsAreThoseOfTheLibrary finds the impressions of the recorded top tens among the test plays by what the user
// had done before, and ranks all titles for them.
func TestRankingsAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	rel, today := openApp(t)
	lines := readLines(t)
	read := computed(t, readHistories(t, rel.Project().Schema, lines))
	g := readGolden(t)
	for _, play := range testPlays(lines) {
		if len(g.Top10) == 0 {
			break
		}
		want := g.Top10[0]
		if !play.completed || play.content != want.Next {
			continue
		}
		f := newFrame(rel, today, read, play.user, play.impression-1)
		inputs := f.inputs(t, play.content)
		same := true
		for i, in := range today.Plan.Inputs {
			if x, ok := want.Context[in.Column]; ok && !sameNumber(inputs[i], number(x), 1e-9) {
				same = false
			}
		}
		if !same {
			continue
		}
		g.Top10 = g.Top10[1:]
		for i, item := range rank(t, f)[:10] {
			if id, score := freshet.Key(want.Items[i][0].(string)), want.Items[i][1].(float64); item.ID != id || !sameNumber(item.Score, score, g.Tolerance) {
				t.Errorf("place %d for %s at %s is %s with %v, the library says %s with %v", i+1, play.user, play.impression, item.ID, item.Score, id, score)
			}
		}
	}
	if len(g.Top10) > 0 {
		t.Errorf("no play fits the context of %d recorded top tens; the first is for %s", len(g.Top10), g.Top10[0].Next)
	}
}

// rank scores all titles, the best first, equal ones by id.
func rank(t *testing.T, f *frame) []freshet.Item {
	t.Helper()
	var inputs []float64
	items := make([]freshet.Item, f.p.Ranked.Len())
	for i := range items {
		items[i].ID = f.p.Ranked.Key(i)
		inputs = append(inputs, f.inputs(t, items[i].ID)...)
	}
	scores := make([]float64, len(items))
	if err := f.p.Model.Predict(t.Context(), inputs, scores); err != nil {
		t.Fatal(err)
	}
	for i := range items {
		items[i].Score = scores[i]
	}
	slices.SortFunc(items, func(a, b freshet.Item) int {
		if a.Score != b.Score {
			return int(math.Copysign(1, b.Score-a.Score))
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return items
}
