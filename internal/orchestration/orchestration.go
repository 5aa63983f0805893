// Package orchestration is the layer that makes predictions: it leases a job, pins the release that serves its entity, reads rows, tables and
// candidates at one moment, has the model score them, stores the best, and acknowledges. It never changes a feature and never opens a model.
package orchestration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/pushtable"
	"github.com/freshet-ml/freshet/internal/reader"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/predictionstore"
)

// scorer runs models: internal/serving, plugged in by the server.
type scorer interface {
	Score(ctx context.Context, m *release.Model, inputs, outputs []float64) error
	Rank(ctx context.Context, m *release.Model, lists [][]float64, inputs, outputs []float64) error
}

// messages takes what was predicted to people: internal/delivery, plugged in by the server.
type messages interface {
	// Offer takes a stored prediction of a job that was enqueued at made. The job is acknowledged behind it; offered again it changes nothing.
	Offer(ctx context.Context, p *release.Pipeline, prediction *freshet.Prediction, made freshet.Timestamp) error
}

// events are the log with all its past: eventlog.Log, or history.Log where old events are elsewhere.
type events interface {
	Read(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, limit int) ([]eventlog.Record, error)
}

// Deps are what an Orchestrator works with.
type Deps struct {
	Live        *release.Live
	Log         events // for the causing event of pipelines that use its fields
	Features    *featurestore.Store
	Reader      *reader.Reader
	Tables      *pushtable.Tables // may be nil if no pipeline reads a push table
	Jobs        *jobqueue.Queue
	Predictions *predictionstore.Store
	Models      scorer
	Messages    messages // may be nil: nobody is told
	Metrics     *Metrics
	Observer    Observer // may be nil
}

// Observer is told how each prediction went (the publishing layer).
type Observer interface {
	// Observe must not wait, and keeps nothing of o but numbers.
	Observe(o deployment.Outcome)
	// Shadowed tells whether the shadow, if there is one, runs a job beside what serves.
	Shadowed(job freshet.JobID) bool
	// Compare takes what the shadow rel answered to a job, beside what was stored. It must not wait.
	Compare(rel freshet.ReleaseID, job *freshet.Job, served, made freshet.Prediction, err error, took time.Duration)
}

// Options tune the orchestrator. The zero value is not good: Workers must be set.
type Options struct {
	Workers int              // jobs in work at once
	Timeout time.Duration    // of one attempt. Defaults to 10 s, less than the visibility timeout of a job
	Now     func() time.Time // Defaults to time.Now.
	Logger  *slog.Logger     // Defaults to slog.Default().
}

// Orchestrator runs jobs and answers requests. It may be used concurrently.
type Orchestrator struct {
	Deps
	o      Options
	frames sync.Pool    // of *frame
	told   atomic.Int64 // when a fallback was last logged, in Unix nanoseconds
	line   chan shadowed
}

// New returns an Orchestrator that has not started.
func New(d Deps, o Options) *Orchestrator {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Orchestrator{Deps: d, o: o, frames: sync.Pool{New: func() any { return &frame{} }}, line: make(chan shadowed, shadowLine)}
}

// Run works until ctx ends. Jobs that are in work then are finished.
func (o *Orchestrator) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range o.o.Workers {
		group.Go(func() error { return o.work(ctx) })
	}
	group.Go(func() error { return o.runShadow(ctx) })
	return group.Wait()
}

// work leases and runs jobs until ctx ends.
func (o *Orchestrator) work(ctx context.Context) error {
	var pace time.Duration
	for {
		leases, err := o.lease(ctx, pace)
		if err != nil && ctx.Err() == nil {
			return freshet.Errorf("", "orchestration: lease: %w", err)
		}
		start := time.Now()
		o.endAll(ctx, leases) // also leases that were granted as ctx ended: finished, not left to time out
		if ctx.Err() != nil {
			return nil
		}
		pace = time.Since(start) / time.Duration(max(1, len(leases)))
	}
}

// end runs the job of l and tells the queue how it went.
func (o *Orchestrator) end(ctx context.Context, l jobqueue.Lease) {
	// What was begun is finished, also while the server stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.o.Timeout)
	defer cancel()
	rel, err := o.run(ctx, l.Job)
	o.settle(ctx, l, rel, err)
}

// settle tells the queue how the job of l went with release rel; "" if it did not come to one.
func (o *Orchestrator) settle(ctx context.Context, l jobqueue.Lease, rel freshet.ReleaseID, err error) {
	if err == nil {
		err = o.Jobs.Ack(ctx, l, rel)
		o.Metrics.done(l, o.o.Now())
		if freshet.CodeOf(err) == freshet.PreconditionFailed {
			err = o.takeBack(ctx, l, err)
		}
	} else if late, ok := errors.AsType[*uselessError](err); ok {
		o.Metrics.dropped(l)
		err = o.Jobs.Bury(ctx, l, rel, late.Error())
	} else {
		o.Metrics.failed(l)
		o.o.Logger.Warn("job failed", slog.String("job", string(l.Job.ID)), slog.Int("attempt", l.Attempt), slog.String("release", string(rel)), slog.Any("error", err))
		err = o.Jobs.Fail(ctx, l, rel, err)
	}
	if err != nil && freshet.CodeOf(err) != freshet.PreconditionFailed { // the lease had run out: somebody else has the job
		o.o.Logger.Error("job not settled; it comes back when its lease ends", slog.String("job", string(l.Job.ID)), slog.Any("error", err))
	}
}

