package memregistry_test

import (
	"testing"

	"github.com/freshet-ml/freshet/registry"
	"github.com/freshet-ml/freshet/registry/memregistry"
	"github.com/freshet-ml/freshet/registry/registrytest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	registrytest.Run(t, registrytest.Harness{
		Open: func(testing.TB) registry.Driver { return memregistry.New() },
	})
}
