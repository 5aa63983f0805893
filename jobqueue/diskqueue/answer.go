package diskqueue

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

// Ack implements jobqueue.Driver.
func (q *Queue) Ack(ctx context.Context, l jobqueue.Lease, a jobqueue.Attempt, keep int) error {
	r, h, err := q.answered(ctx, l)
	if err != nil {
		return err
	}
	defer q.mu.Unlock()
	b := q.db.NewBatch()
	defer b.Close()
	if err := q.deleteJob(b, r); err != nil {
		return err
	}
	if keep > 0 {
		if err := q.keepDone(b, r, h, a, keep); err != nil {
			return err
		}
	}
	subject := q.hash(subjectOf(&h.job), h.job.Cause.Partition)
	if q.deadSubjects[subject] > 0 {
		if err := q.supersedeLetter(b, &h.job); err != nil {
			return err
		}
	}
	older := q.backlog.superseding(subject, r, h.job.Cause.Offset)
	for _, o := range older {
		if err := q.setNewer(b, q.backlog.at(o).sequence, h.job.Cause.Offset); err != nil {
			return err
		}
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return storeError(err)
	}
	if keep > 0 {
		q.done++
	}
	for _, o := range older {
		q.backlog.at(o).superseded = h.job.Cause.Offset
	}
	q.end(r, subject)
	q.change()
	return nil
}

// Retry implements jobqueue.Driver. The moment is in memory only: after a restart the job is visible at once.
func (q *Queue) Retry(ctx context.Context, l jobqueue.Lease, visible time.Time, a jobqueue.Attempt) error {
	r, h, err := q.answered(ctx, l)
	if err != nil {
		return err
	}
	defer q.mu.Unlock()
	b := q.db.NewBatch()
	defer b.Close()
	e := q.backlog.at(r)
	q.key = appendSequenceKey(q.key[:0], kindAttempt, e.sequence)
	q.value = appendAttempts(q.value[:0], attempts{begun: h.attempts.begun, lastError: a.Error})
	if err := b.Set(q.key, q.value, nil); err != nil {
		return storeError(err)
	}
	history, err := q.history(e)
	if err != nil {
		return err
	}
	history = jobqueue.AppendAttempt(history, a)
	if err := b.Set(appendSequenceKey(nil, kindHistory, e.sequence), appendHistory(nil, history), nil); err != nil {
		return storeError(err)
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return storeError(err)
	}
	q.leaveHeap(r)
	delete(q.held, r)
	e.told = true
	e.where, e.at = hidden, visible.UnixNano()
	q.hidden.push(&q.backlog, r)
	q.change()
	return nil
}

// Bury implements jobqueue.Driver.
func (q *Queue) Bury(ctx context.Context, l jobqueue.Lease, a jobqueue.Attempt) error {
	r, h, err := q.answered(ctx, l)
	if err != nil {
		return err
	}
	defer q.mu.Unlock()
	b := q.db.NewBatch()
	defer b.Close()
	if err := q.deleteJob(b, r); err != nil {
		return err
	}
	letter := jobqueue.DeadLetter{Job: h.job, Attempts: h.attempts.begun, Reason: a.Error, At: a.At}
	e := q.backlog.at(r)
	if err := q.setLetter(b, &letter, e.superseded); err != nil {
		return err
	}
	history, err := q.history(e)
	if err != nil {
		return err
	}
	history = jobqueue.AppendAttempt(history, a)
	if err := b.Set(appendHistoryKey(nil, h.job.ID), appendHistory(nil, history), nil); err != nil {
		return storeError(err)
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return storeError(err)
	}
	subject := q.hash(subjectOf(&h.job), h.job.Cause.Partition)
	q.dead++
	q.deadSubjects[subject]++
	q.end(r, subject)
	q.change()
	return nil
}

// answered finds the job that l leases. It returns with the lock held unless there is an error.
func (q *Queue) answered(ctx context.Context, l jobqueue.Lease) (ref, *hold, error) {
	if err := q.enter(ctx); err != nil {
		return 0, nil, err
	}
	r := ref(uint32(l.Token))
	h := q.held[r]
	if h == nil || h.token != l.Token || h.job.ID != l.Job.ID {
		q.mu.Unlock()
		return 0, nil, freshet.Errorf(freshet.PreconditionFailed, "job %s: this lease is over; the job has ended or somebody else has it", l.Job.ID)
	}
	return r, h, nil
}

// history is that of the attempts so far.
func (q *Queue) history(e *entry) ([]jobqueue.Attempt, error) {
	if !e.told {
		return nil, nil
	}
	value, found, err := q.get(appendSequenceKey(nil, kindHistory, e.sequence))
	if err != nil || !found {
		return nil, err
	}
	return decodeHistory(value)
}

// deleteJob removes the records of a job. The job's own is written once in its life, unless it had a delay, so that a single
// delete does and the two vanish at the next flush.
func (q *Queue) deleteJob(b *pebble.Batch, r ref) error {
	e := q.backlog.at(r)
	q.key = appendSequenceKey(q.key[:0], kindJob, e.sequence)
	remove := b.SingleDelete
	if e.delayed {
		remove = b.Delete
	}
	if err := remove(q.key, nil); err != nil {
		return storeError(err)
	}
	if e.told {
		q.key = appendSequenceKey(q.key[:0], kindHistory, e.sequence)
		if err := b.Delete(q.key, nil); err != nil {
			return storeError(err)
		}
	}
	if e.superseded != 0 {
		q.key = appendSequenceKey(q.key[:0], kindNewer, e.sequence)
		if err := b.Delete(q.key, nil); err != nil {
			return storeError(err)
		}
	}
	q.key = appendSequenceKey(q.key[:0], kindAttempt, e.sequence)
	return storeError(b.Delete(q.key, nil))
}

// setNewer remembers that a newer job of the same subject was acknowledged before the one at sequence ended.
func (q *Queue) setNewer(b *pebble.Batch, sequence uint64, superseded freshet.Offset) error {
	q.key = appendSequenceKey(q.key[:0], kindNewer, sequence)
	q.value = appendNewer(q.value[:0], superseded)
	return storeError(b.Set(q.key, q.value, nil))
}

// end takes a leased job out of memory.
func (q *Queue) end(r ref, subject uint64) {
	q.leaveHeap(r)
	delete(q.held, r)
	q.backlog.remove(r, subject)
}

func (q *Queue) leaveHeap(r ref) {
	if q.backlog.at(r).where == due {
		q.due.remove(&q.backlog, r)
		return
	}
	q.hidden.remove(&q.backlog, r)
}
