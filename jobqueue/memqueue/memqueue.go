// Package memqueue is a jobqueue.Driver in memory: for tests, simulations and trials. It starts no goroutine and waits for
// nothing, so that it works in testing/synctest bubbles. It never bounds its memory and keeps nothing after Close.
package memqueue

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

// Queue is the driver.
type Queue struct {
	mu       sync.Mutex
	closed   bool
	lanes    [freshet.Partitions]lane
	jobs     map[freshet.JobID]*job      // queued and leased
	dead     map[freshet.JobID]*job      // dead letters
	subjects map[jobqueue.Subject][]*job // both, by Since
	visible  heap                        // by sequence
	hidden   heap                        // by the moment they become visible: leased, or waiting for a retry
	leased   int
	sequence uint64
	token    uint64
	done     []jobqueue.Info // the last one at the end
	ended    uint64          // how many there ever were in done
	changed  chan struct{}   // nil until somebody asks for it
}

// lane is what is remembered of a partition.
type lane struct {
	epoch   freshet.Epoch
	emitted freshet.Offset
}

var _ jobqueue.Driver = (*Queue)(nil)

// New makes an empty queue.
func New() *Queue {
	return &Queue{
		jobs:     make(map[freshet.JobID]*job),
		dead:     make(map[freshet.JobID]*job),
		subjects: make(map[jobqueue.Subject][]*job),
		visible:  heap{less: before},
		hidden:   heap{less: func(a, b *job) bool { return a.at.Before(b.at) }},
	}
}

// Enqueue implements jobqueue.Driver.
func (q *Queue) Enqueue(ctx context.Context, partition freshet.Partition, epoch freshet.Epoch, through freshet.Offset, jobs []freshet.Job) error {
	if err := q.enter(ctx); err != nil {
		return err
	}
	defer q.mu.Unlock()
	l := &q.lanes[partition]
	if epoch < l.epoch {
		return freshet.Errorf(freshet.PreconditionFailed, "partition %d: epoch %d is over, its owner is of epoch %d", partition, epoch, l.epoch)
	}
	l.epoch = epoch
	ids := map[freshet.JobID]bool{} // of this call
	for _, j := range jobs {
		if j.Cause.Offset <= l.emitted || q.jobs[j.ID] != nil || q.dead[j.ID] != nil || ids[j.ID] {
			continue
		}
		ids[j.ID] = true
		if earlier := q.waiting(&j); earlier != nil {
			q.replace(earlier, j)
			continue
		}
		q.add(&job{Job: j})
	}
	l.emitted = max(l.emitted, through)
	q.change()
	return nil
}

// waiting is the job that j takes the place of; nil if there is none.
func (q *Queue) waiting(j *freshet.Job) *job {
	if j.NotBefore == 0 {
		return nil
	}
	var last *job
	for _, a := range q.subjects[jobqueue.Subject{Pipeline: j.Pipeline, Entity: j.Entity}] {
		if q.jobs[a.ID] == a && a.NotBefore != 0 && a.attempt == 0 && a.superseded == 0 {
			last = a
		}
	}
	if last != nil && last.Priority != j.Priority {
		return nil
	}
	return last
}

// replace makes one job of two.
func (q *Queue) replace(earlier *job, later freshet.Job) {
	merged := later
	if earlier.Cause.Offset > later.Cause.Offset {
		merged = earlier.Job
	}
	merged.First = min(earlier.Since(), later.Since())
	merged.NotBefore, merged.EnqueuedAt = earlier.NotBefore, earlier.EnqueuedAt
	delete(q.jobs, earlier.ID)
	q.unlist(earlier)
	earlier.Job = merged
	q.jobs[earlier.ID] = earlier
	q.list(earlier)
}

// add puts j at the end of the queue.
func (q *Queue) add(j *job) {
	q.sequence++
	j.sequence = q.sequence
	q.jobs[j.ID] = j
	if j.NotBefore != 0 {
		j.at = j.NotBefore.Time()
		q.hidden.push(j)
	} else {
		q.visible.push(j)
	}
	q.list(j)
}

