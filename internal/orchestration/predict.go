package orchestration

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
)

// predict makes one prediction. Everything it reads is read at one moment T, which is the prediction's CreatedAt. job is nil for a
// request.
func (o *Orchestrator) predict(ctx context.Context, rel *release.Opened, p *release.Pipeline, req release.Request, job *freshet.Job) (freshet.Prediction, error) {
	t := freshet.TimestampOf(o.o.Now())
	f := &frame{o: o, rel: rel, p: p, at: t, slots: make([]expression.Value, p.Plan.Slots)}
	if err := f.fillShared(ctx, req, job); err != nil {
		return freshet.Prediction{}, err
	}
	ids, inputs, err := f.rows(ctx, req)
	if err != nil {
		return freshet.Prediction{}, err
	}
	columns, names := p.Model.Signature().Inputs, p.Model.Signature().Outputs
	outputs := make([]float64, len(ids)*len(names))
	if len(ids) > 0 {
		if err := o.Models.Score(ctx, p.Model, inputs, outputs); err != nil {
			return freshet.Prediction{}, err
		}
	}
	prediction := freshet.Prediction{
		Pipeline: p.Name, Entity: req.Entity, Release: rel.ID(), Model: p.Model.Label(), CreatedAt: t,
	}
	if p.Expires > 0 {
		prediction.ExpiresAt = t.Add(p.Expires)
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
	top := cmp.Or(req.Top, p.Top, len(ids))
	best := rank(ids, outputs, len(names), top)
	for _, i := range best {
		prediction.Items = append(prediction.Items, freshet.Item{ID: ids[i], Score: outputs[i*len(names)]})
	}
	if req.Explain {
		prediction.Explanation = explain(columns, inputs, best)
	}
	return prediction, nil
}

// rank gives the indexes of the top best rows: by score, equal ones by id, so that the order never depends on chance.
func rank(ids []freshet.Key, outputs []float64, width, top int) []int {
	order := make([]int, len(ids))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(outputs[b*width], outputs[a*width]), cmp.Compare(ids[a], ids[b]))
	})
	return order[:min(top, len(order))]
}

// frame is the flat list of values that a pipeline's expressions read, and the way to fill it.
type frame struct {
	o     *Orchestrator
	rel   *release.Opened
	p     *release.Pipeline
	at    freshet.Timestamp
	slots []expression.Value
	// values is a buffer for reading views.
	values []expression.Value
}

// fillShared fills what is the same for all candidates.
func (f *frame) fillShared(ctx context.Context, req release.Request, job *freshet.Job) error {
	plan := f.p.Plan
	if plan.Now >= 0 {
		f.slots[plan.Now] = expression.Value{Kind: expression.Time, Num: float64(f.at)}
	}
	if err := f.fillContext(req); err != nil {
		return err
	}
	if err := f.fillEvent(ctx, job); err != nil {
		return err
	}
	if err := f.fillViews(ctx, req.Entity.Key, f.p.EntityViews); err != nil {
		return err
	}
	for _, l := range f.p.EntityLookups {
		l.Find(req.Entity.Key, f.slots)
	}
	return nil
}

func (f *frame) fillContext(req release.Request) error {
	for _, c := range f.p.Plan.Context {
		v, ok := req.Context[c.Name]
		if !ok || v.Kind == expression.Null {
			continue
		}
		if v.Kind != c.Kind {
			return freshet.FieldErrorf(freshet.InvalidArgument, "context."+c.Name, "context.%s: pipeline %s uses it as a %s", c.Name, f.p.Name, c.Kind)
		}
		f.slots[c.Slot] = v
	}
	return nil
}

// fillEvent copies the fields of the causing event, which a request does not have: there they are null.
func (f *frame) fillEvent(ctx context.Context, job *freshet.Job) error {
	if f.p.Plan.Event < 0 || job == nil {
		return nil
	}
	records, err := f.o.Log.Read(ctx, make([]eventlog.Record, 0, 1), job.Cause.Partition, job.Cause.Offset, 1)
	if err != nil {
		return err
	}
	if len(records) == 0 || records[0].Offset != job.Cause.Offset {
		return freshet.Errorf(freshet.NotFound, "event %s at %d/%d is not in the log any more", job.EventID, job.Cause.Partition, job.Cause.Offset)
	}
	rec := f.rel.Project().Schema.NewRecord() // not a lent one: the frame's texts point into it
	if err := f.rel.Project().Schema.DecodeEvent(&records[0].Event, rec); err != nil {
		return err
	}
	copy(f.slots[f.p.Plan.Event:], rec.Slots())
	return nil
}

// fillViews reads the views of the entity with key at the frame's moment.
func (f *frame) fillViews(ctx context.Context, key freshet.Key, uses []project.ViewUse) error {
	if len(uses) == 0 {
		return nil
	}
	var buf [16]*feature.View
	views := buf[:0]
	for _, u := range uses {
		views = append(views, u.View)
	}
	values, err := f.o.Reader.Values(ctx, f.rel, views, key, f.at, false, f.values[:0])
	if err != nil {
		return err
	}
	f.values = values
	for _, u := range uses {
		n := copy(f.slots[u.Base:u.Base+len(u.View.Features())], values)
		values = values[n:]
	}
	return nil
}

// rows lists what is to be scored and its inputs, row after row. Inputs that do not depend on the candidate are computed
// once.
func (f *frame) rows(ctx context.Context, req release.Request) ([]freshet.Key, []float64, error) {
	plan := f.p.Plan
	shared := make([]float64, len(plan.Inputs))
	for j, in := range plan.Inputs {
		if !in.Candidate {
			shared[j] = number(in.Program, f.slots)
		}
	}
	if f.p.Ranked == nil {
		if len(req.Candidates) > 0 {
			return nil, nil, freshet.FieldErrorf(freshet.InvalidArgument, "candidates", "pipeline %s takes no candidates: it scores the %s itself", f.p.Name, f.p.Entity)
		}
		return []freshet.Key{req.Entity.Key}, shared, nil
	}
	c, err := f.candidates(req)
	if err != nil {
		return nil, nil, err
	}
	ids := make([]freshet.Key, 0, c.len())
	inputs := make([]float64, 0, c.len()*len(shared))
	for i := range c.len() {
		key, err := c.fill(i, f.slots)
		if err != nil {
			return nil, nil, err
		}
		if err := f.fillViews(ctx, key, f.p.CandidateViews); err != nil {
			return nil, nil, err
		}
		for _, l := range f.p.CandidateLookups {
			l.Find(key, f.slots)
		}
		if plan.Keep != nil {
			if keep, ok := plan.Keep.Bool(f.slots); !ok || !keep {
				continue
			}
		}
		ids = append(ids, key)
		inputs = append(inputs, shared...)
		row := inputs[len(inputs)-len(shared):]
		for j, in := range plan.Inputs {
			if in.Candidate {
				row[j] = number(in.Program, f.slots)
			}
		}
	}
	return ids, inputs, nil
}

// number is an input as the model takes it: a missing value is NaN.
func number(p *expression.Program, slots []expression.Value) float64 {
	if v, ok := p.Number(slots); ok {
		return v
	}
	return math.NaN()
}
