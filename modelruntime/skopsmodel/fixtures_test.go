package skopsmodel_test

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/modelruntimetest"
	"github.com/freshet-ml/freshet/modelruntime/skopsmodel"
)

var runtimes = []modelruntime.Runtime{skopsmodel.Skops{}}

// TestGolden compares with the answers of scikit-learn itself: of classifiers with their probabilities.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, g := range modelruntimetest.AllGolden(t) {
		if strings.HasPrefix(g.Name, "sk-") || g.Name == "lgb-mlflow-classifier" {
			t.Run(g.Name, func(t *testing.T) { g.Check(t, runtimes) })
		}
	}
}

// TestRead: these of the fixtures that may be refused are read.
func TestRead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sk-native-skops/model.skops", "sk-pipeline-imputer"} {
		if _, err := modelruntime.OpenPath(filepath.Join(modelruntimetest.Fixtures(t), "models", name), runtimes); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBad(t *testing.T) {
	modelruntimetest.RunBad(t, runtimes, "sklearn-skops")
}

// TestUnnamed: what is no skops file is told so.
func TestUnnamed(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"PK\x03\x04 a.npy", ""} {
		_, err := skopsmodel.Skops{}.Open(fstest.MapFS{"m": {Data: []byte(file)}}, "m")
		if freshet.CodeOf(err) != freshet.InvalidArgument || !strings.Contains(err.Error(), "zip") {
			t.Errorf("%q: %v", file, err)
		}
	}
}
