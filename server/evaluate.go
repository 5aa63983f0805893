package server

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/evaluation"
	"github.com/freshet-ml/freshet/internal/orchestration"
	"github.com/freshet-ml/freshet/internal/reader"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/serving"
)

// Evaluate compares the predictions that rel would have made with what happened: the layers that serve, over stores in memory,
// with a clock that follows the events. Push tables are empty. Errors are those of evaluation.Run.
func Evaluate(ctx context.Context, rel *release.Opened, events *evaluation.Events, o evaluation.Options) (report evaluation.Report, err error) {
	rows := featurestore.New(memfeatures.New())
	defer func() { err = errors.Join(err, rows.Close()) }()
	log := eventlog.New(memlog.New(nil)) // stays empty: no read goes before the newest event
	defer func() { err = errors.Join(err, log.Close()) }()
	past, err := evaluation.NewPast(ctx, rows, rel)
	if err != nil {
		return report, err
	}
	unseen := prometheus.NewRegistry()
	live := &release.Live{}
	live.Store(rel)
	orchestrator := orchestration.New(orchestration.Deps{
		Live: live, Log: log, Features: rows, Reader: reader.New(rows, log), Models: serving.New(unseen), Metrics: orchestration.NewMetrics(unseen),
	}, orchestration.Options{Workers: 1, Now: past.Now})
	return evaluation.Run(ctx, rel, events, past, orchestrator, o)
}
