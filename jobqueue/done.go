package jobqueue

import (
	"strconv"
	"sync"

	"github.com/freshet-ml/freshet"
)

// done remembers the jobs that were acknowledged last, in memory only: what they made is in the prediction store, and to
// write each down once more would cost as much as the job. The zero done is ready to use.
type done struct {
	mu    sync.Mutex
	jobs  []Info // a ring
	count uint64 // ever added; the next one's place is count modulo size
}

// add remembers the job of l.
func (d *done) add(size int, l Lease, at freshet.Timestamp) {
	if size == 0 {
		return
	}
	x := Info{Job: l.Job, Status: Done, Attempts: l.Attempt, EndedAt: at}
	if l.LastError != "" {
		x.Failures = []Failure{{Error: clipTo(l.LastError, maxFailureBytes)}}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.jobs) < size {
		d.jobs = append(d.jobs, x)
	} else {
		d.jobs[d.count%uint64(size)] = x
	}
	d.count++
}

// each calls f with the jobs from the latest on, whose number is below before (0: all), until it says no.
func (d *done) each(before uint64, f func(number uint64, x *Info) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.count
	if before != 0 {
		n = min(n, before-1)
	}
	for ; n > 0 && d.count-n < uint64(len(d.jobs)); n-- {
		x := &d.jobs[(n-1)%uint64(len(d.jobs))]
		if x.Job.ID != "" && !f(n, x) {
			return
		}
	}
}

// list is a page of them.
func (d *done) list(after string, limit int) (jobs []Info, next string, err error) {
	before := uint64(0)
	if after != "" {
		if before, err = strconv.ParseUint(after, 36, 64); err != nil {
			return nil, "", freshet.FieldErrorf(freshet.InvalidArgument, "after", "after: %.80q is no place among the jobs; take it from next of the page before", after)
		}
	}
	last := uint64(0)
	d.each(before, func(number uint64, x *Info) bool {
		if len(jobs) == limit {
			next = strconv.FormatUint(last, 36)
			return false
		}
		jobs, last = append(jobs, *x), number
		return true
	})
	return jobs, next, nil
}

func (d *done) find(id freshet.JobID) (found Info, ok bool) {
	d.each(0, func(_ uint64, x *Info) bool {
		if ok = x.Job.ID == id; ok {
			found = *x
		}
		return !ok
	})
	return found, ok
}

// erase forgets those of e.
func (d *done) erase(e freshet.Entity) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.jobs {
		if d.jobs[i].Job.Entity == e {
			d.jobs[i] = Info{}
		}
	}
}
