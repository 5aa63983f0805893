package orchestration

import (
	"cmp"
	"context"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
)

// predict makes one prediction. Everything it reads is read at one moment T, which is the prediction's CreatedAt. job is nil for a
// request.
func (o *Orchestrator) predict(ctx context.Context, rel *release.Opened, p *release.Pipeline, req release.Request, job *freshet.Job) (freshet.Prediction, error) {
	f := o.frame(rel, p)
	defer o.frames.Put(f)
	if err := f.gather(ctx, req); err != nil {
		return freshet.Prediction{}, err
	}
	// Only now: whatever the rows hold has happened by T, so that they can answer for it without the log.
	f.at = freshet.TimestampOf(o.o.Now())
	if err := f.fillShared(ctx, req, job); err != nil {
		return freshet.Prediction{}, err
	}
	if err := f.fillRows(ctx); err != nil {
		return freshet.Prediction{}, err
	}
	columns, names := p.Model.Signature().Inputs, p.Model.Signature().Outputs
	outputs := f.scored(len(f.ids) * len(names))
	if len(f.ids) > 0 {
		if err := o.Models.Score(ctx, p.Model, f.inputs, outputs); err != nil {
			return freshet.Prediction{}, err
		}
	}
	prediction := freshet.Prediction{
		Pipeline: p.Name, Entity: req.Entity, Release: rel.ID(), Model: p.Model.Label(), CreatedAt: f.at,
	}
	if p.Expires > 0 {
		prediction.ExpiresAt = f.at.Add(p.Expires)
	}
	if job != nil {
		prediction.EventID, prediction.Cause, prediction.EventTime = job.EventID, job.Cause, job.EventTime
	}
	if p.Ranked == nil {
		prediction.Outputs = map[string]float64{}
		for i, name := range names {
			prediction.Outputs[name] = outputs[i]
		}
	}
	top := cmp.Or(req.Top, p.Top, len(f.ids))
	best := f.rank(len(names), top)
	prediction.Items = make([]freshet.Item, 0, len(best))
	for _, i := range best {
		prediction.Items = append(prediction.Items, freshet.Item{ID: f.ids[i], Score: outputs[i*len(names)]})
	}
	if req.Explain {
		prediction.Explanation = explain(columns, f.inputs, best)
	}
	return prediction, nil
}
