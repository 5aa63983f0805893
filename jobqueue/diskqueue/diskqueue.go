// Package diskqueue is the jobqueue.Driver of the embedded store: jobs in the one Pebble store of the server. Jobs are
// derived from the event log, so nothing is synced here; the order of the one write-ahead log is what protects them. After
// a crash the queue is what it was at an earlier moment, and replay of the log from the receiver's checkpoint, which lies in
// the same write-ahead log behind the jobs it stands for, makes the rest again.
//
// The jobs are on disk. In memory are a window of those that are next, those that are leased, and 64 bytes for every
// outstanding one. Leases are in memory only: this process is the queue's one user, so that after a restart nobody can
// have a job any more. The package never syncs and never looks at a clock.
package diskqueue

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/zeebo/xxh3"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/jobqueue"
)

// windowJobs is how many of the jobs that are next stay in memory.
const windowJobs = 2048

// Queue is the driver.
type Queue struct {
	mu      sync.Mutex // held over writes too: their order in the write-ahead log is the order of what happened
	db      *pebble.DB
	seed    uint64
	closed  bool
	changed chan struct{} // nil until somebody asks for it

	lanes    [freshet.Partitions]lane
	sequence [classes]uint64 // of the job of the class that was added last
	done     uint64          // the number of the job that was acknowledged last, of those that are kept
	backlog  backlog
	window   [classes][]loaded // the fresh jobs that are next
	unread   [classes]ref      // the first fresh job that is not in window; 0 if all are
	hidden   heap              // leased, or waiting for its moment or a retry: by moment
	due      heap              // visible again: by sequence
	held     map[ref]*hold
	leases   uint32 // counts leases; the upper half of their tokens

	dead         int
	deadSubjects map[uint64]uint32 // how many dead letters each subject hash has

	key, value []byte // reused under mu
}

// lane is what is remembered of a partition.
type lane struct {
	epoch   freshet.Epoch
	emitted freshet.Offset
}

// loaded is a job in memory.
type loaded struct {
	ref ref
	job freshet.Job
}

// hold is the last lease of a job, kept until it is answered or the job is leased again.
type hold struct {
	job      freshet.Job
	token    uint64
	attempts attempts
}

var _ jobqueue.Driver = (*Queue)(nil)

// New finds the jobs in db again: all outstanding ones are visible. db must stay open until Close.
func New(db *disk.DB) (*Queue, error) {
	q := &Queue{
		db:           db.Pebble(),
		seed:         db.Seed(),
		backlog:      newBacklog(),
		hidden:       heap{less: byMoment},
		due:          heap{less: bySequence},
		held:         make(map[ref]*hold),
		leases:       rand.Uint32(), // a token from before a restart names no lease of now
		deadSubjects: make(map[uint64]uint32),
	}
	for c := range q.sequence {
		q.sequence[c] = uint64(c) << classShift
	}
	for _, load := range []func() error{q.loadLanes, q.loadJobs, q.loadAttempts, q.loadHistory, q.loadNewer, q.loadLetters, q.loadDone} {
		if err := load(); err != nil {
			return nil, freshet.Errorf("", "open the job queue: %w", err)
		}
	}
	for c := range q.unread {
		q.unread[c] = q.backlog.fresh(q.backlog.lists[c].first)
	}
	return q, nil
}

func (q *Queue) loadLanes() error {
	return q.scan([]byte{disk.PrefixEmitted}, func(key, value []byte) error {
		p, l, err := decodeEmitted(key, value)
		q.lanes[p] = l
		return err
	})
}

func (q *Queue) loadJobs() error {
	return q.scan([]byte{disk.PrefixJobs, kindJob}, func(key, value []byte) error {
		sequence, err := sequenceOf(key)
		if err != nil {
			return err
		}
		j, err := decodeJob(value)
		if err != nil {
			return err
		}
		if classOf(sequence) >= classes {
			return freshet.Errorf(freshet.Internal, "job key %x: no such priority", key)
		}
		q.sequence[classOf(sequence)] = sequence
		q.hide(q.backlog.add(entryOf(&j, sequence), q.hash(subjectOf(&j), j.Cause.Partition)), &j)
		return nil
	})
}

func (q *Queue) loadAttempts() error {
	return q.scanBesideJobs(kindAttempt, func(e *entry, _ []byte) error {
		e.begun = true
		return nil
	})
}

