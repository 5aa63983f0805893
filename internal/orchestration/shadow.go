package orchestration

import (
	"context"
	"time"

	"github.com/freshet-ml/freshet"
)

// shadowTimeout bounds what a shadow may take of a worker for one job.
const shadowTimeout = time.Second

// shadow has the release that runs in the shadow answer a job whose prediction is stored: for comparison, never to be served.
// Whatever becomes of it changes nothing for the job.
func (o *Orchestrator) shadow(ctx context.Context, job *freshet.Job, served freshet.Prediction) {
	if o.Observer == nil || !o.Observer.Shadowed(job.ID) {
		return
	}
	rel := o.Live.PinShadow()
	if rel == nil {
		return
	}
	defer rel.Unpin()
	p, ok := rel.Pipeline(job.Pipeline)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, shadowTimeout)
	defer cancel()
	start := o.o.Now()
	made, err := o.guarded(func() (freshet.Prediction, error) { return o.answer(ctx, rel, p, requestOf(job), job) })
	o.Observer.Compare(rel.ID(), job, served, made, err, o.o.Now().Sub(start))
}

// guarded makes a panic an error.
func (o *Orchestrator) guarded(f func() (freshet.Prediction, error)) (made freshet.Prediction, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = freshet.Errorf(freshet.Internal, "panic: %v", p)
		}
	}()
	return f()
}
