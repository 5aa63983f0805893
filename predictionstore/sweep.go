package predictionstore

import (
	"context"
	"time"

	"github.com/freshet-ml/freshet"
)

const (
	// sweepEvery is the time between two passes over all predictions, and sweepBehind how long one has expired before it is
	// removed: longer than a job is retried, so that the version of a prediction outlives older jobs about it.
	sweepEvery  = 10 * time.Minute
	sweepBehind = time.Hour
	// sweepPredictions are looked at in one step, and sweepRest is the pause after it: a pass over a million takes a minute.
	sweepPredictions = 1000
	sweepRest        = 50 * time.Millisecond
)

// Sweep removes the predictions that expired before a moment, and returns how many.
func (s *Store) Sweep(ctx context.Context, before freshet.Timestamp) (int, error) {
	return s.sweep(ctx, before, func(context.Context) error { return nil })
}

func (s *Store) sweep(ctx context.Context, before freshet.Timestamp, rest func(context.Context) error) (int, error) {
	total := 0
	for from := []byte(nil); ; {
		next, n, err := s.d.Sweep(ctx, before, from, sweepPredictions)
		s.swept.Add(uint64(n))
		if total += n; err != nil || next == nil {
			return total, err
		}
		from = next
		if err := rest(ctx); err != nil {
			return total, err
		}
	}
}

// Run removes expired predictions in the background until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	for {
		if pause(ctx, sweepEvery) != nil {
			return nil
		}
		_, err := s.sweep(ctx, freshet.TimestampOf(s.now().Add(-sweepBehind)), func(ctx context.Context) error { return pause(ctx, sweepRest) })
		if err != nil && ctx.Err() == nil {
			return freshet.Errorf("", "remove expired predictions: %w", err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
