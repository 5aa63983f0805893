// Package jobqueue is the hand-off between the receiver and orchestration: predictions to make. Every job that is
// enqueued ends as acknowledged or as a dead letter with a reason; a worker that dies gives its jobs back.
//
// A Queue adds waiting, defaults and counting; a Driver stores. The package never runs a job.
package jobqueue

import (
	"context"
	"time"

	"github.com/freshet-ml/freshet"
)

// Lease is a job that one worker has until Until. Unless acknowledged or failed by then it is leased again.
type Lease struct {
	Job     freshet.Job
	Attempt int // 1 for the first
	Until   time.Time
	Token   uint64 // names this lease of the job; an older token is refused
	// LastError is the reason that the latest Retry gave; "" if no attempt has failed yet.
	LastError string
}

// DeadLetter is a job that ended without a prediction.
type DeadLetter struct {
	Job      freshet.Job
	Attempts int
	Reason   string // the error of the last attempt
	At       freshet.Timestamp
}

// Subject is whose prediction of what a job makes: the unit in which a reader waits.
type Subject struct {
	Pipeline freshet.PipelineName
	Entity   freshet.Entity
}

// State says what became of the jobs of one Subject up to an offset.
type State int

const (
	Ended   State = iota // all have ended, or there were none
	Pending              // at least one is queued or leased
	Dead                 // all have ended, and the newest of them is a dead letter
)

// Status says where a job is on its way.
type Status string

// The states of a job are a closed list.
const (
	Queued Status = "queued" // waits, also for its moment or after a failed attempt
	Leased Status = "leased"
	Done   Status = "done"
	Buried Status = "dead"
)

// Attempt is an attempt at a job that has ended with an answer of its worker.
type Attempt struct {
	At      freshet.Timestamp // of the answer
	Release freshet.ReleaseID // that was to make the prediction; "" if the attempt did not come so far
	Error   string            // "" of the one that made the prediction
}

// Info is what is known of one job.
type Info struct {
	Job      freshet.Job
	Status   Status
	Attempts int
	History  []Attempt         // the oldest first; the latest MaxHistory at most
	Until    time.Time         // when it becomes visible: of a leased job, one that waits for its moment or after a failed attempt; else zero
	EndedAt  freshet.Timestamp // of one that is done or dead
	Reason   string            // of a dead letter
}

// Bounds of what is kept of attempts.
const (
	MaxHistory    = 16
	maxErrorBytes = 512
)

// AppendAttempt adds a to the history of a job, within bounds: what a driver does at an Ack, Retry or Bury.
func AppendAttempt(history []Attempt, a Attempt) []Attempt {
	a.Error = clipTo(a.Error, maxErrorBytes)
	history = append(history, a)
	return history[max(0, len(history)-MaxHistory):]
}

// Stats are counts of now.
type Stats struct {
	Queued, Leased, Dead int
	Oldest               time.Time // when the oldest queued or leased job was enqueued; zero if there is none
}

// Driver stores jobs. It does not validate, retry or log. All methods may be called concurrently.
type Driver interface {
	// Enqueue adds the jobs that the events of partition up to through made, and remembers through, together. A job whose
	// Cause lies at or before the offset that is remembered already is left out: replay changes nothing. Of several jobs
	// with one id in a call the first counts. An epoch older than the last one seen for partition is refused with
	// PreconditionFailed. jobs may be empty: then through need not survive a crash, because replaying events that make no
	// job changes nothing; an offset at or after the Cause of every job that is kept always survives with that job.
	//
	// A job with NotBefore stays invisible until then. If an earlier job of its Subject with NotBefore waits and has never
	// been leased, the two become one in the place of the earlier: it has the earlier one's NotBefore, EnqueuedAt and
	// Since, and all else of the one whose Cause is later. This too is remembered together with through.
	Enqueue(ctx context.Context, partition freshet.Partition, epoch freshet.Epoch, through freshet.Offset, jobs []freshet.Job) error
	// Emitted is the offset remembered for partition.
	Emitted(partition freshet.Partition) freshet.Offset
	// Lease takes up to n visible jobs, those of a higher Priority first, then the oldest first, invisible to others until now+visible. It does not wait: with no
	// visible job it returns none. Attempt counts on over a restart; leases need not survive one.
	Lease(ctx context.Context, now time.Time, visible time.Duration, n int) ([]Lease, error)
	// NextVisible is when the next invisible job becomes visible (a lease that ends, a retry that is due), zero if there
	// is none.
	NextVisible() time.Time
	// Ack ends the job by attempt a and keeps it among those that are done: of them the last keep at least, and not many more. 0 keeps
	// none of this call. PreconditionFailed if the lease is not the job's last one, or the job has ended. A lease that has
	// timed out is still good as long as nobody has leased the job again.
	Ack(ctx context.Context, l Lease, a Attempt, keep int) error
	// Retry makes the job visible again at visible, keeping a's error as its last one. PreconditionFailed as for Ack.
	Retry(ctx context.Context, l Lease, visible time.Time, a Attempt) error
	// Bury ends the job as a dead letter because of a's error. PreconditionFailed as for Ack.
	Bury(ctx context.Context, l Lease, a Attempt) error
	// StateOf tells what became of s's jobs whose Cause is in the partition of s's key at or before through. "Newest"
	// goes by Cause.Offset.
	StateOf(ctx context.Context, s Subject, through freshet.Offset) (State, error)
	// DeadLetters lists up to limit dead letters in the order of their JobID, after the given one ("" for the start).
	DeadLetters(ctx context.Context, after freshet.JobID, limit int) ([]DeadLetter, error)
	// Redrive puts the dead letters with these ids back at the end of the queue, with no attempt made but with their history, without
	// NotBefore, enqueued at at (0: as they were), and returns how many there were. An id that is no dead letter is passed over.
	Redrive(ctx context.Context, ids []freshet.JobID, at freshet.Timestamp) (int, error)
	// Drop forgets the dead letters with these ids, and returns how many there were. Their subjects are not Dead because of them any more.
	Drop(ctx context.Context, ids []freshet.JobID) (int, error)
	// List gives up to limit outstanding jobs in a stable order, those leased or those not leased, after the place that
	// an earlier call gave as next ("" for the start). next is "" at the end. It may take time with the size of the backlog.
	List(ctx context.Context, leased bool, after string, limit int) (jobs []Info, next string, err error)
	// Done gives up to limit jobs of those that are done and kept, the last one first, after the place that an earlier call gave as next ("" for the
	// start). next is "" at the end.
	Done(ctx context.Context, after string, limit int) (jobs []Info, next string, err error)
	// Find tells about an outstanding job, a dead letter or one that is done and kept, with its history. NotFound if there is none.
	Find(ctx context.Context, id freshet.JobID) (Info, error)
	// Erase removes all that is known of e: outstanding jobs, also leased ones, whose leases are over then, dead letters and jobs that are
	// done. It returns how many of the former two there were, and survives a crash.
	Erase(ctx context.Context, e freshet.Entity) (int, error)
	// Changed is closed at the next Enqueue, Ack, Retry, Bury, Redrive, Drop, Erase or Close: what a waiting caller selects on.
	Changed() <-chan struct{}
	// Stats is cheap enough to ask for at every request.
	Stats() Stats
	// Close ends all use: later calls answer Unavailable. Closing twice is no error.
	Close() error
}
