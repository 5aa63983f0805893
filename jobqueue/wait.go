package jobqueue

import (
	"context"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
)

// recheck is how long a waiter sleeps at most before it looks by itself: only jobs that another process ends need it.
const recheck = 50 * time.Millisecond

// waiters are the callers of Wait by the partition they wait for. They are woken one by one instead of all at each change
// of the driver, which would cost (changes × waiters) under load.
type waiters struct {
	mu  sync.Mutex
	set [freshet.Partitions]map[*waiter]struct{}
}

type waiter struct {
	subject Subject
	through freshet.Offset
	wake    chan struct{} // holds one wake-up
}

func (w *waiters) add(p freshet.Partition, s Subject, through freshet.Offset) *waiter {
	a := &waiter{subject: s, through: through, wake: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.set[p] == nil {
		w.set[p] = make(map[*waiter]struct{})
	}
	w.set[p][a] = struct{}{}
	return a
}

func (w *waiters) remove(p freshet.Partition, a *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.set[p], a)
}

// emitted wakes those whose offset has been reached.
func (w *waiters) emitted(p freshet.Partition, through freshet.Offset) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for a := range w.set[p] {
		if a.through <= through {
			a.signal()
		}
	}
}

// ended wakes those who may have waited for job.
func (w *waiters) ended(job *freshet.Job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for a := range w.set[job.Cause.Partition%freshet.Partitions] {
		if a.through >= job.Since() && a.subject.Pipeline == job.Pipeline && a.subject.Entity == job.Entity {
			a.signal()
		}
	}
}

func (w *waiters) all() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, set := range w.set {
		for a := range set {
			a.signal()
		}
	}
}

func (a *waiter) signal() {
	select {
	case a.wake <- struct{}{}:
	default: // it has a wake-up already, and looks at everything when it takes it
	}
}

func (a *waiter) sleep(ctx context.Context) error {
	t := time.NewTimer(recheck)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-a.wake:
	case <-t.C:
	}
	return nil
}
