package diskqueue

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/jobqueue"
)

// look is what a list of jobs needs from memory, taken at once. What is on disk is read without the lock: a large backlog
// must not hold up the workers.
type look struct {
	q    *Queue
	disk *pebble.Snapshot
	held map[uint64]hold // by sequence
}

// look takes a picture of the queue, which the caller closes.
func (q *Queue) look(ctx context.Context) (*look, error) {
	if err := q.enter(ctx); err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	return q.picture(), nil
}

// picture is look for a caller that holds the lock.
func (q *Queue) picture() *look {
	l := &look{q: q, disk: q.db.NewSnapshot(), held: make(map[uint64]hold, len(q.held))}
	for r, h := range q.held {
		l.held[q.backlog.at(r).sequence] = *h
	}
	return l
}

// List implements jobqueue.Driver: in the order of sequences, which stand in next.
func (q *Queue) List(ctx context.Context, leased bool, from string, limit int) ([]jobqueue.Info, string, error) {
	behind := uint64(0)
	if from != "" {
		var err error
		if behind, err = strconv.ParseUint(from, 36, 64); err != nil {
			return nil, "", freshet.FieldErrorf(freshet.InvalidArgument, "after", "after: %.80q is no place in the queue; take it from next of the page before", from)
		}
	}
	l, err := q.look(ctx)
	if err != nil {
		return nil, "", err
	}
	defer l.disk.Close()
	var jobs []jobqueue.Info
	next := ""
	each := l.queued
	if leased {
		each = l.leased
	}
	err = each(ctx, behind+1, func(sequence uint64, value []byte) (bool, error) {
		if len(jobs) == limit {
			next = strconv.FormatUint(behind, 36)
			return false, nil
		}
		info, err := l.info(sequence, value)
		jobs, behind = append(jobs, info), sequence
		return true, err
	})
	return jobs, next, err
}

// Find implements jobqueue.Driver.
func (q *Queue) Find(ctx context.Context, id freshet.JobID) (jobqueue.Info, error) {
	if err := q.enter(ctx); err != nil {
		return jobqueue.Info{}, err
	}
	sequences, l := q.backlog.named(nameOf(id)), q.picture()
	q.mu.Unlock()
	defer l.disk.Close()
	if info, found, err := l.letter(id); found || err != nil {
		return info, err
	}
	for _, sequence := range sequences {
		value, err := l.job(sequence)
		if err != nil {
			return jobqueue.Info{}, err
		}
		if info, err := l.info(sequence, value); err != nil || info.Job.ID == id {
			return info, err
		}
	}
	if info, found, err := l.done(ctx, id); found || err != nil {
		return info, err
	}
	return jobqueue.Info{}, freshet.Errorf(freshet.NotFound, "job %s: none is outstanding, a dead letter or among the last that are done", id)
}

// leased calls each with the jobs from a sequence on that are leased, until it says no.
func (l *look) leased(_ context.Context, from uint64, each func(sequence uint64, value []byte) (bool, error)) error {
	for _, sequence := range slices.Sorted(maps.Keys(l.held)) {
		if sequence < from {
			continue
		}
		value, err := l.job(sequence)
		if err != nil {
			return err
		}
		if on, err := each(sequence, value); err != nil || !on {
			return err
		}
	}
	return nil
}

// queued is leased for the jobs that are not.
func (l *look) queued(ctx context.Context, from uint64, each func(sequence uint64, value []byte) (bool, error)) error {
	return l.scan(ctx, from, func(sequence uint64, value []byte) (bool, error) {
		if _, is := l.held[sequence]; is {
			return true, nil
		}
		return each(sequence, value)
	})
}

// scan calls each with the outstanding jobs from a sequence on, until it says no.
func (l *look) scan(ctx context.Context, from uint64, each func(sequence uint64, value []byte) (bool, error)) error {
	it, err := l.disk.NewIter(&pebble.IterOptions{LowerBound: appendSequenceKey(nil, kindJob, from), UpperBound: []byte{disk.PrefixJobs, kindJob + 1}})
	if err != nil {
		return storeError(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		sequence, err := sequenceOf(it.Key())
		if err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return storeError(err)
		}
		if on, err := each(sequence, value); err != nil || !on {
			return err
		}
	}
	return storeError(it.Error())
}

// job is the record of the outstanding job at sequence.
func (l *look) job(sequence uint64) ([]byte, error) {
	value, found, err := l.get(appendSequenceKey(nil, kindJob, sequence))
	if err == nil && !found {
		err = freshet.Errorf(freshet.Internal, "the job at %d is not on disk any more", sequence)
	}
	return value, err
}

// info is what is known of the outstanding job at sequence.
func (l *look) info(sequence uint64, value []byte) (info jobqueue.Info, err error) {
	info.Status = jobqueue.Queued
	if info.Job, err = decodeJob(value); err != nil {
		return info, err
	}
	h, leased := l.held[sequence]
	info.Until = l.q.until(&info.Job, sequence, leased)
	if leased {
		info.Status = jobqueue.Leased
		info.Attempts = h.attempts.begun
	} else if value, found, err := l.get(appendSequenceKey(nil, kindAttempt, sequence)); err != nil {
		return info, err
	} else if found {
		a, err := decodeAttempts(value)
		if err != nil {
			return info, err
		}
		info.Attempts = a.begun
	}
	info.History, err = l.history(appendSequenceKey(nil, kindHistory, sequence))
	return info, err
}

// until is when the job at sequence becomes visible, zero if it waits for no moment or is not leased, or not any more, as it was.
func (q *Queue) until(j *freshet.Job, sequence uint64, leased bool) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	for r := q.backlog.chains[q.hash(subjectOf(j), j.Cause.Partition)].first; r != 0; r = q.backlog.at(r).newer {
		if e := q.backlog.at(r); e.sequence == sequence {
			if _, now := q.held[r]; e.where == hidden && now == leased {
				return time.Unix(0, e.at).UTC()
			}
			break
		}
	}
	return time.Time{}
}

// letter is what is known of the dead letter id.
func (l *look) letter(id freshet.JobID) (info jobqueue.Info, found bool, err error) {
	value, found, err := l.get(appendLetterKey(nil, id))
	if err != nil || !found {
		return info, false, err
	}
	letter, err := decodeLetter(value)
	if err != nil {
		return info, true, err
	}
	info = jobqueue.Info{Job: letter.Job, Status: jobqueue.Buried, Attempts: letter.Attempts, EndedAt: letter.At, Reason: letter.Reason}
	info.History, err = l.history(appendHistoryKey(nil, id))
	return info, true, err
}

func (l *look) history(key []byte) ([]jobqueue.Attempt, error) {
	value, found, err := l.get(key)
	if err != nil || !found {
		return nil, err
	}
	return decodeHistory(value)
}

func (l *look) get(key []byte) (value []byte, found bool, err error) { return getFrom(l.disk, key) }
