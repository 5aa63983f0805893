package treemodel_test

import (
	"testing"

	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
	"github.com/freshet-ml/freshet/modelruntime/treemodel"
)

var runtimes = []modelruntime.Runtime{treemodel.LightGBM{}}

// TestGolden compares with the answers of LightGBM itself.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, g := range modelruntimetest.AllGolden(t) {
		if g.Format == "lightgbm-text" {
			t.Run(g.Name, func(t *testing.T) { g.Check(t, runtimes) })
		}
	}
}

func TestBad(t *testing.T) {
	modelruntimetest.RunBad(t, runtimes, "lightgbm-text")
}
