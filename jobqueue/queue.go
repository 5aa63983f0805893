package jobqueue

import (
	"context"
	"time"

	"github.com/freshet-ml/freshet"
)

// Options tune a Queue. The zero value is ready for use.
type Options struct {
	// Visibility is how long a worker has for one job before somebody else gets it. Defaults to 15 s; longer if a
	// prediction takes longer, shorter to recover sooner from a worker that died.
	Visibility time.Duration
	// Attempts is how often a job is tried before it becomes a dead letter. Defaults to 5.
	Attempts int
	// Backoff is the pause after the given failed attempt (1 for the first). Defaults to 200 ms, doubled with each
	// attempt up to 30 s, less up to a quarter that depends on the job's id, so that jobs that failed together do not
	// come back together.
	Backoff func(attempt int) time.Duration
	// Backlog is how many queued jobs are enough for Full. Defaults to 1,000,000. It does not bound Enqueue: jobs of
	// events that were accepted are always taken.
	Backlog int
	// MaxDead and DeadRetention are how many dead letters are kept, and how long. Default to 100,000 and 30 days.
	MaxDead       int
	DeadRetention time.Duration
	// Done is how many of the jobs that were acknowledged last are kept, some 200 bytes each. Defaults to 10,000; below 0 none is.
	Done int
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

// Validate returns InvalidArgument, naming the option, for a value that cannot work.
func (o Options) Validate() error {
	if o.Visibility < 0 {
		return freshet.FieldErrorf(freshet.InvalidArgument, "visibility", "visibility %v: expected a positive duration, or 0 for the default", o.Visibility)
	}
	if o.Attempts < 0 {
		return freshet.FieldErrorf(freshet.InvalidArgument, "attempts", "attempts %d: expected at least 1, or 0 for the default", o.Attempts)
	}
	if o.Backlog < 0 {
		return freshet.FieldErrorf(freshet.InvalidArgument, "backlog", "backlog %d: expected at least 1, or 0 for the default", o.Backlog)
	}
	return nil
}

func (o *Options) withDefaults() Options {
	var v Options
	if o != nil {
		v = *o
	}
	if v.Visibility <= 0 {
		v.Visibility = 15 * time.Second
	}
	if v.Attempts <= 0 {
		v.Attempts = 5
	}
	if v.Backlog <= 0 {
		v.Backlog = 1_000_000
	}
	if v.MaxDead <= 0 {
		v.MaxDead = 100_000
	}
	if v.DeadRetention <= 0 {
		v.DeadRetention = 30 * 24 * time.Hour
	}
	if v.Done == 0 {
		v.Done = 10_000
	}
	v.Done = max(0, v.Done)
	if v.Now == nil {
		v.Now = time.Now
	}
	return v
}

// Queue is the portable type in front of a Driver. All methods may be called concurrently.
type Queue struct {
	d       Driver
	o       Options
	waiters waiters
	erased  erased
}

// New makes a Queue of a driver, which it closes at its own Close. A nil o means defaults; check o with Validate first if
// it comes from outside: values that cannot work count as zero.
func New(d Driver, o *Options) *Queue { return &Queue{d: d, o: o.withDefaults()} }

// Enqueue adds the jobs that the events of partition up to through made, and remembers through, together: a job at or
// before an offset remembered earlier is left out, so replay changes nothing. Jobs without EnqueuedAt get the present
// moment, in place. jobs may be empty; an owner that starts should call it so, through its checkpoint: the queue may have
// forgotten an offset through which no job was made, and Wait would wait for the partition's next event.
// Returns PreconditionFailed for an epoch that is not the last, InvalidArgument for a job that is not of this call.
func (q *Queue) Enqueue(ctx context.Context, partition freshet.Partition, epoch freshet.Epoch, through freshet.Offset, jobs []freshet.Job) error {
	if partition >= freshet.Partitions {
		return freshet.FieldErrorf(freshet.InvalidArgument, "partition", "partition %d: expected 0 to %d", partition, freshet.Partitions-1)
	}
	now := freshet.TimestampOf(q.o.Now())
	for i := range jobs {
		if err := checkJob(&jobs[i], partition, through); err != nil {
			return err
		}
		if jobs[i].EnqueuedAt == 0 {
			jobs[i].EnqueuedAt = now
		}
	}
	if err := q.d.Enqueue(ctx, partition, epoch, through, jobs); err != nil {
		return err
	}
	q.waiters.emitted(partition, through)
	return nil
}

// Emitted is the offset through which the events of partition have made their jobs.
func (q *Queue) Emitted(partition freshet.Partition) freshet.Offset {
	if partition >= freshet.Partitions {
		return 0
	}
	return q.d.Emitted(partition)
}

// Lease waits for jobs and takes up to n of them, oldest first. Each is invisible to others until its Until; unless
// acknowledged or failed by then it is leased again with Attempt+1. A job that comes back with all attempts used up,
// because its worker died, is buried here and never leased once more. Returns ctx.Err when ctx ends first, and
// Unavailable after Close.
func (q *Queue) Lease(ctx context.Context, n int) ([]Lease, error) {
	if n < 1 {
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, "n", "lease of %d jobs: expected at least 1", n)
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		changed := q.d.Changed() // before looking: a job that comes between the two must not be slept through
		leases, err := q.d.Lease(ctx, q.o.Now(), q.o.Visibility, n)
		if err != nil {
			return nil, err
		}
		live, err := q.buryExhausted(ctx, leases)
		if err != nil || len(live) > 0 {
			return live, err
		}
		if len(leases) > 0 {
			continue // all were buried; more may be visible
		}
		if err := q.sleep(ctx, changed); err != nil {
			return nil, err
		}
	}
}

