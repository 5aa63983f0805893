package memlog_test

import (
	"testing"
	"time"

	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/eventlogtest"
	"github.com/freshet-ml/freshet/eventlog/memlog"
)

func TestConformance(t *testing.T) {
	eventlogtest.Run(t, func() eventlogtest.Harness {
		return eventlogtest.Harness{
			Open: func(_ *testing.T, horizon time.Duration) eventlog.Driver {
				return memlog.New(&memlog.Options{Horizon: horizon})
			},
		}
	})
}
