package diskqueue

import (
	"context"
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
	disk *pebble.Snapshot
	held map[uint64]hold // by sequence
	till map[uint64]int64
}

// look takes a picture of the queue, which the caller closes.
func (q *Queue) look(ctx context.Context) (*look, error) {
	if err := q.enter(ctx); err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	l := &look{disk: q.db.NewSnapshot(), held: make(map[uint64]hold, len(q.held)), till: make(map[uint64]int64, len(q.hidden.refs))}
	for r, h := range q.held {
		l.held[q.backlog.at(r).sequence] = *h
	}
	for _, r := range q.hidden.refs {
		l.till[q.backlog.at(r).sequence] = q.backlog.at(r).at
	}
	return l, nil
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
	err = l.scan(ctx, behind+1, func(sequence uint64, value []byte) (bool, error) {
		if _, is := l.held[sequence]; is != leased {
			return true, nil
		}
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
	l, err := q.look(ctx)
	if err != nil {
		return jobqueue.Info{}, err
	}
	defer l.disk.Close()
	if info, found, err := l.letter(id); found || err != nil {
		return info, err
	}
	if info, found, err := l.done(ctx, id); found || err != nil {
		return info, err
	}
	var info jobqueue.Info
	found := false
	err = l.scan(ctx, 0, func(sequence uint64, value []byte) (bool, error) {
		j, err := decodeJob(value)
		if err != nil || j.ID != id {
			return true, err
		}
		found = true
		info, err = l.info(sequence, value)
		return false, err
	})
	if err == nil && !found {
		err = freshet.Errorf(freshet.NotFound, "job %s: none is outstanding, a dead letter or among the last that are done", id)
	}
	return info, err
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

// info is what is known of the outstanding job at sequence.
func (l *look) info(sequence uint64, value []byte) (info jobqueue.Info, err error) {
	info.Status = jobqueue.Queued
	if info.Job, err = decodeJob(value); err != nil {
		return info, err
	}
	if at, ok := l.till[sequence]; ok {
		info.Until = time.Unix(0, at).UTC()
	}
	if h, ok := l.held[sequence]; ok {
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
