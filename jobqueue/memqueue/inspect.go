package memqueue

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

// Drop implements jobqueue.Driver.
func (q *Queue) Drop(ctx context.Context, ids []freshet.JobID) (int, error) {
	if err := q.enter(ctx); err != nil {
		return 0, err
	}
	defer q.mu.Unlock()
	n := 0
	for _, id := range ids {
		if j := q.dead[id]; j != nil {
			delete(q.dead, id)
			q.unlist(j)
			n++
		}
	}
	q.change()
	return n, nil
}

// Erase implements jobqueue.Driver.
func (q *Queue) Erase(ctx context.Context, e freshet.Entity) (int, error) {
	if err := q.enter(ctx); err != nil {
		return 0, err
	}
	defer q.mu.Unlock()
	n := 0
	for s, jobs := range q.subjects {
		if s.Entity != e {
			continue
		}
		for _, j := range slices.Clone(jobs) {
			if j.leased {
				q.leased--
			}
			if j.heap != nil {
				j.heap.remove(j)
			}
			delete(q.jobs, j.ID)
			delete(q.dead, j.ID)
			q.unlist(j)
			n++
		}
	}
	for i := range q.done { // their places stay: pages are counted by them
		if q.done[i].Job.Entity == e {
			q.done[i] = jobqueue.Info{}
		}
	}
	q.change()
	return n, nil
}

// Done implements jobqueue.Driver: a place is the number of a job, counted from the first that was ever kept.
func (q *Queue) Done(ctx context.Context, from string, limit int) (jobs []jobqueue.Info, next string, err error) {
	if err := q.enter(ctx); err != nil {
		return nil, "", err
	}
	defer q.mu.Unlock()
	before := q.ended + 1
	if from != "" {
		if before, err = strconv.ParseUint(from, 36, 64); err != nil {
			return nil, "", freshet.FieldErrorf(freshet.InvalidArgument, "after", "after: %.80q is no place among the jobs; take it from next of the page before", from)
		}
	}
	last := before
	for i, x := range slices.Backward(q.done) {
		number := q.ended - uint64(len(q.done)-1-i)
		if x.Job.ID == "" || number >= before {
			continue
		}
		if len(jobs) == limit {
			return jobs, strconv.FormatUint(last, 36), nil
		}
		x.History = slices.Clone(x.History)
		jobs, last = append(jobs, x), number
	}
	return jobs, "", nil
}

// List implements jobqueue.Driver.
func (q *Queue) List(ctx context.Context, leased bool, from string, limit int) ([]jobqueue.Info, string, error) {
	if err := q.enter(ctx); err != nil {
		return nil, "", err
	}
	defer q.mu.Unlock()
	behind := uint64(0)
	if from != "" {
		var err error
		if behind, err = strconv.ParseUint(from, 36, 64); err != nil {
			return nil, "", freshet.FieldErrorf(freshet.InvalidArgument, "after", "after: %.80q is no place in the queue; take it from next of the page before", from)
		}
	}
	var some []*job
	for _, j := range q.jobs {
		if j.leased == leased && j.sequence > behind {
			some = append(some, j)
		}
	}
	slices.SortFunc(some, func(a, b *job) int { return cmp.Compare(a.sequence, b.sequence) })
	next := ""
	if len(some) > limit {
		some = some[:limit]
		if limit > 0 {
			behind = some[limit-1].sequence
		}
		next = strconv.FormatUint(behind, 36)
	}
	var jobs []jobqueue.Info
	for _, j := range some {
		jobs = append(jobs, q.info(j))
	}
	return jobs, next, nil
}

// Find implements jobqueue.Driver.
func (q *Queue) Find(ctx context.Context, id freshet.JobID) (jobqueue.Info, error) {
	if err := q.enter(ctx); err != nil {
		return jobqueue.Info{}, err
	}
	defer q.mu.Unlock()
	if j := q.dead[id]; j != nil {
		x := q.info(j)
		x.Status, x.EndedAt, x.Reason = jobqueue.Buried, j.buriedAt, j.reason
		return x, nil
	}
	if j := q.jobs[id]; j != nil {
		return q.info(j), nil
	}
	for _, x := range slices.Backward(q.done) {
		if x.Job.ID == id {
			return x, nil
		}
	}
	return jobqueue.Info{}, freshet.Errorf(freshet.NotFound, "job %s: none is outstanding, a dead letter or among the last that are done", id)
}

// info is what is known of an outstanding job.
func (q *Queue) info(j *job) jobqueue.Info {
	x := jobqueue.Info{Job: j.Job, Status: jobqueue.Queued, Attempts: j.attempt, History: slices.Clone(j.history)}
	if j.leased {
		x.Status = jobqueue.Leased
	}
	if j.heap == &q.hidden {
		x.Until = j.at.UTC()
	}
	return x
}
