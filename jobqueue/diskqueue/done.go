package diskqueue

import (
	"context"
	"encoding/binary"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/jobqueue"
)

// trimDone is how many done jobs are written before those too many are deleted, at once: one tombstone for all of them.
const trimDone = 1024

func appendDoneKey(dst []byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, disk.PrefixJobs, kindDone), number)
}

// keepDone writes down the job of h, which is done, in the batch that takes it out of the queue.
func (q *Queue) keepDone(b *pebble.Batch, r ref, h *hold, a jobqueue.Attempt, keep int) error {
	history, err := q.history(q.backlog.at(r))
	if err != nil {
		return err
	}
	number := q.done + 1
	q.key = appendDoneKey(q.key[:0], number)
	q.value = appendDone(q.value[:0], h.attempts.begun, jobqueue.AppendAttempt(history, a), &h.job)
	if err := b.Set(q.key, q.value, nil); err != nil {
		return storeError(err)
	}
	if number%trimDone != 0 || number <= uint64(keep) {
		return nil
	}
	return storeError(b.DeleteRange(appendDoneKey(nil, 0), appendDoneKey(nil, number-uint64(keep)+1), nil))
}

// loadDone finds the last number that was given.
func (q *Queue) loadDone() error {
	it, err := q.db.NewIter(&pebble.IterOptions{LowerBound: appendDoneKey(nil, 0), UpperBound: []byte{disk.PrefixJobs, kindDone + 1}})
	if err != nil {
		return storeError(err)
	}
	defer it.Close()
	if !it.Last() {
		return storeError(it.Error())
	}
	q.done, err = sequenceOf(it.Key())
	return err
}

// Done implements jobqueue.Driver: the place of a job is its number.
func (q *Queue) Done(ctx context.Context, from string, limit int) (jobs []jobqueue.Info, next string, err error) {
	before := ^uint64(0)
	if from != "" {
		if before, err = strconv.ParseUint(from, 36, 64); err != nil {
			return nil, "", freshet.FieldErrorf(freshet.InvalidArgument, "after", "after: %.80q is no place among the jobs; take it from next of the page before", from)
		}
	}
	l, err := q.look(ctx)
	if err != nil {
		return nil, "", err
	}
	defer l.disk.Close()
	last := before
	err = l.eachDone(ctx, before, func(number uint64, x *jobqueue.Info) bool {
		if len(jobs) == limit {
			next = strconv.FormatUint(last, 36)
			return false
		}
		jobs, last = append(jobs, *x), number
		return true
	})
	return jobs, next, err
}

// done is what is known of the job id, if it is among those that are done and kept.
func (l *look) done(ctx context.Context, id freshet.JobID) (info jobqueue.Info, found bool, err error) {
	err = l.eachDone(ctx, ^uint64(0), func(_ uint64, x *jobqueue.Info) bool {
		if found = x.Job.ID == id; found {
			info = *x
		}
		return !found
	})
	return info, found, err
}

// eachDone calls f with the done jobs whose number is below before, the last one first, until it says no.
func (l *look) eachDone(ctx context.Context, before uint64, f func(number uint64, x *jobqueue.Info) bool) error {
	it, err := l.disk.NewIter(&pebble.IterOptions{LowerBound: appendDoneKey(nil, 0), UpperBound: appendDoneKey(nil, before)})
	if err != nil {
		return storeError(err)
	}
	defer it.Close()
	for ok := it.Last(); ok; ok = it.Prev() {
		if err := ctx.Err(); err != nil {
			return err
		}
		number, err := sequenceOf(it.Key())
		if err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return storeError(err)
		}
		x, err := decodeDone(value)
		if err != nil {
			return err
		}
		if !f(number, &x) {
			return nil
		}
	}
	return storeError(it.Error())
}

// eraseDone forgets the done jobs of e.
func (q *Queue) eraseDone(e freshet.Entity) error {
	b := q.db.NewBatch()
	defer b.Close()
	err := q.scan([]byte{disk.PrefixJobs, kindDone}, func(key, value []byte) error {
		x, err := decodeDone(value)
		if err != nil || x.Job.Entity != e {
			return err
		}
		return storeError(b.Delete(key, nil))
	})
	if err != nil || b.Empty() {
		return err
	}
	return storeError(b.Commit(pebble.Sync))
}