// list puts j into its subject's list.
func (q *Queue) list(j *job) {
	s := subjectOf(j)
	i, _ := slices.BinarySearchFunc(q.subjects[s], j.Since(), func(a *job, o freshet.Offset) int { return cmp.Compare(a.Since(), o) })
	q.subjects[s] = slices.Insert(q.subjects[s], i, j)
}

// Emitted implements jobqueue.Driver.
func (q *Queue) Emitted(partition freshet.Partition) freshet.Offset {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lanes[partition].emitted
}

// Lease implements jobqueue.Driver.
func (q *Queue) Lease(ctx context.Context, now time.Time, visible time.Duration, n int) ([]jobqueue.Lease, error) {
	if err := q.enter(ctx); err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	for first := q.hidden.first(); first != nil && !first.at.After(now); first = q.hidden.first() {
		q.hidden.remove(first)
		q.visible.push(first)
	}
	var leases []jobqueue.Lease
	for ; n > 0 && q.visible.first() != nil; n-- {
		j := q.visible.first()
		q.visible.remove(j)
		if !j.leased {
			q.leased++
		}
		q.token++
		j.leased, j.token, j.at = true, q.token, now.Add(visible)
		j.attempt++
		q.hidden.push(j)
		leases = append(leases, jobqueue.Lease{Job: j.Job, Attempt: j.attempt, Until: j.at, Token: j.token, LastError: j.lastError})
	}
	return leases, nil
}

// NextVisible implements jobqueue.Driver.
func (q *Queue) NextVisible() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if first := q.hidden.first(); first != nil {
		return first.at
	}
	return time.Time{}
}

// Ack implements jobqueue.Driver.
func (q *Queue) Ack(ctx context.Context, l jobqueue.Lease, a jobqueue.Attempt, keep int) error {
	j, err := q.answer(ctx, l)
	if err != nil {
		return err
	}
	defer q.mu.Unlock()
	if keep > 0 {
		x := q.info(j)
		x.Status, x.Until, x.EndedAt = jobqueue.Done, time.Time{}, a.At
		x.History = jobqueue.AppendAttempt(x.History, a)
		q.done = append(q.done, x)
		q.done = q.done[max(0, len(q.done)-keep):]
		q.ended++
	}
	q.end(j)
	q.unlist(j)
	for _, older := range q.subjects[subjectOf(j)] {
		if older.Since() >= j.Cause.Offset {
			break
		}
		if older.superseded == 0 || older.superseded > j.Cause.Offset {
			older.superseded = j.Cause.Offset
		}
	}
	return nil
}

// Retry implements jobqueue.Driver.
func (q *Queue) Retry(ctx context.Context, l jobqueue.Lease, visible time.Time, a jobqueue.Attempt) error {
	j, err := q.answer(ctx, l)
	if err != nil {
		return err
	}
	defer q.mu.Unlock()
	j.heap.remove(j)
	q.leased--
	j.leased, j.token, j.at, j.lastError = false, 0, visible, a.Error
	j.history = jobqueue.AppendAttempt(j.history, a)
	q.hidden.push(j)
	return nil
}

// Bury implements jobqueue.Driver.
func (q *Queue) Bury(ctx context.Context, l jobqueue.Lease, a jobqueue.Attempt) error {
	j, err := q.answer(ctx, l)
	if err != nil {
		return err
	}
	defer q.mu.Unlock()
	q.end(j)
	j.reason, j.buriedAt = a.Error, a.At
	j.history = jobqueue.AppendAttempt(j.history, a)
	q.dead[j.ID] = j
	return nil
}

// answer finds the job that l leases. It returns with the lock held and the change announced, unless there is an error.
func (q *Queue) answer(ctx context.Context, l jobqueue.Lease) (*job, error) {
	if err := q.enter(ctx); err != nil {
		return nil, err
	}
	j := q.jobs[l.Job.ID]
	if j == nil || !j.leased || j.token != l.Token {
		q.mu.Unlock()
		return nil, freshet.Errorf(freshet.PreconditionFailed, "job %s: this lease is over; the job has ended or somebody else has it", l.Job.ID)
	}
	q.change()
	return j, nil
}

