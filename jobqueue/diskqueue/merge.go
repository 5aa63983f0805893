package diskqueue

import (
	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

// addition is a job to write: at the end of its class, or in the place of one that it replaces.
type addition struct {
	job  freshet.Job
	into ref // the one that it replaces; 0: none
}

// plan says what becomes of jobs that are enqueued together. It changes nothing.
func (q *Queue) plan(jobs []freshet.Job) ([]addition, error) {
	planned := make([]addition, 0, len(jobs))
	var waiting map[jobqueue.Subject]int // in planned
	for _, j := range jobs {
		if j.NotBefore == 0 {
			planned = append(planned, addition{job: j})
			continue
		}
		s := subjectOf(&j)
		if i, ok := waiting[s]; ok && planned[i].job.Priority == j.Priority {
			planned[i].job = merged(&planned[i].job, &j)
			continue
		}
		a, err := q.replacing(&j)
		if err != nil {
			return nil, err
		}
		if waiting == nil {
			waiting = map[jobqueue.Subject]int{}
		}
		waiting[s] = len(planned)
		planned = append(planned, a)
	}
	return planned, nil
}

// replacing finds the job that j takes the place of, if one waits.
func (q *Queue) replacing(j *freshet.Job) (addition, error) {
	r := q.backlog.waiting(q.hash(subjectOf(j), j.Cause.Partition))
	if r == 0 {
		return addition{job: *j}, nil
	}
	earlier, err := q.load(r)
	if err != nil {
		return addition{}, err
	}
	if subjectOf(&earlier) != subjectOf(j) || earlier.Priority != j.Priority {
		return addition{job: *j}, nil // two subjects with one hash, or another project file since: each for itself
	}
	return addition{job: merged(&earlier, j), into: r}, nil
}

// merged is what the jobs of one subject become while the earlier one waits.
func merged(earlier, later *freshet.Job) freshet.Job {
	m := *later
	if earlier.Cause.Offset > later.Cause.Offset {
		m = *earlier
	}
	m.First = min(earlier.Since(), later.Since())
	m.NotBefore, m.EnqueuedAt = earlier.NotBefore, earlier.EnqueuedAt
	return m
}

// load reads the job of r from disk.
func (q *Queue) load(r ref) (freshet.Job, error) {
	sequence := q.backlog.at(r).sequence
	value, found, err := q.get(appendSequenceKey(nil, kindJob, sequence))
	if err != nil {
		return freshet.Job{}, err
	}
	if !found {
		return freshet.Job{}, freshet.Errorf(freshet.Internal, "the job at %d is not on disk any more", sequence)
	}
	return decodeJob(value)
}
