package jobqueue

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/freshet-ml/freshet"
)

// MaxPage is the most that List and DeadLetters give at once.
const MaxPage = 1000

// page is limit within bounds: below 1 it means 100.
func page(limit int) int {
	if limit < 1 {
		limit = 100
	}
	return min(limit, MaxPage)
}

// List gives up to limit jobs of a status, after the place that the page before gave as next ("" for the start); next is ""
// at the end. Queued and leased jobs come in the order of their making within a priority, dead ones by id, done ones
// the latest first. Done jobs are the last Options.Done, or a few more.
func (q *Queue) List(ctx context.Context, status Status, after string, limit int) (jobs []Info, next string, err error) {
	limit = page(limit)
	switch status {
	case Queued, Leased:
		return q.d.List(ctx, status == Leased, after, limit)
	case Done:
		return q.d.Done(ctx, after, limit)
	case Buried:
		letters, err := q.d.DeadLetters(ctx, freshet.JobID(after), limit)
		for _, l := range letters {
			jobs = append(jobs, Info{Job: l.Job, Status: Buried, Attempts: l.Attempts, EndedAt: l.At, Reason: l.Reason})
		}
		if len(letters) == limit {
			next = string(letters[limit-1].Job.ID)
		}
		return jobs, next, err
	}
	return nil, "", freshet.FieldErrorf(freshet.InvalidArgument, "state", "state: expected queued, leased, done or dead, got %.40q", status)
}

// Find tells about one job. NotFound if there never was one, or it was done before the last Options.Done ones.
func (q *Queue) Find(ctx context.Context, id freshet.JobID) (Info, error) { return q.d.Find(ctx, id) }

// Drop forgets dead letters and returns how many there were. An id that is no dead letter is passed over.
func (q *Queue) Drop(ctx context.Context, ids []freshet.JobID) (int, error) {
	return q.d.Drop(ctx, ids)
}

// Erase removes all that is known of e and returns how many outstanding jobs and dead letters that were. A worker that has one of
// them at work cannot acknowledge it any more, and Erased tells it why.
func (q *Queue) Erase(ctx context.Context, e freshet.Entity) (int, error) {
	q.erased.add(e, freshet.TimestampOf(q.o.Now())) // first: who fails to acknowledge one of them looks here
	n, err := q.d.Erase(ctx, e)
	q.waiters.all()
	return n, err
}

// Trim drops the dead letters from before a moment, and the oldest of the others where there are more than keep. It returns
// how many it dropped.
func (q *Queue) Trim(ctx context.Context, before freshet.Timestamp, keep int) (int, error) {
	type letter struct {
		id freshet.JobID
		at freshet.Timestamp
	}
	var old []freshet.JobID
	var rest []letter
	for after := freshet.JobID(""); ; {
		letters, err := q.d.DeadLetters(ctx, after, MaxPage)
		if err != nil {
			return 0, err
		}
		for _, l := range letters {
			if l.At < before {
				old = append(old, l.Job.ID)
			} else {
				rest = append(rest, letter{l.Job.ID, l.At})
			}
		}
		if len(letters) < MaxPage {
			break
		}
		after = letters[len(letters)-1].Job.ID
	}
	slices.SortFunc(rest, func(a, b letter) int { return cmp.Compare(a.at, b.at) })
	for _, l := range rest[:max(0, len(rest)-keep)] {
		old = append(old, l.id)
	}
	n := 0
	for some := range slices.Chunk(old, MaxPage) {
		dropped, err := q.d.Drop(ctx, some)
		if n += dropped; err != nil {
			return n, err
		}
	}
	return n, nil
}

// Run keeps the dead letters within their bounds until ctx ends.
func (q *Queue) Run(ctx context.Context) error {
	const every = time.Minute
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if q.d.Stats().Dead == 0 {
			continue
		}
		if _, err := q.Trim(ctx, freshet.TimestampOf(q.o.Now().Add(-q.o.DeadRetention)), q.o.MaxDead); err != nil && ctx.Err() == nil {
			return freshet.Errorf("", "drop old dead letters: %w", err)
		}
	}
}
