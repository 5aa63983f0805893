package cli

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/loadgen"
)

// benchIngestCommand measures how many events a second become durable.
type benchIngestCommand struct {
	Connections int   `default:"64" placeholder:"N" help:"Keep-alive connections, one request under way on each (default ${default})."`
	Batch       []int `default:"1,100" placeholder:"N" help:"Events in one request; a run for each of these (default ${default})."`
	benching
}

// Help is the long text of `freshet bench ingest --help`.
func (benchIngestCommand) Help() string {
	return `Sends as fast as the server acknowledges: each connection sends its next request when the last is answered. Every answer
comes after the events' fsync.

` + benchHelp + `

Examples:

  freshet bench ingest
  freshet bench ingest --batch 1 --connections 256 --duration 30s --json`
}

// Validate is called by kong.
func (c *benchIngestCommand) Validate() error {
	if c.Connections < 1 || c.Connections > 4096 {
		return fmt.Errorf("--connections %d: expected 1 to 4096", c.Connections)
	}
	for _, n := range c.Batch {
		if n < 1 || n > 10_000 {
			return fmt.Errorf("--batch %d: expected 1 to 10000", n)
		}
	}
	return c.benching.Validate()
}

// benchIngest is the whole result.
type benchIngest struct {
	Conditions benchConditions  `json:"conditions"`
	Fsync      *benchLatency    `json:"fsync,omitempty"`
	Decode     benchDecode      `json:"decode"`
	Runs       []benchIngestRun `json:"runs"`
}

// benchIngestRun is one run.
type benchIngestRun struct {
	Batch             int          `json:"batch"`
	Connections       int          `json:"connections"`
	EventsPerSecond   float64      `json:"events_per_second"` // acknowledged
	RequestsPerSecond float64      `json:"requests_per_second"`
	Ack               benchLatency `json:"ack"`
	Errors            int          `json:"errors"`
	Refused           int          `json:"refused"` // answered 429
	benchServed

	EchoRequestsPerSecond float64      `json:"echo_requests_per_second"`
	Echo                  benchLatency `json:"echo"`
	EchoRatio             float64      `json:"echo_ratio"`   // of requests a second
	DecodeRatio           float64      `json:"decode_ratio"` // of events a second
}

// Run measures and prints.
func (c *benchIngestCommand) Run(ctx context.Context, sh *shell) error {
	b, err := c.start(ctx, sh)
	if err != nil {
		return err
	}
	defer b.close()
	result := benchIngest{Conditions: b.conditions, Fsync: b.fsync, Decode: b.decode}
	for _, batch := range c.Batch {
		run, err := c.measure(ctx, b, batch)
		if err != nil {
			return err
		}
		result.Runs = append(result.Runs, run)
	}
	b.meter.clear()
	if sh.json {
		return sh.printJSON(result)
	}
	return result.print(sh)
}

func (c *benchIngestCommand) measure(ctx context.Context, b *bench, batch int) (benchIngestRun, error) {
	name := fmt.Sprintf("ingest, %s a request", quantity(batch, "event"))
	load := func(d time.Duration) (loadgen.Result, error) {
		l := b.ingest(c.Connections, batch)
		done := new(atomic.Int64)
		defer b.watch(ctx, name, "events", d, done, batch)()
		r, err := loadgen.Closed(ctx, l, 0, d, done)
		b.take((r.Sent + c.Connections) * batch)
		return r, err
	}
	if c.Warmup > 0 {
		if _, err := load(c.Warmup); err != nil {
			return benchIngestRun{}, b.unreachable(err)
		}
		if _, _, err := b.drained(ctx); err != nil {
			return benchIngestRun{}, err
		}
	}
	var r loadgen.Result
	served, err := b.serving(ctx, func() (events int, err error) {
		r, err = load(c.Duration)
		return r.OK() * batch, err
	})
	if err != nil {
		return benchIngestRun{}, err
	}
	b.meter.say("measuring the HTTP echo…")
	echo, err := b.echo(ctx, b.ingest(c.Connections, batch), func(l loadgen.Load, done *atomic.Int64) (loadgen.Result, error) {
		return loadgen.Closed(ctx, l, 0, min(c.Duration, 3*time.Second), done)
	})
	if err != nil {
		return benchIngestRun{}, err
	}
	run := benchIngestRun{
		Batch: batch, Connections: c.Connections,
		RequestsPerSecond: perSecond(float64(r.OK()), r.Elapsed.Seconds()), EventsPerSecond: perSecond(float64(r.OK()*batch), r.Elapsed.Seconds()),
		Ack: latencyOf(&r.Latency), Errors: failures(r), Refused: r.Statuses[429], benchServed: served,
		EchoRequestsPerSecond: perSecond(float64(echo.OK()), echo.Elapsed.Seconds()), Echo: latencyOf(&echo.Latency),
	}
	run.EchoRatio = ratio(run.RequestsPerSecond, run.EchoRequestsPerSecond)
	run.DecodeRatio = ratio(run.EventsPerSecond, b.decode.EventsPerSecond)
	return run, ctx.Err()
}

// ingest is the load of events, batch of them a request. Its requests are numbered from 0, its events from the next that no
// run has sent.
func (b *bench) ingest(connections, batch int) loadgen.Load {
	contentType := "application/json"
	if batch > 1 {
		contentType = "application/x-ndjson"
	}
	first, host := b.sent, b.target.addr
	return loadgen.Load{
		Addr: b.target.addr, Connections: connections,
		Request: func(dst []byte, i int) []byte {
			begin := first + i*batch
			length := batch - 1 // line ends
			for n := range batch {
				length += b.events.Size(begin + n)
			}
			dst = loadgen.AppendHead(dst, "POST", host, "/v1/events", contentType, "", length)
			now := freshet.TimestampOf(time.Now())
			for n := range batch {
				if n > 0 {
					dst = append(dst, '\n')
				}
				dst = b.events.Append(dst, begin+n, now)
			}
			return dst
		},
	}
}

// failures are requests without an answer, and answers that are neither 2xx nor 429.
func failures(r loadgen.Result) int {
	n := r.Errors
	for status, count := range r.Statuses {
		if (status < 200 || status > 299) && status != 429 {
			n += count
		}
	}
	return n
}

// watch shows how far a run is until the function that it returns is called.
func (b *bench) watch(ctx context.Context, name, what string, d time.Duration, done *atomic.Int64, events int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	begin := time.Now()
	go func() { // beside the load, until stop
		defer close(ended)
		for waitFor(ctx, 200*time.Millisecond) {
			passed := time.Since(begin)
			b.meter.say(fmt.Sprintf("%s: %.0f of %.0f s, %s %s/s", name, passed.Seconds(), d.Seconds(),
				grouped(round(float64(done.Load())*float64(events)/passed.Seconds())), what))
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

func quantity(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}
