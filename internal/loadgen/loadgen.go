// Package loadgen is a kit: it sends load over keep-alive HTTP/1.1 connections and measures how long the answers take. It
// is made to cost little, because it shares the cores with what it measures: requests are bytes that the caller prepares,
// answers are read by a reader of its own that parses no more than it needs.
//
// Closed sends the next request of a connection when the last is answered: it finds the highest throughput. Open sends at
// moments that are fixed in advance and measures from those moments, whether or not the server has kept up: a stalled
// server cannot make its own latencies look better by holding back the requests that would have shown them.
//
// The package knows nothing of events or predictions, retries nothing and logs nothing.
package loadgen

import (
	"context"
	"errors"
	"time"
)

// Load is what is sent and to whom.
type Load struct {
	Addr        string // host:port of the server
	Connections int    // open at once; each has one request under way at most
	// Request appends the bytes of request i, head and body, to dst. It is called concurrently and should take a
	// microsecond at most.
	Request func(dst []byte, i int) []byte
	// Answered is told every answer that was read; nil: nobody. due is the moment that latency is measured from. It is
	// called concurrently, and r is valid only while it runs.
	Answered func(i int, due time.Time, r Response)
	// Timeout bounds one request. Defaults to 30 s.
	Timeout time.Duration
}

func (l Load) timeout() time.Duration {
	if l.Timeout == 0 {
		return 30 * time.Second
	}
	return l.Timeout
}

// Result is what came of a load.
type Result struct {
	Elapsed  time.Duration // from the first moment of sending to the last answer
	Sent     int           // requests for which an answer or an error came
	Errors   int           // requests without an answer: refused, reset, timed out
	Err      error         // the first of these
	Statuses map[int]int   // answers by HTTP status
	Latency  Histogram     // of the answers with a 2xx status
}

// OK is the number of answers with a 2xx status.
func (r *Result) OK() int { return int(r.Latency.Count()) }

func (r *Result) answered(status int, latency time.Duration) {
	r.Sent++
	r.Statuses[status]++
	if status >= 200 && status < 300 {
		r.Latency.Record(latency)
	}
}

func (r *Result) failed(err error) {
	r.Sent++
	r.Errors++
	if r.Err == nil {
		r.Err = err
	}
}

func (r *Result) add(o *Result) {
	r.Sent += o.Sent
	r.Errors += o.Errors
	if r.Err == nil {
		r.Err = o.Err
	}
	for status, n := range o.Statuses {
		r.Statuses[status] += n
	}
	r.Latency.Merge(&o.Latency)
}

// errStopped ends a worker whose context has ended.
var errStopped = errors.New("loadgen: stopped")

// dialAll opens all connections before the clock starts.
func dialAll(ctx context.Context, addr string, n int) ([]*Conn, error) {
	conns := make([]*Conn, 0, n)
	for range n {
		c, err := Dial(ctx, addr)
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		conns = append(conns, c)
	}
	return conns, nil
}

func closeAll(conns []*Conn) {
	for _, c := range conns {
		c.Close()
	}
}
