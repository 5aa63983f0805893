package loadgen

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Open sends request i, from first on, at start + (i−first)/rate, for duration or until ctx ends. Latency is measured from
// that moment, also when all connections were busy and the request went out later. After the last it waits for the answers
// under way. done, which may be nil, counts answers while it runs. Returns an error only if not even the connections could
// be opened.
func Open(ctx context.Context, l Load, first int, rate float64, duration time.Duration, done *atomic.Int64) (Result, error) {
	conns, err := dialAll(ctx, l.Addr, l.Connections)
	if err != nil {
		return Result{}, err
	}
	defer context.AfterFunc(ctx, func() { closeAll(conns) })() // nobody waits for answers then
	if done == nil {
		done = new(atomic.Int64)
	}
	total := int(math.Round(rate * duration.Seconds()))
	start := time.Now()
	p := pace{start: start, rate: rate}
	// All places at once: however far the server falls behind, the pacer never waits for it.
	ready := make(chan int, total)
	results := make([]Result, len(conns))
	var workers sync.WaitGroup
	for n, c := range conns {
		w := &worker{load: l, conn: c, result: &results[n], done: done}
		w.result.Statuses = make(map[int]int)
		workers.Go(func() {
			defer w.close()
			for i := range ready {
				if ctx.Err() != nil || w.send(ctx, first+i, p.due(i)) == errStopped {
					return
				}
			}
		})
	}
	workers.Go(func() {
		defer close(ready)
		p.run(ctx, total, ready)
	})
	workers.Wait()
	return sum(results, time.Since(start)), nil
}

// pace knows when each request is due.
type pace struct {
	start time.Time
	rate  float64
}

func (p pace) due(i int) time.Time {
	return p.start.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
}

// run hands out each number when it is due.
func (p pace) run(ctx context.Context, total int, ready chan<- int) {
	a := newAlarm()
	defer a.close()
	for i := range total {
		for wait := time.Until(p.due(i)); wait > 0; wait = time.Until(p.due(i)) {
			if ctx.Err() != nil {
				return
			}
			a.sleep(min(wait, 100*time.Millisecond))
		}
		if ctx.Err() != nil {
			return
		}
		ready <- i
	}
}
