package api

import (
	"context"
	"errors"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

// waiting gives a context that ends when the wait of b is over, the client is gone, or the server goes down.
func (a *API) waiting(ctx context.Context, b barrier) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, b.wait)
	stop := context.AfterFunc(a.draining, cancel)
	return ctx, func() { stop(); cancel() }
}

// awaitRows waits until the rows of all keys show what b covers. stale says that the time ran out.
func (a *API) awaitRows(ctx context.Context, b barrier, keys ...freshet.Key) (stale bool, err error) {
	if !b.given || a.applied(b, keys) {
		return false, nil
	}
	if b.wait == 0 {
		return true, nil
	}
	waiting, cancel := a.waiting(ctx, b)
	defer cancel()
	for _, key := range keys {
		p := freshet.PartitionOf(key)
		if through := b.through.Through(p); through > 0 {
			if err := a.deps.Rows.Wait(waiting, p, through); err != nil {
				return timedOut(ctx, err)
			}
		}
	}
	return false, nil
}

func (a *API) applied(b barrier, keys []freshet.Key) bool {
	for _, key := range keys {
		p := freshet.PartitionOf(key)
		if a.deps.Rows.Applied(p) < b.through.Through(p) {
			return false
		}
	}
	return true
}

// awaitJobs waits until all jobs that b's events made for s have ended. stale says that the time ran out or that the
// newest of them failed: a stored prediction is then older than b.
func (a *API) awaitJobs(ctx, waiting context.Context, b barrier, s jobqueue.Subject) (stale bool, err error) {
	through := b.through.Through(freshet.PartitionOf(s.Entity.Key))
	if !b.given || through == 0 {
		return false, nil
	}
	state, err := a.deps.Jobs.Wait(waiting, s, through)
	if err != nil {
		return timedOut(ctx, err)
	}
	return state != jobqueue.Ended, nil
}

// timedOut tells the end of the wait, which makes an answer stale, from the end of the request and from failures.
func timedOut(request context.Context, err error) (stale bool, _ error) {
	if request.Err() != nil {
		return false, request.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true, nil
	}
	return false, err
}
