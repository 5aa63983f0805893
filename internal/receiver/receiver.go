// Package receiver is the layer between the event log and what is derived from it: it reads each partition in order,
// brings the rows of all views up to date, makes the jobs that events cause, and checkpoints. It never computes a feature
// value and never runs a job.
package receiver

import (
	"context"
	"log/slog"
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
	// CheckpointBytes is the same in bytes of row data, each change counted: rows may be long. Defaults to 4 MiB.
	CheckpointBytes int
	// BatchEvents bounds a micro-batch when the receiver is behind; at the head a batch is what one group commit brought.
	// Defaults to 512.
	BatchEvents int
	// IdleTimeout is how long a partition may be without an event before its watermark goes on with the clock. It decides
	// nothing about events: see Stream.Watermark. Defaults to 1 min.
	IdleTimeout time.Duration
	Now         func() time.Time // Defaults to time.Now.
	Logger      *slog.Logger     // Defaults to slog.Default().
}

// events are the log with all its past: eventlog.Log, or history.Log where old events are elsewhere.
type events interface {
	Read(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, limit int) ([]eventlog.Record, error)
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
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Receiver{log: log, features: features, jobs: jobs, live: live, o: o}
}

// Run owns the partitions until ctx ends, then takes a last checkpoint and returns nil. It returns early with the
// error of the partition that could not go on.
func (r *Receiver) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for p := range freshet.Partition(freshet.Partitions) {
		group.Go(func() error {
			if err := r.own(ctx, p); err != nil {
				return freshet.Errorf("", "receiver: partition %d: %w", p, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// own acquires partition p, replays what its rows do not have, and follows the head of the log.
func (r *Receiver) own(ctx context.Context, p freshet.Partition) error {
	own, err := r.features.Acquire(ctx, p, r.live.Load().ViewIDs())
	if err != nil {
		return stopped(ctx, err)
	}
	o := newOwner(r, p, own)
	o.recall(ctx, own.Checkpoint)
	// Jobs were made through the checkpoint before it was taken; the queue may not have written that down, because a
	// batch without jobs costs it no write.
	if err := r.jobs.Enqueue(ctx, p, own.Epoch, own.Checkpoint, nil); err != nil {
		return stopped(ctx, err)
	}
	for {
		records, err := r.log.Read(ctx, o.records[:0], p, o.next, r.o.BatchEvents)
		if err != nil {
			return o.leave(ctx, err)
		}
		o.records = records
		if len(records) > 0 {
			if err := o.batch(ctx, records); err != nil {
				return o.leave(ctx, err)
			}
			o.stream.caughtUp(r.log.Head(p) < o.next)
		}
		if o.due() {
			if err := o.checkpoint(ctx); err != nil {
				return o.leave(ctx, err)
			}
		}
		if len(records) > 0 {
			continue
		}
		o.stream.caughtUp(true)
		if err := o.await(ctx); err != nil {
			return o.leave(ctx, err)
		}
	}
}

// stopped is nil if err only says that ctx has ended.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
