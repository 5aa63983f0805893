package memqueue

import (
	container "container/heap"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

// job is a queued or leased job, or a dead letter.
type job struct {
	freshet.Job
	sequence   uint64
	attempt    int // begun so far
	leased     bool
	token      uint64
	at         time.Time // when it becomes visible, while it is hidden
	lastError  string
	history    []jobqueue.Attempt
	superseded freshet.Offset // the first newer job of the same subject that was acknowledged; 0 if none was
	reason     string         // of a dead letter
	buriedAt   freshet.Timestamp
	heap       *heap // the one that holds it
	index      int   // its place there
}

// before tells whether a is leased before b.
func before(a, b *job) bool {
	if a.Priority != b.Priority {
		return a.Priority > b.Priority
	}
	return a.sequence < b.sequence
}

func subjectOf(j *job) jobqueue.Subject {
	return jobqueue.Subject{Pipeline: j.Pipeline, Entity: j.Entity}
}

// heap is a priority queue of jobs that know their place in it.
type heap struct {
	less func(a, b *job) bool
	jobs []*job
}

func (h *heap) first() *job {
	if len(h.jobs) == 0 {
		return nil
	}
	return h.jobs[0]
}

func (h *heap) push(j *job) {
	j.heap = h
	container.Push((*order)(h), j)
}

func (h *heap) remove(j *job) {
	container.Remove((*order)(h), j.index)
	j.heap = nil
}

// order is a heap as package container/heap wants it.
type order heap

func (o *order) Len() int           { return len(o.jobs) }
func (o *order) Less(a, b int) bool { return o.less(o.jobs[a], o.jobs[b]) }

func (o *order) Swap(a, b int) {
	o.jobs[a], o.jobs[b] = o.jobs[b], o.jobs[a]
	o.jobs[a].index, o.jobs[b].index = a, b
}

func (o *order) Push(x any) {
	j := x.(*job)
	j.index = len(o.jobs)
	o.jobs = append(o.jobs, j)
}

func (o *order) Pop() any {
	last := len(o.jobs) - 1
	j := o.jobs[last]
	o.jobs[last] = nil
	o.jobs = o.jobs[:last]
	return j
}
