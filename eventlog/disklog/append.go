package disklog

import (
	"context"
	"sync/atomic"

	"github.com/freshet-ml/freshet/eventlog"
)

// call is one call of Append on its way through the committer.
type call struct {
	entries []eventlog.Entry
	state   atomic.Int32
	done    chan struct{} // closed when out and err stand
	out     []eventlog.Appended
	err     error
}

// The states of a call. It leaves waiting once, by whoever is first.
const (
	waiting int32 = iota
	taken         // by the committer: it will be appended
	left          // by its caller: it will not
)

func (c *call) take() bool { return c.state.CompareAndSwap(waiting, taken) }

func (c *call) leave() bool { return c.state.CompareAndSwap(waiting, left) }

func (c *call) finish(err error) {
	if err != nil {
		c.out, c.err = nil, err
	}
	close(c.done)
}

// Append implements eventlog.Driver.
func (l *Log) Append(ctx context.Context, entries []eventlog.Entry) ([]eventlog.Appended, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := &call{entries: entries, done: make(chan struct{})}
	select {
	case <-l.closing:
		return nil, errClosed
	default:
	}
	select {
	case l.calls <- c:
	case <-l.closing:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-c.done:
		return c.out, c.err
	case <-ctx.Done():
		// If it has been taken already it is appended all the same, and only the answer is lost: the sender retries and
		// learns that it is a duplicate.
		c.leave()
		return nil, ctx.Err()
	case <-l.stopped:
		if c.leave() {
			return nil, errClosed
		}
		<-c.done
		return c.out, c.err
	}
}
