package memtables_test

import (
	"testing"

	"github.com/freshet-ml/freshet/tablestore"
	"github.com/freshet-ml/freshet/tablestore/memtables"
	"github.com/freshet-ml/freshet/tablestore/tablestoretest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	tablestoretest.Run(t, tablestoretest.Harness{
		Open: func(testing.TB) tablestore.Driver { return memtables.New() },
	})
}
