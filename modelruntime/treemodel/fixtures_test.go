package treemodel_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
	"github.com/freshet-ml/freshet/modelruntime/treemodel"
)

var runtimes = []modelruntime.Runtime{treemodel.LightGBM{}, treemodel.XGBoost{}}

// TestGolden compares with the answers of the libraries themselves.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, g := range modelruntimetest.AllGolden(t) {
		switch g.Format {
		case "lightgbm-text", "xgboost-json", "xgboost-ubj", "xgboost-legacy-binary":
			t.Run(g.Name, func(t *testing.T) { g.Check(t, runtimes) })
		}
	}
}

// TestGoldenMLflow is TestGolden for MLflow directories: for wrapped models it is about the trees up to the best iteration.
func TestGoldenMLflow(t *testing.T) {
	t.Parallel()
	for _, g := range modelruntimetest.AllGolden(t) {
		if g.Format == "mlflow" && (strings.HasPrefix(g.Name, "lgb-") || strings.HasPrefix(g.Name, "xgb")) {
			t.Run(g.Name, func(t *testing.T) { g.Check(t, runtimes) })
		}
	}
}

// TestGoldenMargins: before the link, sums of XGBoost agree to the last bit, except where the logarithm of the library's own
// float32 arithmetic is one unit off (reg:logistic).
func TestGoldenMargins(t *testing.T) {
	t.Parallel()
	for _, g := range modelruntimetest.AllGolden(t) {
		if len(g.Extra.Margins) == 0 || g.Expect != "ok" || !strings.HasPrefix(g.Name, "xgb") {
			continue
		}
		t.Run(g.Name, func(t *testing.T) {
			m, err := modelruntime.OpenPath(filepath.Join(g.Dir, g.File), runtimes)
			if err != nil {
				t.Fatal(err)
			}
			g.Outputs, g.Tolerance = g.Extra.Margins, 0
			if g.Name == "xgb3-obj-reg-logistic" {
				g.Tolerance = 1e-8
			}
			g.CheckAnswers(t, treemodel.Margins(m))
		})
	}
}

// TestGoldenBestIteration opens the same files as XGBClassifier would.
func TestGoldenBestIteration(t *testing.T) {
	t.Parallel()
	for _, g := range modelruntimetest.AllGolden(t) {
		if len(g.Extra.Best) == 0 {
			continue
		}
		t.Run(g.Name, func(t *testing.T) {
			m, err := treemodel.XGBoost{}.OpenAs(os.DirFS(g.Dir), g.File, "xgboost.sklearn.XGBClassifier")
			if err != nil {
				t.Fatal(err)
			}
			g.Outputs = g.Extra.Best
			g.CheckAnswers(t, m)
			_, err = treemodel.XGBoost{}.OpenAs(os.DirFS(g.Dir), g.File, "acme.Classifier")
			if freshet.CodeOf(err) != freshet.Unsupported || !strings.Contains(err.Error(), "best_iteration") {
				t.Errorf("%v: expected a refusal that names best_iteration", err)
			}
		})
	}
}

func TestBad(t *testing.T) {
	modelruntimetest.RunBad(t, runtimes, "lightgbm-text", "xgboost-json", "xgboost-ubj", "xgboost-legacy-binary")
}
