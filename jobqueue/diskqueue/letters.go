package diskqueue

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/jobqueue"
)

// setLetter writes a dead letter and its place in the index by subject.
func (q *Queue) setLetter(b *pebble.Batch, l *jobqueue.DeadLetter, superseded freshet.Offset) error {
	q.key = appendLetterKey(q.key[:0], l.Job.ID)
	q.value = appendLetter(q.value[:0], l)
	if err := b.Set(q.key, q.value, nil); err != nil {
		return storeError(err)
	}
	q.key = appendSubjectKey(q.key[:0], subjectOf(&l.Job), begins(&l.Job))
	q.value = appendNewer(q.value[:0], superseded)
	return storeError(b.Set(q.key, q.value, nil))
}

// begins is the place of the first event that j stands for: a letter counts from there.
func begins(j *freshet.Job) freshet.Place {
	return freshet.Place{Partition: j.Cause.Partition, Offset: j.Since()}
}

// supersedeLetter notes at the newest dead letter before j that j was acknowledged: from j's offset on, its subject is not
// dead any more. An older dead letter needs no note: nobody looks at it from j's offset on.
func (q *Queue) supersedeLetter(b *pebble.Batch, j *freshet.Job) error {
	key, superseded, found, err := q.newestLetter(subjectOf(j), freshet.Place{Partition: j.Cause.Partition, Offset: j.Cause.Offset - 1})
	if err != nil || !found || superseded != 0 && superseded < j.Cause.Offset {
		return err
	}
	q.value = appendNewer(q.value[:0], j.Cause.Offset)
	return storeError(b.Set(key, q.value, nil))
}

// newestLetter finds the last dead letter of s through the given place: its key in the index by subject, and the first newer
// job that was acknowledged.
func (q *Queue) newestLetter(s jobqueue.Subject, through freshet.Place) (key []byte, superseded freshet.Offset, found bool, err error) {
	last := appendSubjectKey(nil, s, through)
	it, err := q.db.NewIter(&pebble.IterOptions{LowerBound: last[:len(last)-8], UpperBound: append(last, 0)})
	if err != nil {
		return nil, 0, false, storeError(err)
	}
	defer it.Close()
	if !it.Last() {
		return nil, 0, false, storeError(it.Error())
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return nil, 0, false, storeError(err)
	}
	if superseded, err = decodeNewer(value); err != nil {
		return nil, 0, false, err
	}
	return append([]byte(nil), it.Key()...), superseded, true, nil
}

// StateOf implements jobqueue.Driver.
func (q *Queue) StateOf(ctx context.Context, s jobqueue.Subject, through freshet.Offset) (jobqueue.State, error) {
	if err := q.enter(ctx); err != nil {
		return jobqueue.Pending, err
	}
	defer q.mu.Unlock()
	partition := freshet.PartitionOf(s.Entity.Key)
	subject := q.hash(s, partition)
	if q.backlog.pending(subject, through) {
		return jobqueue.Pending, nil
	}
	if q.deadSubjects[subject] == 0 {
		return jobqueue.Ended, nil
	}
	_, superseded, found, err := q.newestLetter(s, freshet.Place{Partition: partition, Offset: through})
	if err != nil {
		return jobqueue.Pending, err
	}
	if found && (superseded == 0 || superseded > through) {
		return jobqueue.Dead, nil
	}
	return jobqueue.Ended, nil
}

// DeadLetters implements jobqueue.Driver.
func (q *Queue) DeadLetters(ctx context.Context, from freshet.JobID, limit int) ([]jobqueue.DeadLetter, error) {
	if err := q.enter(ctx); err != nil {
		return nil, err
	}
	defer q.mu.Unlock()
	low := appendLetterKey(nil, from)
	if from != "" {
		low = append(low, 0) // the first key behind it
	}
	it, err := q.db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: []byte{disk.PrefixDeadLetters, kindLetter + 1}})
	if err != nil {
		return nil, storeError(err)
	}
	defer it.Close()
	var letters []jobqueue.DeadLetter
	for ok := it.First(); ok && len(letters) < limit; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, storeError(err)
		}
		l, err := decodeLetter(value)
		if err != nil {
			return nil, err
		}
		letters = append(letters, l)
	}
	return letters, storeError(it.Error())
}