// buryExhausted ends the leases that are one attempt too many and returns the others. If one cannot be buried it stays
// leased, and is tried again when it becomes visible.
func (q *Queue) buryExhausted(ctx context.Context, leases []Lease) ([]Lease, error) {
	live := leases[:0:len(leases)]
	var failed error
	for _, l := range leases {
		if l.Attempt <= q.o.Attempts {
			live = append(live, l)
			continue
		}
		err := q.bury(ctx, l, "", exhausted(l))
		if err != nil && freshet.CodeOf(err) != freshet.PreconditionFailed {
			failed = err
		}
	}
	if len(live) > 0 {
		return live, nil // the jobs taken must reach a worker, whatever became of the others
	}
	return nil, failed
}

// sleep returns when the queue has changed or a hidden job becomes visible, or with ctx's error.
func (q *Queue) sleep(ctx context.Context, changed <-chan struct{}) error {
	var due <-chan time.Time
	if next := q.d.NextVisible(); !next.IsZero() {
		t := time.NewTimer(next.Sub(q.o.Now()))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-due:
	}
	return nil
}

// Ack ends the job of l, whose prediction release has made. Returns PreconditionFailed if somebody else has leased the job
// since, or it has ended: then the work was done twice, which the prediction store sorts out by offset.
func (q *Queue) Ack(ctx context.Context, l Lease, release freshet.ReleaseID) error {
	a := Attempt{At: freshet.TimestampOf(q.o.Now()), Release: release}
	if err := q.d.Ack(ctx, l, a, q.o.Done); err != nil {
		return err
	}
	q.waiters.ended(&l.Job)
	return nil
}

// Bury ends the job of l as a dead letter at once, because of reason. release is the one that would have run it, "" if none
// was chosen. Errors as for Ack.
func (q *Queue) Bury(ctx context.Context, l Lease, release freshet.ReleaseID, reason string) error {
	return q.bury(ctx, l, release, clip(reason))
}

// Fail gives the job of l back after an attempt of release, "" if none was chosen, that failed with cause. It is tried again
// after a pause, or becomes a dead letter: at once if trying again cannot help (InvalidArgument, Unprocessable, NotFound,
// Unsupported), otherwise after the last attempt. Errors as for Ack.
func (q *Queue) Fail(ctx context.Context, l Lease, release freshet.ReleaseID, cause error) error {
	if cause == nil {
		return freshet.FieldErrorf(freshet.InvalidArgument, "cause", "job %s failed without a cause: expected the error of the attempt", l.Job.ID)
	}
	reason := clip(cause.Error())
	if l.Attempt >= q.o.Attempts || permanent(cause) {
		return q.bury(ctx, l, release, reason)
	}
	now := q.o.Now()
	return q.d.Retry(ctx, l, now.Add(q.pause(l)), Attempt{At: freshet.TimestampOf(now), Release: release, Error: reason})
}

func (q *Queue) bury(ctx context.Context, l Lease, release freshet.ReleaseID, reason string) error {
	if err := q.d.Bury(ctx, l, Attempt{At: freshet.TimestampOf(q.o.Now()), Release: release, Error: reason}); err != nil {
		return err
	}
	q.waiters.ended(&l.Job)
	return nil
}

// Wait returns what became of s's jobs through the given offset as soon as none of them is pending and the events through
// it have made their jobs. It returns Pending and ctx.Err when ctx ends first, and Unavailable after Close.
func (q *Queue) Wait(ctx context.Context, s Subject, through freshet.Offset) (State, error) {
	partition := freshet.PartitionOf(s.Entity.Key)
	w := q.waiters.add(partition, s, through) // before looking, as in Lease
	defer q.waiters.remove(partition, w)
	for {
		st, err := q.stateThrough(ctx, partition, s, through)
		if err != nil || st != Pending {
			return st, err
		}
		if err := w.sleep(ctx); err != nil {
			return Pending, err
		}
	}
}

// stateThrough is StateOf, and Pending as long as the events through the offset have not made their jobs.
func (q *Queue) stateThrough(ctx context.Context, partition freshet.Partition, s Subject, through freshet.Offset) (State, error) {
	if q.d.Emitted(partition) >= through {
		return q.d.StateOf(ctx, s, through)
	}
	// Asked for all the same: a closed driver must not be waited for.
	if _, err := q.d.StateOf(ctx, s, 0); err != nil {
		return Pending, err
	}
	return Pending, nil
}

// StateOf tells without waiting what became of s's jobs through the given offset, among those that are enqueued so far.
func (q *Queue) StateOf(ctx context.Context, s Subject, through freshet.Offset) (State, error) {
	return q.d.StateOf(ctx, s, through)
}

// DeadLetters lists up to limit dead letters in the order of their ids, after the given one ("" for the start). A limit
// below 1 means 100, above 1,000 it means 1,000.
func (q *Queue) DeadLetters(ctx context.Context, after freshet.JobID, limit int) ([]DeadLetter, error) {
	return q.d.DeadLetters(ctx, after, page(limit))
}

// Redrive puts dead letters back at the end of the queue, with all attempts before them, and returns how many there were.
// An id that is no dead letter is passed over.
func (q *Queue) Redrive(ctx context.Context, ids []freshet.JobID) (int, error) {
	return q.d.Redrive(ctx, ids, freshet.TimestampOf(q.o.Now()))
}

// Stats are counts of now.
func (q *Queue) Stats() Stats { return q.d.Stats() }

// Full says that there are as many queued jobs as the backlog allows: the door should answer ResourceExhausted.
func (q *Queue) Full() bool { return q.d.Stats().Queued >= q.o.Backlog }

// Close closes the driver and ends all waiting calls with Unavailable. Closing twice is no error.
func (q *Queue) Close() error {
	err := q.d.Close()
	q.waiters.all()
	return err
}
