package factormodel_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/factormodel"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
)

var runtimes = []modelruntime.Runtime{factormodel.Factors{}}

func TestBad(t *testing.T) { modelruntimetest.RunBad(t, runtimes, "factors") }

// golden is a fixture of factors: its questions are about ids.
type golden struct {
	Tolerance float64
	Inputs    []struct {
		User    string `json:"user_id"`
		K       int
		Exclude []string
	}
	Outputs [][]scored // nil: an unknown user
}

type scored struct {
	ID    string `json:"item_id"`
	Seq   int
	Score float64
}

// TestGolden asks for the best of the whole catalog: excluded items are left out before counting, ties are by lower seq.
func TestGolden(t *testing.T) {
	t.Parallel()
	n := 0
	for _, g := range modelruntimetest.AllGolden(t) {
		if g.Format == "factors" {
			t.Run(g.Name, func(t *testing.T) { checkGolden(t, g.Dir) })
			n++
		}
	}
	if n == 0 {
		t.Error("no factors among the fixtures")
	}
}

func checkGolden(t *testing.T, dir string) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	opened, err := modelruntime.OpenPath(dir, runtimes)
	if err != nil {
		t.Fatal(err)
	}
	m := opened.(modelruntime.Ranker)
	for i, q := range g.Inputs {
		want := g.Outputs[i]
		got := best(t, m, q.User, q.K, q.Exclude)
		if (got == nil) != (want == nil) || len(got) != len(want) {
			t.Errorf("%+v: %d items %v, expected %d", q, len(got), got, len(want))
			continue
		}
		for j := range got {
			if got[j].Seq != want[j].Seq || m.Encode(1, want[j].ID) != float64(want[j].Seq) || !modelruntimetest.Close(got[j].Score, want[j].Score, g.Tolerance) {
				t.Errorf("%+v: item %d is %+v, expected %+v", q, j, got[j], want[j])
			}
		}
	}
}

// best asks m for all items by their sequence numbers, which end where it knows no more.
func best(t *testing.T, m modelruntime.Ranker, user string, k int, exclude []string) []scored {
	const most = 2000
	inputs, outputs := make([]float64, 3*most), make([]float64, most)
	for i := range most {
		inputs[3*i], inputs[3*i+1] = m.Encode(0, user), float64(i)
	}
	if err := m.Rank(context.Background(), [][]float64{nil}, inputs, outputs); err != nil {
		t.Fatal(err)
	}
	if math.IsNaN(inputs[0]) {
		if i := slices.IndexFunc(outputs, func(v float64) bool { return !math.IsNaN(v) }); i >= 0 {
			t.Errorf("user %q is unknown, and item %d has a score", user, i)
		}
		return nil
	}
	items := []scored{}
	for i, score := range outputs {
		excluded := slices.ContainsFunc(exclude, func(id string) bool { return m.Encode(1, id) == float64(i) })
		if !math.IsNaN(score) && !excluded {
			items = append(items, scored{Seq: i, Score: score})
		}
	}
	slices.SortFunc(items, func(a, b scored) int { return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Seq, b.Seq)) })
	return items[:min(k, len(items))]
}

// BenchmarkRank is one user and 10,000 items of 64 factors.
func BenchmarkRank(b *testing.B) {
	const items, width = 10_000, 64
	for _, test := range []struct {
		name  string
		files map[string][]byte
	}{
		{"float32", map[string][]byte{"user_factors.npy": array(width, make([]float32, width)...), "item_factors.npy": array(width, make([]float32, items*width)...)}},
		{"float64", map[string][]byte{"user_factors.npy": array(width, make([]float64, width)...), "item_factors.npy": array(width, make([]float64, items*width)...)}},
	} {
		b.Run(fmt.Sprintf("items=%d/factors=%d/%s", items, width, test.name), func(b *testing.B) {
			m, err := open(test.files)
			if err != nil {
				b.Fatal(err)
			}
			inputs, outputs := make([]float64, 2*items), make([]float64, items)
			for i := range items {
				inputs[2*i+1] = float64(i)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Predict(context.Background(), inputs, outputs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
