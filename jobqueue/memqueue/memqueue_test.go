package memqueue_test

import (
	"testing"

	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/jobqueuetest"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
)

func TestContract(t *testing.T) {
	t.Parallel()
	jobqueuetest.Run(t, jobqueuetest.Harness{
		Open: func(testing.TB) jobqueue.Driver { return memqueue.New() },
	})
}
