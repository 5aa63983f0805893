package orchestration

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/release"
)

// predict makes one prediction, and tells the observer how that went. job is nil for a request.
func (o *Orchestrator) predict(ctx context.Context, rel *release.Opened, p *release.Pipeline, req release.Request, job *freshet.Job) (freshet.Prediction, error) {
	start := o.o.Now()
	prediction, err := o.answer(ctx, rel, p, req, job)
	o.observe(ctx, rel, req, prediction, err, o.o.Now().Sub(start))
	return prediction, err
}

// covered has the live release answer where another one has failed, a canary, or one that was a canary a moment ago: that a release is tried shall cost
// nobody a prediction. If the live release cannot answer either, failed is the error.
func (o *Orchestrator) covered(ctx context.Context, rel *release.Opened, req release.Request, job *freshet.Job, failed error) (freshet.Prediction, error) {
	live := o.Live.Pin()
	if live == nil {
		return freshet.Prediction{}, failed
	}
	defer live.Unpin()
	p, ok := live.Pipeline(req.Pipeline)
	if live == rel || ctx.Err() != nil || !ok || p.Entity != req.Entity.Kind {
		return freshet.Prediction{}, failed
	}
	prediction, err := o.predict(ctx, live, p, req, job)
	if err != nil {
		return freshet.Prediction{}, failed
	}
	o.Metrics.coveredFor(req.Pipeline)
	return prediction, nil
}

func (o *Orchestrator) observe(ctx context.Context, rel *release.Opened, req release.Request, made freshet.Prediction, err error, took time.Duration) {
	if o.Observer == nil {
		return
	}
	outcome := deployment.OutcomeOf(rel.ID(), req, made, err, took)
	// Whoever went away may have done so because it took so long. That an attempt ran out of its own time is a failure.
	outcome.GivenUp = err != nil && errors.Is(ctx.Err(), context.Canceled)
	o.Observer.Observe(outcome)
}

// answer is the pipeline's own prediction, or if that fails the one of its fallback.
func (o *Orchestrator) answer(ctx context.Context, rel *release.Opened, p *release.Pipeline, req release.Request, job *freshet.Job) (freshet.Prediction, error) {
	prediction, err := o.attempt(ctx, rel, p, req, job)
	if err == nil {
		return prediction, nil
	}
	why, ok := errors.AsType[*failure](err)
	if !ok || p.Fallback == nil || ctx.Err() != nil { // nobody waits for a fallback then
		return freshet.Prediction{}, err
	}
	return o.fallBack(ctx, rel, p, req, job, why)
}

// attempt makes the pipeline's own prediction within its deadline.
func (o *Orchestrator) attempt(ctx context.Context, rel *release.Opened, p *release.Pipeline, req release.Request, job *freshet.Job) (freshet.Prediction, error) {
	if p.Deadline == 0 {
		return o.compute(ctx, rel, p, req, job)
	}
	within, cancel := context.WithTimeout(ctx, p.Deadline)
	defer cancel()
	prediction, err := o.compute(within, rel, p, req, job)
	// What comes late does not count, whether or not the model noticed: a deadline is a promise about time.
	if within.Err() != nil && ctx.Err() == nil {
		return freshet.Prediction{}, failed(freshet.DeadlineMissed, freshet.Errorf(freshet.DeadlineExceeded, "pipeline %s: nothing within its deadline of %s", p.Name, p.Deadline))
	}
	return prediction, err
}

// compute makes the pipeline's own prediction. Everything it reads is read at one moment T, which is the prediction's CreatedAt.
func (o *Orchestrator) compute(ctx context.Context, rel *release.Opened, p *release.Pipeline, req release.Request, job *freshet.Job) (freshet.Prediction, error) {
	f := o.frame(rel, p)
	defer o.frames.Put(f)
	if err := f.fill(ctx, req, job); err != nil {
		return freshet.Prediction{}, err
	}
	names := p.Model.Signature().Outputs
	outputs := f.scored(len(f.ids) * len(names))
	if err := f.score(ctx, outputs); err != nil {
		return freshet.Prediction{}, err
	}
	return f.made(req, job)
}

