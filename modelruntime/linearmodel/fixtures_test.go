package linearmodel_test

import (
	"testing"

	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/linearmodel"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
)

var runtimes = []modelruntime.Runtime{linearmodel.Linear{}}

// TestGolden compares with the answers recorded for the fixtures.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, g := range modelruntimetest.AllGolden(t) {
		if g.Format == "freshet-linear" {
			t.Run(g.Name, func(t *testing.T) { g.Check(t, runtimes) })
		}
	}
}

func TestBad(t *testing.T) {
	modelruntimetest.RunBad(t, runtimes, "freshet-linear")
}
