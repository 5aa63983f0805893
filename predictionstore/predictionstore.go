// Package predictionstore is the hand-off between orchestration and the doors: the newest prediction of each pipeline for
// each entity, to be pulled. It never computes and never expires silently: an expired prediction is simply not returned.
package predictionstore

import (
	"context"

	"github.com/freshet-ml/freshet"
)

// Driver stores predictions. It does not validate, retry or log. All methods may be called concurrently.
type Driver interface {
	// Put keeps p as the newest prediction of its pipeline and entity, unless one with a later Cause.Offset is kept already: then
	// nothing changes and stored is false. An equal offset replaces (a repeated job).
	Put(ctx context.Context, p freshet.Prediction) (stored bool, err error)
	// Get returns the prediction of pipeline for e, expired or not. NotFound if there is none.
	Get(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName) (freshet.Prediction, error)
	// List returns all predictions of e in the order of their pipelines' names, in one read.
	List(ctx context.Context, e freshet.Entity) ([]freshet.Prediction, error)
	// Close ends all use: later calls answer Unavailable. Closing twice is no error.
	Close() error
}
