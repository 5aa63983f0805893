package orchestration

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
)

// failure is an error for which the pipeline's fallback answers. Others are mistakes of whoever asked.
type failure struct {
	cause freshet.FallbackCause
	err   error
}

func failed(cause freshet.FallbackCause, err error) error {
	if err == nil {
		return nil
	}
	return &failure{cause, err}
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// Fallback makes the prediction that a pipeline serves to those for whom nothing is stored. It is not stored either. Returns
// NotFound if the pipeline has no fallback.
func (o *Orchestrator) Fallback(ctx context.Context, rel *release.Opened, req release.Request) (freshet.Prediction, error) {
	nothing := freshet.Errorf(freshet.NotFound, "pipeline %s has no prediction for %s that is still good", req.Pipeline, req.Entity)
	p, ok := rel.Pipeline(req.Pipeline)
	if !ok || p.Fallback == nil {
		return freshet.Prediction{}, nothing
	}
	return o.fallBack(ctx, rel, p, req, nil, &failure{freshet.NoPrediction, nothing})
}

// fallBack answers for p, which has a fallback and failed.
func (o *Orchestrator) fallBack(ctx context.Context, rel *release.Opened, p *release.Pipeline, req release.Request, job *freshet.Job, why *failure) (freshet.Prediction, error) {
	o.tell(p, why)
	var made freshet.Prediction
	var err error
	if p.Fallback.Pipeline != "" {
		made, err = o.instead(ctx, rel, p, req, job)
	} else {
		made, err = o.firstOf(ctx, rel, p, req, job)
	}
	if err != nil {
		code := freshet.CodeOf(why)
		if why.cause == freshet.NoPrediction { // that alone is no failure
			code = freshet.CodeOf(err)
		}
		return freshet.Prediction{}, freshet.Errorf(code, "%w; the fallback of pipeline %s: %w", why, p.Name, err)
	}
	o.Metrics.fellBack(p.Name, why.cause)
	made.Fallback, made.FallbackCause = true, why.cause
	if made.Explanation != nil {
		made.Explanation.Reason = reason(why)
	}
	return made, nil
}

// instead is what another pipeline says.
func (o *Orchestrator) instead(ctx context.Context, rel *release.Opened, p *release.Pipeline, req release.Request, job *freshet.Job) (freshet.Prediction, error) {
	other, ok := rel.Pipeline(p.Fallback.Pipeline)
	if !ok {
		return freshet.Prediction{}, freshet.Errorf(freshet.Internal, "release %s has no pipeline %s", rel.ID(), p.Fallback.Pipeline)
	}
	req.Top = cmp.Or(req.Top, p.Top)
	made, err := o.answer(ctx, rel, other, req, job)
	made.Pipeline, made.ExpiresAt = p.Name, 0
	if p.Expires > 0 {
		made.ExpiresAt = made.CreatedAt.Add(p.Expires)
	}
	return made, err
}

// commonFor is how long an order is served that is the same for everybody.
const commonFor = time.Second

// firstOf is inOrder. Where the order is the same for everybody it is that of at most a moment ago: a table is not read and sorted for each who asks.
func (o *Orchestrator) firstOf(ctx context.Context, rel *release.Opened, p *release.Pipeline, req release.Request, job *freshet.Job) (freshet.Prediction, error) {
	if p.Order.Common == nil || job != nil || req.Explain || req.Candidates != nil || p.Top > 0 && req.Top > p.Top {
		return o.inOrder(ctx, rel, p, req, job)
	}
	made, err := p.Order.Common.Get(freshet.TimestampOf(o.o.Now().Add(-commonFor)), func() (freshet.Prediction, error) {
		return o.inOrder(ctx, rel, p, release.Request{Pipeline: p.Name, Entity: req.Entity}, nil)
	})
	if err != nil {
		return freshet.Prediction{}, err
	}
	made.Entity = req.Entity
	made.Items = slices.Clone(made.Items[:min(cmp.Or(req.Top, len(made.Items)), len(made.Items))])
	return made, nil
}

// inOrder is what stands first in the order of a table.
func (o *Orchestrator) inOrder(ctx context.Context, rel *release.Opened, p *release.Pipeline, req release.Request, job *freshet.Job) (freshet.Prediction, error) {
	f := o.frame(rel, p.Order)
	defer o.frames.Put(f)
	if err := f.fill(ctx, req, job); err != nil {
		return freshet.Prediction{}, err
	}
	top := cmp.Or(req.Top, p.Top, len(f.ids))
	scores := f.scored(len(f.ids))
	clear(scores)
	var best []int
	if len(p.Order.Plan.Inputs) > 0 {
		copy(scores, f.inputs) // one input a row
		for i, x := range scores {
			if math.IsNaN(x) {
				scores[i] = math.Inf(-1) // rows without a value are the last
			}
		}
		best = f.rank(1, top)
	} else {
		best = f.inFileOrder(top)
	}
	prediction := f.prediction(req, job, best, 1)
	prediction.Model = "" // none had a say
	if req.Explain {
		prediction.Explanation = f.explain(best)
	}
	return prediction, nil
}

func (f *frame) inFileOrder(top int) []int {
	f.order = f.order[:0]
	for i := range min(top, len(f.ids)) {
		f.order = append(f.order, i)
	}
	return f.order
}

// reason says what went wrong, in at most a few hundred bytes. The detail of an internal error stays in the log.
func reason(why *failure) string {
	if freshet.CodeOf(why) == freshet.Internal && why.cause != freshet.NotANumber {
		return "internal error; the server's log has the detail"
	}
	const most = 300
	text := why.Error()
	return text[:min(len(text), most)]
}

// tellEvery is how often a fallback gets into the log: the metrics count them all.
const tellEvery = time.Second

// tell logs why a pipeline fell back, if it is a fault and the last line is not too near.
func (o *Orchestrator) tell(p *release.Pipeline, why *failure) {
	if why.cause == freshet.NoPrediction || why.cause == freshet.NothingKnown {
		return
	}
	now := o.o.Now().UnixNano()
	last := o.told.Load()
	if now-last < int64(tellEvery) || !o.told.CompareAndSwap(last, now) {
		return
	}
	o.o.Logger.Warn("fallback", slog.String("pipeline", string(p.Name)), slog.String("cause", string(why.cause)), slog.Any("error", why.err))
}