// end takes a leased job out of the queue.
func (q *Queue) end(j *job) {
	j.heap.remove(j)
	q.leased--
	j.leased = false
	delete(q.jobs, j.ID)
}

// unlist takes j off its subject's list.
func (q *Queue) unlist(j *job) {
	s := subjectOf(j)
	i := slices.Index(q.subjects[s], j)
	q.subjects[s] = slices.Delete(q.subjects[s], i, i+1)
	if len(q.subjects[s]) == 0 {
		delete(q.subjects, s)
	}
}

// StateOf implements jobqueue.Driver.
func (q *Queue) StateOf(ctx context.Context, s jobqueue.Subject, through freshet.Offset) (jobqueue.State, error) {
	if err := q.enter(ctx); err != nil {
		return jobqueue.Pending, err
	}
	defer q.mu.Unlock()
	partition := freshet.PartitionOf(s.Entity.Key)
	state := jobqueue.Ended
	for _, j := range q.subjects[s] {
		switch {
		case j.Cause.Partition != partition || j.Since() > through:
		case q.dead[j.ID] == nil:
			return jobqueue.Pending, nil
		case j.superseded == 0 || j.superseded > through:
			state = jobqueue.Dead
		}
	}
	return state, nil
}

// DeadLetters implements jobqueue.Driver.
func (q *Queue) DeadLetters(ctx context.Context, after freshet.JobID, limit int) ([]jobqueue.DeadLetter, error) {
	if err := q.enter(ctx); err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	var letters []jobqueue.DeadLetter
	for id, j := range q.dead {
		if id > after {
			letters = append(letters, jobqueue.DeadLetter{Job: j.Job, Attempts: j.attempt, Reason: j.reason, At: j.buriedAt})
		}
	}
	slices.SortFunc(letters, func(a, b jobqueue.DeadLetter) int { return cmp.Compare(a.Job.ID, b.Job.ID) })
	return letters[:min(limit, len(letters))], nil
}

// Redrive implements jobqueue.Driver.
func (q *Queue) Redrive(ctx context.Context, ids []freshet.JobID, at freshet.Timestamp) (int, error) {
	if err := q.enter(ctx); err != nil {
		return 0, err
	}
	defer q.mu.Unlock()
	n := 0
	for _, id := range ids {
		j := q.dead[id]
		if j == nil {
			continue
		}
		delete(q.dead, id)
		q.unlist(j)
		again := &job{Job: j.Job, superseded: j.superseded, history: j.history}
		again.NotBefore = 0
		if at != 0 {
			again.EnqueuedAt = at
		}
		q.add(again)
		n++
	}
	q.change()
	return n, nil
}

// Changed implements jobqueue.Driver.
func (q *Queue) Changed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.changed == nil {
		q.changed = make(chan struct{})
		if q.closed {
			close(q.changed)
		}
	}
	return q.changed
}

func (q *Queue) change() {
	if q.changed != nil && !q.closed {
		close(q.changed)
		q.changed = nil
	}
}

// Stats implements jobqueue.Driver.
func (q *Queue) Stats() jobqueue.Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := jobqueue.Stats{Queued: len(q.jobs) - q.leased, Leased: q.leased, Dead: len(q.dead)}
	oldest := map[freshet.Priority]*job{} // by sequence
	for _, j := range q.jobs {
		if o := oldest[j.Priority]; o == nil || j.sequence < o.sequence {
			oldest[j.Priority] = j
		}
	}
	for _, j := range oldest {
		if at := j.EnqueuedAt.Time(); s.Oldest.IsZero() || at.Before(s.Oldest) {
			s.Oldest = at
		}
	}
	return s
}

// Close implements jobqueue.Driver.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.change()
	if q.closed {
		return nil
	}
	q.closed = true
	q.changed = nil // the next one asked for is closed already
	return nil
}

// enter locks q for a call that may go on.
func (q *Queue) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return freshet.Errorf(freshet.Unavailable, "the job queue is closed")
	}
	return nil
}