// made is the prediction that the model's answers in f make.
func (f *frame) made(req release.Request, job *freshet.Job) (freshet.Prediction, error) {
	p, outputs, names := f.p, f.outputs, f.p.Model.Signature().Outputs
	best := f.rank(len(names), cmp.Or(req.Top, p.Top, len(f.ids)))
	if err := f.known(best, len(names)); err != nil {
		return freshet.Prediction{}, err
	}
	prediction := f.prediction(req, job, best, len(names))
	prediction.Model = p.Model.Label()
	if p.Ranked == nil && len(best) > 0 {
		prediction.Outputs = map[string]float64{}
		for i, name := range names {
			prediction.Outputs[name] = outputs[i]
		}
	}
	if req.Explain {
		prediction.Explanation = f.explain(best)
	}
	return prediction, nil
}

// fill reads all that the pipeline's expressions need, and makes the rows to score.
func (f *frame) fill(ctx context.Context, req release.Request, job *freshet.Job) error {
	if err := f.gatherFor(ctx, req, job); err != nil {
		return err
	}
	// Only now: whatever the rows hold has happened by T, so that they can answer for it without the log.
	f.at = freshet.TimestampOf(f.o.o.Now())
	if err := f.fillShared(ctx, req, job); err != nil {
		return err
	}
	return f.fillRows(ctx)
}

// score has the model score the rows.
func (f *frame) score(ctx context.Context, outputs []float64) (err error) {
	switch {
	case len(f.ids) == 0:
		return nil
	case len(f.lists) > 0:
		err = f.o.Models.Rank(ctx, f.p.Model, f.lists, f.inputs, outputs)
	default:
		err = f.o.Models.Score(ctx, f.p.Model, f.inputs, outputs)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, release.ErrNotANumber):
		return failed(freshet.NotANumber, err)
	case freshet.CodeOf(err) == freshet.InvalidArgument: // the model's own signature requires it
		return failed(freshet.InputMissing, err)
	}
	return failed(freshet.ModelFailed, err)
}

// known counts the candidates that were left out. It is an error if that left nothing of what there was: one for a
// fallback to mend; without one, the prediction has no items.
func (f *frame) known(best []int, width int) error {
	unknown := 0
	for i := range f.ids {
		if f.outputs[i*width] != f.outputs[i*width] {
			unknown++
		}
	}
	f.o.Metrics.leftOut(f.p.Name, freshet.InputMissing, f.leftOut)
	f.o.Metrics.leftOut(f.p.Name, freshet.NothingKnown, unknown)
	switch {
	case len(f.ids) == 0 && f.leftOut > 0:
		return failed(freshet.InputMissing, freshet.Errorf(freshet.InvalidArgument, "pipeline %s: each of %d candidates lacks an input that is required", f.p.Name, f.leftOut))
	case unknown > 0 && unknown == len(f.ids) && f.p.Fallback != nil:
		return failed(freshet.NothingKnown, freshet.Errorf(freshet.NotFound, "model %s knows nothing of it", f.p.Model.Label()))
	}
	return nil
}

// prediction is one of the rows best, whose scores are the first of width outputs each.
func (f *frame) prediction(req release.Request, job *freshet.Job, best []int, width int) freshet.Prediction {
	prediction := freshet.Prediction{Pipeline: f.p.Name, Entity: req.Entity, Release: f.rel.ID(), CreatedAt: f.at}
	if f.p.Expires > 0 {
		prediction.ExpiresAt = f.at.Add(f.p.Expires)
	}
	if job != nil {
		prediction.EventID, prediction.Cause, prediction.EventTime = job.EventID, job.Cause, job.EventTime
	}
	prediction.Items = make([]freshet.Item, 0, len(best))
	for _, i := range best {
		prediction.Items = append(prediction.Items, freshet.Item{ID: f.ids[i], Score: f.outputs[i*width]})
	}
	return prediction
}
