package diskqueue

import (
	"context"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
)

// Drop implements jobqueue.Driver.
func (q *Queue) Drop(ctx context.Context, ids []freshet.JobID) (int, error) {
	if err := q.enter(ctx); err != nil {
		return 0, err
	}
	defer q.mu.Unlock()
	return q.drop(ids, pebble.NoSync)
}

func (q *Queue) drop(ids []freshet.JobID, sync *pebble.WriteOptions) (int, error) {
	b := q.db.NewBatch()
	defer b.Close()
	seen := make(map[freshet.JobID]freshet.Job, len(ids))
	for _, id := range ids {
		if _, twice := seen[id]; twice {
			continue
		}
		v, found, err := q.takeLetter(b, id)
		if err != nil {
			return 0, err
		}
		if found {
			seen[id] = v.job
		}
	}
	if len(seen) == 0 {
		return 0, nil
	}
	if err := b.Commit(sync); err != nil {
		return 0, storeError(err)
	}
	for _, j := range seen {
		q.forgetLetter(&j)
	}
	q.change()
	return len(seen), nil
}

// Erase implements jobqueue.Driver. Both the jobs and the letters are looked for on disk, because their index is by pipeline first.
func (q *Queue) Erase(ctx context.Context, e freshet.Entity) (int, error) {
	if err := q.enter(ctx); err != nil {
		return 0, err
	}
	defer q.mu.Unlock()
	var jobs []uint64
	err := q.scan([]byte{disk.PrefixJobs, kindJob}, func(key, value []byte) error {
		j, err := decodeJob(value)
		if err != nil || j.Entity != e {
			return err
		}
		sequence, err := sequenceOf(key)
		jobs = append(jobs, sequence)
		return err
	})
	if err != nil {
		return 0, err
	}
	var letters []freshet.JobID
	err = q.scan([]byte{disk.PrefixDeadLetters, kindLetter}, func(_, value []byte) error {
		l, err := decodeLetter(value)
		if err == nil && l.Job.Entity == e {
			letters = append(letters, l.Job.ID)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	if err := q.removeJobs(jobs); err != nil {
		return 0, err
	}
	if err := q.eraseDone(e); err != nil {
		return 0, err
	}
	n, err := q.drop(letters, pebble.Sync)
	return n + len(jobs), err
}

// removeJobs takes outstanding jobs away, wherever they wait.
func (q *Queue) removeJobs(sequences []uint64) error {
	if len(sequences) == 0 {
		return nil
	}
	refs := q.refs(sequences)
	b := q.db.NewBatch()
	defer b.Close()
	subjects := make([]uint64, len(refs))
	for i, r := range refs {
		j, err := q.load(r)
		if err != nil {
			return err
		}
		subjects[i] = q.hash(subjectOf(&j), j.Cause.Partition)
		if err := q.deleteJob(b, r); err != nil {
			return err
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return storeError(err)
	}
	for i, r := range refs {
		q.withdraw(r)
		delete(q.held, r)
		q.backlog.remove(r, subjects[i])
	}
	q.change()
	return nil
}

// refs are the entries of sequences, which rise.
func (q *Queue) refs(sequences []uint64) []ref {
	var refs []ref
	for c := range q.backlog.lists {
		for r := q.backlog.lists[c].first; r != 0; r = q.backlog.at(r).next {
			if _, is := slices.BinarySearch(sequences, q.backlog.at(r).sequence); is {
				refs = append(refs, r)
			}
		}
	}
	return refs
}

// withdraw takes r from where it waits.
func (q *Queue) withdraw(r ref) {
	e := q.backlog.at(r)
	if e.where != fresh {
		q.leaveHeap(r)
		return
	}
	c := classOf(e.sequence)
	if q.unread[c] == r {
		q.unread[c] = q.backlog.fresh(e.next)
		return
	}
	q.window[c] = slices.DeleteFunc(q.window[c], func(l loaded) bool { return l.ref == r })
}
