// Package receiver is the layer between the event log and what is derived from it: it reads each partition in order,
// brings the rows of all views of all open releases up to date, makes the jobs that events cause, fills the views that are
// new, and checkpoints. It never computes a feature value and never runs a job.
//
// What is open (release.Live) may change at any time: each partition takes the change over between two micro-batches. A
// view that two releases share is fed once. A view that is new is filled by a replay of the past in small steps, beside the
// live events and by the same goroutine, until it has what the others have; then it is one of them. How far it has come stands in the
// checkpoint, so that a restart goes on from there. See Fill, AwaitFilled and DropUnused.
package receiver

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
)

// Options tune the receiver. The zero value is good.
type Options struct {
	// CheckpointEvery is the longest time between two checkpoints of a partition in which something happened: what a
	// restart has to replay at most. Defaults to 2 s.
	CheckpointEvery time.Duration
	// CheckpointRows is the number of row changes after which a checkpoint is taken earlier: it bounds the rows that wait
	// in memory. Defaults to 8,192.
	CheckpointRows int
	// CheckpointBytes is the same in bytes, each change counted with its key and bookkeeping: rows may be long. It also ends a
	// micro-batch. Defaults to 4 MiB.
	CheckpointBytes int
	// BatchEvents bounds a micro-batch when the receiver is behind; at the head a batch is what one group commit brought.
	// Defaults to 512.
	BatchEvents int
	// IdleTimeout is how long a partition may be without an event before its watermark goes on with the clock. It decides
	// nothing about events: see Stream.Watermark. Defaults to 1 min.
	IdleTimeout time.Duration
	// FillEvents bounds a step in which a new view is filled. A live event of the same partition ends it early. Defaults to 1,024.
	FillEvents int
	// Fills is how many partitions are filled at once. Defaults to one.
	Fills  int
	Now    func() time.Time // Defaults to time.Now.
	Logger *slog.Logger     // Defaults to slog.Default().
}

// events are the log with all its past: eventlog.Log, or history.Log where old events are elsewhere.
type events interface {
	Read(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, limit int) ([]eventlog.Record, error)
	Pick(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, n int, want eventlog.Want) (out []eventlog.Record, next freshet.Offset, err error)
	Wait(ctx context.Context, partition freshet.Partition, offset freshet.Offset) error
	Head(partition freshet.Partition) freshet.Offset
}

// Receiver owns all partitions.
type Receiver struct {
	log      events
	features *featurestore.Store
	jobs     *jobqueue.Queue
	live     *release.Live
	o        Options
	streams  [freshet.Partitions]stream
	slots    slots
	pressure pressure
	seen     atomic.Pointer[release.Set] // what was open when owners were woken last, or nothing else
	drops    atomic.Uint64               // how often DropUnused was called
	erasures [freshet.Partitions]chan *erasure
	moved    signal // views have joined
	meter    meter

	mu      sync.Mutex
	running map[*turns]struct{} // one for each Run
}

// New returns a Receiver that has not started.
func New(log events, features *featurestore.Store, jobs *jobqueue.Queue, live *release.Live, o Options) *Receiver {
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = 2 * time.Second
	}
	if o.CheckpointRows == 0 {
		o.CheckpointRows = 8192
	}
	if o.CheckpointBytes == 0 {
		o.CheckpointBytes = 4 << 20
	}
	if o.BatchEvents == 0 {
		o.BatchEvents = 512
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = time.Minute
	}
	if o.FillEvents == 0 {
		o.FillEvents = 1024
	}
	if o.Fills == 0 {
		o.Fills = 1
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	r := &Receiver{
		log: log, features: features, jobs: jobs, live: live, o: o, slots: slots{free: o.Fills}, running: map[*turns]struct{}{},
	}
	for p := range r.erasures {
		r.erasures[p] = make(chan *erasure, 1)
	}
	return r
}

// wake has the owner of p look at what has changed.
func (r *Receiver) wake(p freshet.Partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t := range r.running {
		t.next(p)
	}
}

