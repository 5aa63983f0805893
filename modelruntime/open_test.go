package modelruntime_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/linearmodel"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
	"github.com/freshet-ml/freshet/modelruntime/onnxmodel"
	"github.com/freshet-ml/freshet/modelruntime/skopsmodel"
	"github.com/freshet-ml/freshet/modelruntime/treemodel"
)

var runtimes = []modelruntime.Runtime{treemodel.LightGBM{}, treemodel.XGBoost{}, linearmodel.Linear{}, onnxmodel.ONNX{}, skopsmodel.Skops{}}

// TestGolden opens every fixture. Those in a format that no runtime reads must be refused as Unsupported.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, g := range modelruntimetest.AllGolden(t) {
		t.Run(g.Name, func(t *testing.T) {
			if g.Format != "factors" {
				g.Check(t, runtimes)
				return
			}
			_, err := modelruntime.OpenPath(filepath.Join(g.Dir, g.File), runtimes)
			if freshet.CodeOf(err) != freshet.Unsupported {
				t.Fatalf("%s: %v: expected %s", g.Format, err, freshet.Unsupported)
			}
			t.Log(err)
		})
	}
}

// TestDirectory opens the fixtures with one native file by their directory.
func TestDirectory(t *testing.T) {
	t.Parallel()
	for _, g := range modelruntimetest.AllGolden(t) {
		native := slices.Contains([]string{"lightgbm-text", "xgboost-json", "xgboost-ubj"}, g.Format) || strings.HasPrefix(g.Name, "onnx-")
		if native && g.Expect == "ok" {
			g.File = "."
			t.Run(g.Name, func(t *testing.T) { g.Check(t, runtimes) })
		}
	}
}

func TestCalmRanker(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(modelruntimetest.Fixtures(t), "data", "calm-ranker")
	modelruntimetest.ReadGolden(t, dir).Check(t, runtimes)
}

func TestBad(t *testing.T) {
	modelruntimetest.RunBad(t, runtimes)
}
