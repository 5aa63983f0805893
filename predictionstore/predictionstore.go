// Package predictionstore is the hand-off between orchestration and the doors: the newest prediction of each pipeline for
// each entity, to be pulled. It never computes and never expires silently: an expired prediction is simply not returned.
//
// A Store validates, hides what has expired and counts; a Driver stores.
package predictionstore

import (
	"context"

	"github.com/freshet-ml/freshet"
)

// Driver stores predictions. It does not validate, retry or log. All methods may be called concurrently.
type Driver interface {
	// Put keeps p as the newest prediction of its pipeline and entity if Version.Replaces says so; otherwise nothing
	// changes and stored is false. The store does not keep p's slices and maps.
	Put(ctx context.Context, p freshet.Prediction) (stored bool, err error)
	// Get returns the prediction of pipeline for e, expired or not, without its Explanation. NotFound if there is none.
	Get(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName) (freshet.Prediction, error)
	// GetExplained is Get with the Explanation, if one was kept.
	GetExplained(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName) (freshet.Prediction, error)
	// List returns all predictions of e in the order of their pipelines' names, in one read, without Explanations.
	List(ctx context.Context, e freshet.Entity) ([]freshet.Prediction, error)
	// Delete forgets all predictions of e.
	Delete(ctx context.Context, e freshet.Entity) error
	// Sweep removes predictions that expired before a moment: it looks at up to limit predictions behind the place from (nil for
	// the start), and returns the place to go on from, nil at the end. It may be called beside Put.
	Sweep(ctx context.Context, before freshet.Timestamp, from []byte, limit int) (next []byte, removed int, err error)
	// Close ends all use: later calls answer Unavailable. Closing twice is no error.
	Close() error
}

// Version is what decides which of two predictions of one pipeline and entity is the newer one.
type Version struct {
	// Cause is the largest Cause.Offset of this prediction and all it has replaced, one after the other. All events of an entity
	// are in one partition, so that the offset alone orders them. 0 if no event caused any of them.
	Cause     freshet.Offset
	CreatedAt freshet.Timestamp
	Asked     bool // nobody's event caused the prediction itself: it was asked for by /v1/predict
}

// VersionOf is the version of p alone.
func VersionOf(p *freshet.Prediction) Version {
	return Version{Cause: p.Cause.Offset, CreatedAt: p.CreatedAt, Asked: p.Cause == freshet.Place{}}
}

// Replaces says whether v takes the place of kept. A prediction never replaces one that a later event caused; an equal
// offset replaces, because it is the same job repeated. Where one of the two was asked for there are no two offsets to compare,
// and the one that was created later, or at the same moment, is the newer.
func (v Version) Replaces(kept Version) bool {
	if !v.Asked && v.Cause < kept.Cause {
		return false
	}
	if v.Asked || kept.Asked {
		return v.CreatedAt >= kept.CreatedAt
	}
	return true
}

// After is v once it has replaced kept.
func (v Version) After(kept Version) Version {
	v.Cause = max(v.Cause, kept.Cause)
	return v
}
