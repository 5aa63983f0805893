package orchestration

import (
	"context"
	"log/slog"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
)

const (
	// maxLeases is how many jobs a worker takes at once.
	maxLeases = 16
	// slowJob is the time for one job above which a worker takes one at a time: jobs that it holds and has not begun wait
	// for it alone, and their leases run.
	slowJob = 20 * time.Millisecond
)

// lease waits for jobs. A worker takes its share of what is waiting anyway: with a short line, one job, so that no job waits
// behind another while a worker is idle. pace is how long each job of the last lot took.
func (o *Orchestrator) lease(ctx context.Context, pace time.Duration) ([]jobqueue.Lease, error) {
	n := 1
	if pace <= slowJob {
		n = max(1, min(maxLeases, o.Jobs.Stats().Queued/max(1, o.o.Workers)))
	}
	return o.Jobs.Lease(ctx, n)
}

// endAll runs the jobs of leases and tells the queue how they went.
func (o *Orchestrator) endAll(ctx context.Context, leases []jobqueue.Lease) {
	if len(leases) > 1 {
		leases = o.together(ctx, leases)
	}
	for i, l := range leases {
		if i > 0 && !o.o.Now().Before(l.Until) {
			continue // those before it took too long: it is somebody else's by now
		}
		o.end(ctx, l)
	}
}

// lot are jobs of one pipeline of one release, whose rows the model scores in one call.
type lot struct {
	rel    *release.Opened // pinned
	p      *release.Pipeline
	leases []jobqueue.Lease
}

// together makes the predictions of jobs that score one row each with one call of the model, and returns the leases of
// the others: pipelines with candidates have many rows each, a deadline is for one job alone, and whatever fails here is
// tried again alone, so that one job's fault is not another's.
func (o *Orchestrator) together(ctx context.Context, leases []jobqueue.Lease) (others []jobqueue.Lease) {
	var lots []*lot
	for _, l := range leases {
		if !o.join(&lots, l) {
			others = append(others, l)
		}
	}
	for _, lot := range lots {
		rest := lot.leases
		if len(lot.leases) > 1 {
			rest = o.runLot(ctx, lot)
		}
		lot.rel.Unpin()
		others = append(others, rest...)
	}
	return others
}

// join adds l to the lot that it belongs to, if it belongs to one.
func (o *Orchestrator) join(lots *[]*lot, l jobqueue.Lease) bool {
	if o.Features.Applied(l.Job.Cause.Partition) < l.Job.Cause.Offset {
		return false
	}
	rel := o.Live.PinJob(l.Job.Entity.Key, l.Job.Pipeline)
	if rel == nil {
		return false
	}
	p, ok := rel.Pipeline(l.Job.Pipeline)
	if !ok || p.Ranked != nil || p.Texts != nil || p.Deadline > 0 || o.useless(p, &l.Job) != nil {
		rel.Unpin()
		return false
	}
	for _, lot := range *lots {
		if lot.rel == rel && lot.p == p {
			rel.Unpin() // the lot has it pinned
			lot.leases = append(lot.leases, l)
			return true
		}
	}
	*lots = append(*lots, &lot{rel: rel, p: p, leases: []jobqueue.Lease{l}})
	return true
}

// runLot makes the predictions of a lot and returns the leases of those that it could not make.
func (o *Orchestrator) runLot(ctx context.Context, lot *lot) (others []jobqueue.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.o.Timeout)
	defer cancel()
	settled := 0 // of the leases that are in others or have ended, those at the front
	defer func() {
		if p := recover(); p != nil {
			o.o.Logger.Error("panic in a lot of jobs; each is tried alone", slog.Any("panic", p))
			others = append(others, lot.leases[settled:]...)
		}
	}()
	made, err := o.score(ctx, lot)
	if err != nil {
		return lot.leases
	}
	for i := range lot.leases {
		l := lot.leases[i]
		if made[i] == nil {
			others = append(others, l)
		} else if err := o.store(ctx, lot.p, &l.Job, made[i]); err != nil {
			others = append(others, l)
		} else {
			o.settle(ctx, l, lot.rel.ID(), nil)
			o.shadow(&l.Job, *made[i])
		}
		settled = i + 1
	}
	return others
}

// score makes the predictions of a lot; one that cannot be made is nil.
func (o *Orchestrator) score(ctx context.Context, lot *lot) ([]*freshet.Prediction, error) {
	start := o.o.Now()
	made := make([]*freshet.Prediction, len(lot.leases))
	frames := make([]*frame, 0, len(lot.leases))
	defer func() {
		for _, f := range frames {
			o.frames.Put(f)
		}
	}()
	var which []int // of the leases, by frame
	var inputs []float64
	for i := range lot.leases {
		job := &lot.leases[i].Job
		f := o.frame(lot.rel, lot.p)
		if err := f.fill(ctx, requestOf(job), job); err != nil {
			o.frames.Put(f)
			continue
		}
		frames, which, inputs = append(frames, f), append(which, i), append(inputs, f.inputs...)
	}
	if len(frames) == 0 {
		return made, nil
	}
	width := len(lot.p.Model.Signature().Outputs)
	outputs := make([]float64, len(frames)*width)
	if err := o.Models.Score(ctx, lot.p.Model, inputs, outputs); err != nil {
		return nil, err
	}
	each := o.o.Now().Sub(start) / time.Duration(len(frames))
	for i, f := range frames {
		copy(f.scored(width), outputs[i*width:])
		job := &lot.leases[which[i]].Job
		if prediction, err := f.made(requestOf(job), job); err == nil {
			made[which[i]] = &prediction
			o.observe(ctx, lot.rel, requestOf(job), prediction, nil, each)
		}
	}
	o.Metrics.scoredTogether(lot.p.Name, len(frames))
	return made, nil
}

// requestOf is what a job asks for.
func requestOf(job *freshet.Job) release.Request {
	return release.Request{Pipeline: job.Pipeline, Entity: job.Entity, Explain: true}
}
