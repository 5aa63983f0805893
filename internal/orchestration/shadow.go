package orchestration

import (
	"context"
	"time"

	"github.com/freshet-ml/freshet"
)

// Bounds of what a shadow may take: one answer at a time, beside the workers. Jobs wait for their turn with it; those for which there is no room are
// not compared.
const (
	shadowTimeout = time.Second // of an answer
	shadowLine    = 64
)

// shadowed is a job that is done, for the shadow to answer as well.
type shadowed struct {
	job    freshet.Job
	served freshet.Prediction
}

// shadow has the release that runs in the shadow answer a job whose prediction is stored: for comparison, never to be served.
// It does not wait: whatever becomes of it changes nothing for the job, nor for those behind it.
func (o *Orchestrator) shadow(job *freshet.Job, served freshet.Prediction) {
	if o.Observer == nil || !o.Observer.Shadowed(job.ID) {
		return
	}
	select {
	case o.line <- shadowed{*job, served}:
	default:
		o.Metrics.notShadowed(job.Pipeline)
	}
}

// runShadow answers the jobs in the line until ctx ends.
func (o *Orchestrator) runShadow(ctx context.Context) error {
	for {
		select {
		case s := <-o.line:
			o.compare(context.WithoutCancel(ctx), &s.job, s.served) // what was begun is finished: an end is no failure
		case <-ctx.Done():
			return nil
		}
	}
}

// compare has the shadow, if there still is one, answer a job.
func (o *Orchestrator) compare(ctx context.Context, job *freshet.Job, served freshet.Prediction) {
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
