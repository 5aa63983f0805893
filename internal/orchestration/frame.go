package orchestration

import (
	"context"
	"math"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
)

// frame is what one prediction needs while it is made: the flat list of values that the pipeline's expressions read, and
// the rows that the model scores. Frames are used again, so nothing of one may get into a prediction uncopied.
type frame struct {
	o     *Orchestrator
	rel   *release.Opened
	p     *release.Pipeline
	at    freshet.Timestamp
	slots []expression.Value

	entity        freshet.Key
	entityRows    []freshet.Row // of the pipeline's EntityViews
	candidates    []candidate
	candidateRows []freshet.Row // of its CandidateViews, for one candidate after the other

	ids     []freshet.Key // what is scored
	inputs  []float64     // of each, row after row
	lists   [][]float64   // that all rows share, for a model of texts
	outputs []float64     // likewise
	order   []int         // of ids, best first
	leftOut int           // candidates without a value that is required

	shared []float64          // inputs that do not depend on the candidate
	values []expression.Value // a buffer for reading views
}

// frame lends a frame with empty slots.
func (o *Orchestrator) frame(rel *release.Opened, p *release.Pipeline) *frame {
	f := o.frames.Get().(*frame)
	f.o, f.rel, f.p = o, rel, p
	f.slots = slices.Grow(f.slots[:0], p.Plan.Slots)[:p.Plan.Slots]
	clear(f.slots)
	f.entityRows, f.candidates, f.candidateRows = f.entityRows[:0], f.candidates[:0], f.candidateRows[:0]
	f.ids, f.inputs, f.lists, f.leftOut = f.ids[:0], f.inputs[:0], f.lists[:0], 0
	return f
}

// scored is room for n answers of the model.
func (f *frame) scored(n int) []float64 {
	f.outputs = slices.Grow(f.outputs[:0], n)[:n]
	return f.outputs
}

// gatherFor is gather once the rows have what caused job.
func (f *frame) gatherFor(ctx context.Context, req release.Request, job *freshet.Job) error {
	if job == nil {
		return f.gather(ctx, req)
	}
	return f.o.Features.Through(ctx, job.Cause.Partition, job.Cause.Offset, func() error { return f.gather(ctx, req) })
}

// gather lists the candidates and takes the rows of the entity and of all of them.
func (f *frame) gather(ctx context.Context, req release.Request) (err error) {
	f.entity = req.Entity.Key
	if err := f.list(req); err != nil {
		return err
	}
	if f.entityRows, err = f.o.Reader.Rows(ctx, f.entityRows, f.p.EntityViews.Views, f.entity); err != nil {
		return failed(freshet.FeaturesFailed, err)
	}
	if len(f.p.CandidateViews.Views) == 0 {
		return nil
	}
	for _, c := range f.candidates {
		if f.candidateRows, err = f.o.Reader.Rows(ctx, f.candidateRows, f.p.CandidateViews.Views, c.key); err != nil {
			return failed(freshet.FeaturesFailed, err)
		}
	}
	return nil
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
		return failed(freshet.FeaturesFailed, err)
	}
	if err := f.fillViews(ctx, f.p.EntityViews, f.entityRows, f.entity); err != nil {
		return err
	}
	return f.fillLookups(ctx, f.p.EntityLookups, f.entity)
}

// fillLookups fills what tables hold about the entity with key.
func (f *frame) fillLookups(ctx context.Context, lookups []release.Lookup, key freshet.Key) error {
	for _, l := range lookups {
		if l.Table != nil {
			l.Find(key, f.slots)
			continue
		}
		row, ok, err := f.o.Tables.Find(ctx, l.Spec, key, f.values[:0])
		if err != nil {
			return failed(freshet.FeaturesFailed, err)
		}
		if !ok {
			l.None(f.slots)
			continue
		}
		f.values = row.Values
		l.Given(row.Values, f.slots)
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
func (f *frame) fillViews(ctx context.Context, uses release.ViewUses, rows []freshet.Row, key freshet.Key) error {
	if len(uses.Views) == 0 {
		return nil
	}
	values, err := f.o.Reader.Read(ctx, f.rel, uses.Views, rows, key, f.at, f.values[:0])
	if err != nil {
		return failed(freshet.FeaturesFailed, err)
	}
	f.values = values
	uses.Fill(values, f.slots)
	return nil
}

// fillRows lists what is to be scored and its inputs. Inputs that do not depend on the candidate are computed once.
func (f *frame) fillRows(ctx context.Context) error {
	f.shared = f.shared[:0]
	for j := range f.p.Plan.Inputs {
		x, err := f.sharedInput(j)
		if err != nil {
			return err
		}
		f.shared = append(f.shared, x)
	}
	if f.p.Ranked == nil {
		f.ids, f.inputs = append(f.ids, f.entity), append(f.inputs, f.shared...)
		return nil
	}
	width := len(f.p.CandidateViews.Views)
	for i, c := range f.candidates {
		if err := f.fillRow(ctx, c, f.candidateRows[i*width:(i+1)*width]); err != nil {
			return err
		}
	}
	return nil
}

// fillRow adds a candidate, if the pipeline keeps it.
func (f *frame) fillRow(ctx context.Context, c candidate, rows []freshet.Row) error {
	if c.given != nil {
		f.p.Candidate.Given(c.given, f.slots)
	} else {
		f.p.Candidate.Row(c.row, f.slots)
	}
	if err := f.fillViews(ctx, f.p.CandidateViews, rows, c.key); err != nil {
		return err
	}
	if err := f.fillLookups(ctx, f.p.CandidateLookups, c.key); err != nil {
		return err
	}
	if f.p.Plan.Keep != nil {
		if keep, ok := f.p.Plan.Keep.Bool(f.slots); !ok || !keep {
			return nil
		}
	}
	f.ids, f.inputs = append(f.ids, c.key), append(f.inputs, f.shared...)
	row := f.inputs[len(f.inputs)-len(f.shared):]
	for j := range f.p.Plan.Inputs {
		in := &f.p.Plan.Inputs[j]
		if !in.Candidate {
			continue
		}
		if row[j] = f.candidateInput(j, c); in.Required && math.IsNaN(row[j]) {
			f.ids, f.inputs = f.ids[:len(f.ids)-1], f.inputs[:len(f.inputs)-len(row)]
			f.leftOut++
			return nil
		}
	}
	return nil
}
