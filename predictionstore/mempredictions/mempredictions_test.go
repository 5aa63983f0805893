package mempredictions_test

import (
	"testing"

	"github.com/freshet-ml/freshet/predictionstore"
	"github.com/freshet-ml/freshet/predictionstore/mempredictions"
	"github.com/freshet-ml/freshet/predictionstore/predictionstoretest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	predictionstoretest.Run(t, predictionstoretest.Harness{
		Open: func(testing.TB) predictionstore.Driver { return mempredictions.New() },
	})
}
