package memoutbox_test

import (
	"testing"

	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/outbox/memoutbox"
	"github.com/freshet-ml/freshet/outbox/outboxtest"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	outboxtest.Run(t, outboxtest.Harness{Open: func(testing.TB) outbox.Driver { return memoutbox.New() }})
}