// takeBack forgets what the job of l has stored, if its entity was erased meanwhile. Otherwise the lease had run out, and
// somebody else has the job or has ended it: what is stored is as good as theirs.
func (o *Orchestrator) takeBack(ctx context.Context, l jobqueue.Lease, late error) error {
	if !o.Jobs.Erased(&l.Job) {
		return late
	}
	return o.Predictions.Delete(ctx, l.Job.Entity)
}

// run makes the prediction of one job and stores it. It says by which release, or would have.
func (o *Orchestrator) run(ctx context.Context, job freshet.Job) (by freshet.ReleaseID, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = freshet.Errorf(freshet.Internal, "panic: %v", p)
		}
	}()
	// After a restart jobs may be ahead of the rows, which are still being replayed.
	if err := o.Features.Wait(ctx, job.Cause.Partition, job.Cause.Offset); err != nil {
		return "", freshet.Errorf("", "wait for the features through offset %d: %w", job.Cause.Offset, err)
	}
	rel := o.Live.PinJob(job.Entity.Key, job.Pipeline)
	if rel == nil {
		return "", freshet.Errorf(freshet.Unavailable, "no release is live")
	}
	defer rel.Unpin()
	by = rel.ID() // also if what follows panics
	p, ok := rel.Pipeline(job.Pipeline)
	if !ok {
		return by, freshet.Errorf(freshet.NotFound, "release %s has no pipeline %s any more", by, job.Pipeline)
	}
	if err := o.useless(p, &job); err != nil {
		return by, err
	}
	prediction, err := o.predict(ctx, rel, p, requestOf(&job), &job)
	if err != nil {
		prediction, err = o.covered(ctx, rel, requestOf(&job), &job, err)
	}
	if err != nil {
		return by, err
	}
	by = prediction.Release
	if err := o.store(ctx, p, &job, &prediction); err != nil {
		return by, err
	}
	o.shadow(&job, prediction)
	return by, nil
}

// store keeps the prediction of a job, for those who pull it, and tells those who are to be told. All of it may happen again.
func (o *Orchestrator) store(ctx context.Context, p *release.Pipeline, job *freshet.Job, prediction *freshet.Prediction) error {
	if _, err := o.Predictions.Put(ctx, *prediction); err != nil || o.Messages == nil {
		return err
	}
	return o.Messages.Offer(ctx, p, prediction, job.EnqueuedAt)
}

// uselessError is why a job is dropped without an attempt.
type uselessError struct{ useful, age time.Duration }

func (e *uselessError) Error() string {
	return fmt.Sprintf("dropped: its turn came %s after it was made, and it is useful for %s", e.age.Round(time.Millisecond), e.useful)
}

// useless says whether job is older than its pipeline finds useful.
func (o *Orchestrator) useless(p *release.Pipeline, job *freshet.Job) error {
	if p.Useful == 0 {
		return nil
	}
	if age := freshet.TimestampOf(o.o.Now()).Sub(job.EnqueuedAt); age > p.Useful {
		return &uselessError{p.Useful, age}
	}
	return nil
}

// Predict makes the prediction that req asks for, with the release rel, which the caller has pinned and which serves; the live release answers what it fails at. It is not
// stored. InvalidArgument and NotFound name what is wrong with req.
func (o *Orchestrator) Predict(ctx context.Context, rel *release.Opened, req release.Request) (freshet.Prediction, error) {
	prediction, err := o.Try(ctx, rel, req)
	if err != nil {
		prediction, err = o.covered(ctx, rel, req, nil, err)
	}
	return prediction, err
}

// Try is Predict with the release rel alone, whether or not it serves.
func (o *Orchestrator) Try(ctx context.Context, rel *release.Opened, req release.Request) (freshet.Prediction, error) {
	p, ok := rel.Pipeline(req.Pipeline)
	if !ok {
		return freshet.Prediction{}, freshet.FieldErrorf(freshet.NotFound, "pipeline", "no pipeline %q in release %s", req.Pipeline, rel.ID())
	}
	if req.Entity.Kind != p.Entity {
		return freshet.Prediction{}, freshet.FieldErrorf(freshet.InvalidArgument, "entity", "pipeline %s is about %s, not %s", p.Name, p.Entity, req.Entity.Kind)
	}
	prediction, err := o.predict(ctx, rel, p, req, nil)
	if err != nil && errors.Is(err, context.DeadlineExceeded) {
		return prediction, freshet.Errorf(freshet.DeadlineExceeded, "pipeline %s: %w", p.Name, err)
	}
	return prediction, err
}

// Again makes a stored prediction anew, with the features of now and of the event that caused it: the release that made it was taken back. It is not
// stored: the entity may be erased meanwhile, and its next event stores another one. What was asked for with a context is made without.
func (o *Orchestrator) Again(ctx context.Context, rel *release.Opened, was freshet.Prediction) (freshet.Prediction, error) {
	p, ok := rel.Pipeline(was.Pipeline)
	if !ok {
		return freshet.Prediction{}, freshet.FieldErrorf(freshet.NotFound, "pipeline", "no pipeline %q in release %s", was.Pipeline, rel.ID())
	}
	job := &freshet.Job{Pipeline: was.Pipeline, Entity: was.Entity, EventID: was.EventID, Cause: was.Cause, EventTime: was.EventTime}
	req := requestOf(job)
	if was.Cause == (freshet.Place{}) {
		job = nil
	}
	prediction, err := o.predict(ctx, rel, p, req, job)
	if err != nil {
		prediction, err = o.covered(ctx, rel, req, job, err)
	}
	return prediction, err
}
