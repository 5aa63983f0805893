package diskqueue

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

// Lease implements jobqueue.Driver.
func (q *Queue) Lease(ctx context.Context, now time.Time, visible time.Duration, n int) ([]jobqueue.Lease, error) {
	if err := q.enter(ctx); err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	q.surface(now)
	taken, err := q.take(n)
	if len(taken) == 0 {
		return nil, err
	}
	// An error behind the first job taken comes again at the next call.
	if err := q.writeAttempts(taken); err != nil {
		return nil, err
	}
	until := now.Add(visible)
	leases := make([]jobqueue.Lease, len(taken))
	for i, t := range taken {
		leases[i] = q.hold(t, until)
	}
	return leases, nil
}

// surface makes those visible whose moment has come.
func (q *Queue) surface(now time.Time) {
	moment := now.UnixNano()
	for r := q.hidden.top(); r != 0 && q.backlog.at(r).at <= moment; r = q.hidden.top() {
		q.hidden.remove(&q.backlog, r)
		q.makeDue(r)
	}
}

func (q *Queue) makeDue(r ref) {
	q.backlog.at(r).where = due
	q.due.push(&q.backlog, r)
}

// taking is a job on its way to a lease.
type taking struct {
	loaded
	attempts attempts // this one included
}

// take removes up to n visible jobs from where they wait, oldest first, and returns them with what it failed on, if
// anything. They are in due again if the caller gives up.
func (q *Queue) take(n int) ([]taking, error) {
	var taken []taking
	for len(taken) < n {
		again := q.due.top()
		window, err := q.next()
		if err != nil {
			return taken, err
		}
		if window == nil && again == 0 {
			break
		}
		t := taking{loaded: loaded{ref: again}}
		isFresh := window != nil && (again == 0 || bySequence(q.backlog.at((*window)[0].ref), q.backlog.at(again)))
		if isFresh {
			t.loaded = (*window)[0]
		}
		if err := q.recall(&t); err != nil {
			return taken, err
		}
		t.attempts.begun++
		if isFresh {
			(*window)[0] = loaded{} // drop its strings
			*window = (*window)[1:]
		} else {
			q.due.remove(&q.backlog, again)
		}
		taken = append(taken, t)
	}
	return taken, nil
}

// next is the window whose first job is the next fresh one; nil if there is none.
func (q *Queue) next() (*[]loaded, error) {
	for _, c := range byRank {
		if len(q.window[c]) == 0 && q.unread[c] != 0 {
			if err := q.refill(c); err != nil {
				return nil, err
			}
		}
		if len(q.window[c]) > 0 {
			return &q.window[c], nil
		}
	}
	return nil, nil
}

// refill reads the next fresh jobs of a class into its empty window.
func (q *Queue) refill(c class) error {
	from := appendSequenceKey(nil, kindJob, q.backlog.at(q.unread[c]).sequence)
	it, err := q.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: after(from[:2])})
	if err != nil {
		return storeError(err)
	}
	defer it.Close()
	window := make([]loaded, 0, windowJobs)
	r := q.unread[c]
	for ok := it.First(); ok && r != 0 && len(window) < windowJobs; ok = it.Next() {
		sequence, err := sequenceOf(it.Key())
		if err != nil {
			return err
		}
		if sequence != q.backlog.at(r).sequence {
			break // reported below
		}
		e := q.backlog.at(r)
		if e.where != fresh {
			r = e.next
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return storeError(err)
		}
		j, err := decodeJob(value)
		if err != nil {
			return err
		}
		window = append(window, loaded{r, j})
		r = e.next
	}
	if err := it.Error(); err != nil {
		return storeError(err)
	}
	if r != 0 && len(window) < windowJobs {
		return freshet.Errorf(freshet.Internal, "the job at %d is not on disk any more", q.backlog.at(r).sequence)
	}
	q.window[c], q.unread[c] = window, q.backlog.fresh(r)
	return nil
}

// recall fills in what is not in t yet: the job, and its earlier attempts if there were any.
func (q *Queue) recall(t *taking) error {
	if h := q.held[t.ref]; h != nil {
		t.job, t.attempts = h.job, h.attempts
		return nil
	}
	e := *q.backlog.at(t.ref)
	if t.job.ID == "" {
		var err error
		if t.job, err = q.load(t.ref); err != nil {
			return err
		}
	}
	if !e.begun {
		return nil
	}
	value, found, err := q.get(appendSequenceKey(nil, kindAttempt, e.sequence))
	if err != nil || !found {
		return err
	}
	t.attempts, err = decodeAttempts(value)
	return err
}

// writeAttempts remembers the attempts that begin, so that a job that kills the process is not tried for ever. If that fails
// the jobs are due again.
func (q *Queue) writeAttempts(taken []taking) error {
	b := q.db.NewBatch()
	defer b.Close()
	var err error
	for _, t := range taken {
		q.key = appendSequenceKey(q.key[:0], kindAttempt, q.backlog.at(t.ref).sequence)
		q.value = appendAttempts(q.value[:0], t.attempts)
		if err = b.Set(q.key, q.value, nil); err != nil {
			break
		}
	}
	if err == nil {
		err = b.Commit(pebble.NoSync)
	}
	if err == nil {
		return nil
	}
	for _, t := range taken {
		q.makeDue(t.ref)
	}
	return storeError(err)
}

// hold leases a job that was taken.
func (q *Queue) hold(t taking, until time.Time) jobqueue.Lease {
	q.leases++
	token := uint64(q.leases)<<32 | uint64(t.ref)
	q.held[t.ref] = &hold{job: t.job, token: token, attempts: t.attempts}
	e := q.backlog.at(t.ref)
	e.begun, e.where, e.at = true, hidden, until.UnixNano()
	q.hidden.push(&q.backlog, t.ref)
	return jobqueue.Lease{Job: t.job, Attempt: t.attempts.begun, Until: until, Token: token, LastError: t.attempts.lastError}
}
