package loadgen

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Closed sends as fast as the server answers, one request at a time on each connection, for duration or until ctx ends.
// Requests are numbered from first. done, which may be nil, counts answers while it runs. Returns an error only if not
// even the connections could be opened.
func Closed(ctx context.Context, l Load, first int, duration time.Duration, done *atomic.Int64) (Result, error) {
	conns, err := dialAll(ctx, l.Addr, l.Connections)
	if err != nil {
		return Result{}, err
	}
	defer context.AfterFunc(ctx, func() { closeAll(conns) })() // nobody waits for answers then
	if done == nil {
		done = new(atomic.Int64)
	}
	next := new(atomic.Int64)
	next.Store(int64(first))
	start := time.Now()
	end := start.Add(duration)
	results := make([]Result, len(conns))
	var workers sync.WaitGroup
	for n, c := range conns {
		w := &worker{load: l, conn: c, result: &results[n], done: done}
		w.result.Statuses = make(map[int]int)
		workers.Go(func() {
			defer w.close()
			for ctx.Err() == nil {
				now := time.Now()
				if !now.Before(end) || w.send(ctx, int(next.Add(1)-1), now) == errStopped {
					return
				}
			}
		})
	}
	workers.Wait()
	return sum(results, time.Since(start)), nil
}

// worker owns one connection.
type worker struct {
	load   Load
	conn   *Conn // nil after it broke, until it is opened again
	buf    []byte
	result *Result
	done   *atomic.Int64
}

// send sends request i, whose latency is measured from due. It returns errStopped when ctx has ended; every other failure
// is part of the result.
func (w *worker) send(ctx context.Context, i int, due time.Time) error {
	if w.conn == nil {
		c, err := Dial(ctx, w.load.Addr)
		if err != nil {
			return w.failed(ctx, err)
		}
		w.conn = c
	}
	w.buf = w.load.Request(w.buf[:0], i)
	r, err := w.conn.Do(w.buf, time.Now().Add(w.load.timeout()))
	if err != nil {
		w.close()
		return w.failed(ctx, err)
	}
	w.result.answered(r.Status, time.Since(due))
	w.done.Add(1)
	if w.load.Answered != nil {
		w.load.Answered(i, due, r)
	}
	if r.Close {
		w.close()
	}
	return nil
}

// failed counts err and waits a little, so that a server that is gone is not asked in a tight loop.
func (w *worker) failed(ctx context.Context, err error) error {
	w.result.failed(err)
	select {
	case <-ctx.Done():
		return errStopped
	case <-time.After(10 * time.Millisecond):
		return nil
	}
}

func (w *worker) close() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

func sum(results []Result, elapsed time.Duration) Result {
	total := Result{Elapsed: elapsed, Statuses: make(map[int]int)}
	for i := range results {
		total.add(&results[i])
	}
	return total
}
