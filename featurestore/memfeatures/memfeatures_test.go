package memfeatures

import (
	"testing"

	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/featurestoretest"
)

func TestConformance(t *testing.T) {
	featurestoretest.Run(t, featurestoretest.Harness{Open: func(*testing.T) featurestore.Driver { return New() }})
}
