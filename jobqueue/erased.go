package jobqueue

import (
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
)

// erasedFor is how long it is remembered that an entity was erased: far longer than any worker has a job at work.
const erasedFor = 10 * time.Minute

// erased remembers for a while who was erased, for workers that had one of their jobs meanwhile. The zero erased is ready to
// use. It need not survive a restart: nor does what is at work.
type erased struct {
	mu sync.Mutex
	at map[freshet.Entity]freshet.Timestamp
}

func (x *erased) add(e freshet.Entity, now freshet.Timestamp) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.at == nil {
		x.at = map[freshet.Entity]freshet.Timestamp{}
	}
	for old, at := range x.at {
		if now.Sub(at) > erasedFor {
			delete(x.at, old)
		}
	}
	x.at[e] = now
}

func (x *erased) since(e freshet.Entity, made freshet.Timestamp) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	at, ok := x.at[e]
	return ok && made <= at
}

// Erased tells whether j was taken away by Erase in the last minutes: a worker that has it at work must leave nothing of it.
func (q *Queue) Erased(j *freshet.Job) bool { return q.erased.since(j.Entity, j.EnqueuedAt) }