func (q *Queue) loadHistory() error {
	return q.scanBesideJobs(kindHistory, func(e *entry, _ []byte) error {
		e.told = true
		return nil
	})
}

func (q *Queue) loadNewer() error {
	return q.scanBesideJobs(kindNewer, func(e *entry, value []byte) (err error) {
		e.superseded, err = decodeNewer(value)
		return err
	})
}

// scanBesideJobs calls each with the records of a kind that belong to jobs, and those jobs. Both are in the order of sequence.
func (q *Queue) scanBesideJobs(kind byte, each func(e *entry, value []byte) error) error {
	in, r := normal, q.backlog.lists[normal].first
	return q.scan([]byte{disk.PrefixJobs, kind}, func(key, value []byte) error {
		sequence, err := sequenceOf(key)
		if err != nil {
			return err
		}
		if c := classOf(sequence); c != in && c < classes {
			in, r = c, q.backlog.lists[c].first
		}
		for r != 0 && q.backlog.at(r).sequence < sequence {
			r = q.backlog.at(r).next
		}
		if r == 0 || q.backlog.at(r).sequence != sequence {
			return freshet.Errorf(freshet.Internal, "record %x belongs to no job", key)
		}
		return each(q.backlog.at(r), value)
	})
}

func (q *Queue) loadLetters() error {
	return q.scan([]byte{disk.PrefixDeadLetters, kindLetter}, func(_, value []byte) error {
		l, err := decodeLetter(value)
		if err != nil {
			return err
		}
		q.dead++
		q.deadSubjects[q.hash(subjectOf(&l.Job), l.Job.Cause.Partition)]++
		return nil
	})
}

// scan calls each with the records whose keys begin with prefix, in order. They are valid during the call.
func (q *Queue) scan(prefix []byte, each func(key, value []byte) error) error {
	it, err := q.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return storeError(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return storeError(err)
		}
		if err := each(it.Key(), value); err != nil {
			return err
		}
	}
	return storeError(it.Error())
}

// after is the first key behind all that begin with prefix, whose last byte is not ff.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1]++
	return end
}

// Enqueue implements jobqueue.Driver. Without a job to add it writes nothing: see package jobqueue.
func (q *Queue) Enqueue(ctx context.Context, partition freshet.Partition, epoch freshet.Epoch, through freshet.Offset, jobs []freshet.Job) error {
	if err := q.enter(ctx); err != nil {
		return err
	}
	defer q.mu.Unlock()
	l := &q.lanes[partition]
	if epoch < l.epoch {
		return freshet.Errorf(freshet.PreconditionFailed, "partition %d: epoch %d is over, its owner is of epoch %d", partition, epoch, l.epoch)
	}
	next := lane{epoch: epoch, emitted: max(l.emitted, through)}
	if added := addable(jobs, l.emitted); len(added) > 0 {
		planned, err := q.plan(added)
		if err != nil {
			return err
		}
		if err := q.write(partition, next, planned); err != nil {
			return err
		}
		for i := range planned {
			if into := planned[i].into; into != 0 {
				q.backlog.at(into).name = nameOf(planned[i].job.ID)
			} else {
				q.admit(&planned[i].job, 0, false)
			}
		}
	}
	*l = next
	q.change()
	return nil
}

// addable are the jobs behind the emitted offset, each id once. They are a part of jobs where possible.
func addable(jobs []freshet.Job, emitted freshet.Offset) []freshet.Job {
	seen := make(map[freshet.JobID]struct{}, len(jobs))
	for i := range jobs {
		if jobs[i].Cause.Offset > emitted {
			seen[jobs[i].ID] = struct{}{}
		}
	}
	if len(seen) == len(jobs) {
		return jobs
	}
	added := make([]freshet.Job, 0, len(seen))
	for i := range jobs {
		if _, ok := seen[jobs[i].ID]; ok && jobs[i].Cause.Offset > emitted {
			added = append(added, jobs[i])
			delete(seen, jobs[i].ID)
		}
	}
	return added
}