// Redrive implements jobqueue.Driver.
func (q *Queue) Redrive(ctx context.Context, ids []freshet.JobID, at freshet.Timestamp) (int, error) {
	if err := q.enter(ctx); err != nil {
		return 0, err
	}
	defer q.mu.Unlock()
	b := q.db.NewBatch()
	defer b.Close()
	var back []revived
	last := q.sequence
	seen := make(map[freshet.JobID]struct{}, len(ids))
	for _, id := range ids {
		if _, twice := seen[id]; twice {
			continue
		}
		seen[id] = struct{}{}
		v, found, err := q.revive(b, id, &last, at)
		if err != nil {
			return 0, err
		}
		if found {
			back = append(back, v)
		}
	}
	if len(back) == 0 {
		return 0, nil
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return 0, storeError(err)
	}
	for i := range back {
		q.forgetLetter(&back[i].job)
		q.admit(&back[i].job, back[i].superseded, back[i].history != nil)
	}
	q.change()
	return len(back), nil
}

// forgetLetter counts one dead letter less.
func (q *Queue) forgetLetter(j *freshet.Job) {
	q.dead--
	subject := q.hash(subjectOf(j), j.Cause.Partition)
	if q.deadSubjects[subject]--; q.deadSubjects[subject] == 0 {
		delete(q.deadSubjects, subject)
	}
}

// revived is the job of a dead letter that goes back to the queue.
type revived struct {
	job        freshet.Job
	superseded freshet.Offset
	history    []byte // its record; nil if there is none
}

// revive replaces the dead letter of id by its job behind the last ones.
func (q *Queue) revive(b *pebble.Batch, id freshet.JobID, last *[classes]uint64, at freshet.Timestamp) (revived, bool, error) {
	v, found, err := q.takeLetter(b, id)
	if err != nil || !found {
		return revived{}, false, err
	}
	if at != 0 {
		v.job.EnqueuedAt = at
	}
	v.job.NotBefore = 0
	sequence := nextOf(last, &v.job)
	if v.superseded != 0 {
		if err := q.setNewer(b, sequence, v.superseded); err != nil {
			return revived{}, false, err
		}
	}
	if v.history != nil {
		if err := b.Set(appendSequenceKey(nil, kindHistory, sequence), v.history, nil); err != nil {
			return revived{}, false, storeError(err)
		}
	}
	q.key = appendSequenceKey(q.key[:0], kindJob, sequence)
	q.value = appendJob(q.value[:0], &v.job)
	return v, true, storeError(b.Set(q.key, q.value, nil))
}

// takeLetter deletes the records of a dead letter.
func (q *Queue) takeLetter(b *pebble.Batch, id freshet.JobID) (revived, bool, error) {
	letterKey := appendLetterKey(nil, id)
	value, found, err := q.get(letterKey)
	if err != nil || !found {
		return revived{}, false, err
	}
	l, err := decodeLetter(value)
	if err != nil {
		return revived{}, false, err
	}
	v := revived{job: l.Job}
	placeKey := appendSubjectKey(nil, subjectOf(&l.Job), begins(&l.Job))
	newer, _, err := q.get(placeKey)
	if err != nil {
		return revived{}, false, err
	}
	if v.superseded, err = decodeNewer(newer); err != nil {
		return revived{}, false, err
	}
	if v.history, _, err = q.get(appendHistoryKey(nil, id)); err != nil {
		return revived{}, false, err
	}
	for _, key := range [][]byte{placeKey, letterKey, appendHistoryKey(nil, id)} {
		if err := b.Delete(key, nil); err != nil {
			return revived{}, false, storeError(err)
		}
	}
	return v, true, nil
}