// wakeAll has all owners look at what has changed.
func (r *Receiver) wakeAll() {
	for p := range freshet.Partition(freshet.Partitions) {
		r.wake(p)
	}
}

// follow is called after each change of what is open. Owners find out by themselves with the next event; they are woken if there
// is something to be done before, or let go: a switch between two releases that stay open concerns nobody who has no event.
func (r *Receiver) follow() {
	set := r.live.Set()
	if before := r.seen.Swap(set); before == nil || !before.SameOpen(set) {
		r.wakeAll()
	}
}

// begin starts the turns of a Run; end ends them.
func (r *Receiver) begin(ctx context.Context) (t *turns, end func()) {
	t = newTurns(ctx)
	r.mu.Lock()
	r.running[t] = struct{}{}
	r.mu.Unlock()
	stop := r.live.Subscribe(r.follow)
	return t, func() {
		stop()
		r.mu.Lock()
		delete(r.running, t)
		r.mu.Unlock()
		t.end()
	}
}

// Run owns the partitions until ctx ends, then takes a last checkpoint and returns nil. It returns early with the
// error of the partition that could not go on.
func (r *Receiver) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	turns, end := r.begin(ctx)
	defer end()
	for p := range freshet.Partition(freshet.Partitions) {
		group.Go(func() error {
			if err := r.own(ctx, p, turns); err != nil {
				return freshet.Errorf("", "receiver: partition %d: %w", p, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// own acquires partition p, replays what the rows of the views that serve do not have, and follows the head of the log.
func (r *Receiver) own(ctx context.Context, p freshet.Partition, turns *turns) error {
	set := r.live.Set()
	own, err := r.features.Acquire(ctx, p, set.Serving())
	if err != nil {
		return stopped(ctx, err)
	}
	// Jobs were made through the checkpoint before it was taken; the queue may not have written that down, because a
	// batch without jobs costs it no write.
	if err := r.jobs.Enqueue(ctx, p, own.Epoch, jobsMade(own), nil); err != nil {
		return stopped(ctx, err)
	}
	o := newOwner(r, p, set, own, turns)
	o.recall(ctx, own.Checkpoint)
	for {
		if err := o.step(ctx); err != nil {
			return o.leave(ctx, err)
		}
	}
}

// jobsMade is the offset through which an owner before has made jobs, as far as it has said so. Replay may begin before it, to
// fill a view, and makes no job of an event once more for a pipeline that is new.
func jobsMade(own featurestore.Ownership) freshet.Offset {
	made := own.Checkpoint
	for _, through := range own.Views {
		made = max(made, through)
	}
	return made
}

// step does what there is to do, or waits for it: live events first, then a checkpoint that is due, then a slice of the past.
func (o *owner) step(ctx context.Context) error {
	turn := o.turns.now(o.p)
	o.refresh()
	if err := o.drop(ctx); err != nil {
		return err
	}
	if err := o.erase(ctx); err != nil {
		return err
	}
	records, err := o.r.log.Read(ctx, o.records[:0], o.p, o.next, o.r.o.BatchEvents)
	if err != nil {
		return err
	}
	n := len(records)
	o.records = records
	if n > 0 {
		if err := o.batch(ctx, records); err != nil {
			return err
		}
		o.stream.caughtUp(o.r.log.Head(o.p) < o.next)
	}
	if o.due() {
		if err := o.checkpoint(ctx); err != nil {
			return err
		}
	}
	switch {
	case n == o.r.o.BatchEvents:
		o.endFill() // far behind: the past can wait, and others need not wait for that
		return nil
	case o.mayFill():
		begin := time.Now() // not Options.Now, whose clock may go with the events
		if err := o.slice(ctx); err != nil {
			return err
		}
		o.yield(ctx, time.Since(begin))
		return nil
	case n > 0:
		return nil
	}
	o.stream.caughtUp(true)
	return o.await(ctx, turn)
}

// stopped is nil if err only says that ctx has ended.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