// write puts jobs and the offset that stands for them on disk, in one batch.
func (q *Queue) write(partition freshet.Partition, next lane, jobs []addition) error {
	b := q.db.NewBatch()
	defer b.Close()
	last := q.sequence
	for i := range jobs {
		var sequence uint64
		if into := jobs[i].into; into != 0 {
			sequence = q.backlog.at(into).sequence
		} else {
			sequence = nextOf(&last, &jobs[i].job)
		}
		q.key = appendSequenceKey(q.key[:0], kindJob, sequence)
		q.value = appendJob(q.value[:0], &jobs[i].job)
		if err := b.Set(q.key, q.value, nil); err != nil {
			return storeError(err)
		}
	}
	q.key = appendEmittedKey(q.key[:0], partition)
	q.value = appendEmitted(q.value[:0], next)
	if err := b.Set(q.key, q.value, nil); err != nil {
		return storeError(err)
	}
	return storeError(b.Commit(pebble.NoSync))
}

// admit adds a job that was written under the next sequence to what is in memory. told says that it has a history.
func (q *Queue) admit(j *freshet.Job, superseded freshet.Offset, told bool) {
	e := entryOf(j, nextOf(&q.sequence, j))
	e.superseded, e.told = superseded, told
	r := q.backlog.add(e, q.hash(subjectOf(j), j.Cause.Partition))
	c := classOf(e.sequence)
	switch {
	case q.hide(r, j):
	case q.unread[c] != 0: // it comes with those before it
	case len(q.window[c]) < windowJobs:
		q.window[c] = append(q.window[c], loaded{r, *j})
	default:
		q.unread[c] = r
	}
}

// nextOf gives the sequence of a job that is added behind the last ones of each class.
func nextOf(last *[classes]uint64, j *freshet.Job) uint64 {
	c := classFor(j.Priority)
	last[c]++
	return last[c]
}

// hide keeps a new entry back until its job's moment, if it has one.
func (q *Queue) hide(r ref, j *freshet.Job) bool {
	if j.NotBefore == 0 {
		return false
	}
	e := q.backlog.at(r)
	e.where, e.at = hidden, j.NotBefore.Time().UnixNano()
	q.hidden.push(&q.backlog, r)
	return true
}

// Emitted implements jobqueue.Driver.
func (q *Queue) Emitted(partition freshet.Partition) freshet.Offset {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lanes[partition].emitted
}

// NextVisible implements jobqueue.Driver.
func (q *Queue) NextVisible() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.hidden.top(); r != 0 {
		return time.Unix(0, q.backlog.at(r).at)
	}
	return time.Time{}
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
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// Stats implements jobqueue.Driver.
func (q *Queue) Stats() jobqueue.Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := jobqueue.Stats{Queued: q.backlog.count - len(q.held), Leased: len(q.held), Dead: q.dead}
	for c := range q.backlog.lists {
		r := q.backlog.lists[c].first
		if r == 0 {
			continue
		}
		if at := q.backlog.at(r).enqueued.Time(); s.Oldest.IsZero() || at.Before(s.Oldest) {
			s.Oldest = at
		}
	}
	return s
}

// Close implements jobqueue.Driver. The store stays open.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		q.change()
	}
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

// hash stands for s in memory. Two subjects with one hash would at worst wait for each other.
func (q *Queue) hash(s jobqueue.Subject, p freshet.Partition) uint64 {
	var buf [160]byte
	return xxh3.HashSeed(appendSubjectKey(buf[:0], s, freshet.Place{Partition: p}), q.seed)
}

func entryOf(j *freshet.Job, sequence uint64) entry {
	return entry{sequence: sequence, offset: j.Since(), enqueued: j.EnqueuedAt, delayed: j.NotBefore != 0, name: nameOf(j.ID)}
}

// nameOf stands for an id in memory. Of jobs with one name each is looked at on disk.
func nameOf(id freshet.JobID) uint32 { return uint32(xxh3.HashString(string(id))) }

func subjectOf(j *freshet.Job) jobqueue.Subject {
	return jobqueue.Subject{Pipeline: j.Pipeline, Entity: j.Entity}
}

func storeError(err error) error {
	if err == nil {
		return nil
	}
	return freshet.Errorf(freshet.Internal, "job queue: %w", err)
}

// get reads one record into a copy; found is false if it is not there.
func (q *Queue) get(key []byte) (value []byte, found bool, err error) {
	return getFrom(q.db, key)
}

func getFrom(db pebble.Reader, key []byte) (value []byte, found bool, err error) {
	v, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, storeError(err)
	}
	value = append([]byte(nil), v...)
	return value, true, storeError(closer.Close())
}
