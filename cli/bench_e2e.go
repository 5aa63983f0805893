package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/loadgen"
)

// benchE2ECommand measures how long it takes from an event to the stored prediction.
type benchE2ECommand struct {
	Rate        []float64 `default:"1000,5000" placeholder:"N" help:"Events a second; a run for each of these (default ${default})."`
	Connections int       `default:"64" placeholder:"N" help:"Keep-alive connections that send (default ${default})."`
	Sample      float64   `default:"0.1" placeholder:"SHARE" help:"Share of the events that make a job whose prediction is waited for (default ${default})."`
	benching
}

// Help is the long text of `freshet bench e2e --help`.
func (benchE2ECommand) Help() string {
	return `Sends one event a request at moments that are fixed in advance, whether or not the server keeps up, and measures from
those moments: to the answer, and for a sample of the events that make a job to the moment at which the prediction that they
caused can be read.

` + benchHelp + `

Examples:

  freshet bench e2e
  freshet bench e2e --rate 5000 --duration 60s --json`
}

// Validate is called by kong.
func (c *benchE2ECommand) Validate() error {
	if c.Connections < 1 || c.Connections > 4096 {
		return fmt.Errorf("--connections %d: expected 1 to 4096", c.Connections)
	}
	if !(c.Sample > 0) || c.Sample > 1 {
		return fmt.Errorf("--sample %v: expected a share, more than 0 and at most 1", c.Sample)
	}
	for _, r := range c.Rate {
		if !(r >= 1) || r > 1e6 {
			return fmt.Errorf("--rate %v: expected 1 to 1000000 events a second", r)
		}
	}
	if err := c.benching.Validate(); err != nil {
		return err
	}
	if c.Duration > time.Hour {
		return fmt.Errorf("--duration %s: expected an hour at most", c.Duration)
	}
	return nil
}

// benchE2E is the whole result.
type benchE2E struct {
	Conditions benchConditions `json:"conditions"`
	Fsync      *benchLatency   `json:"fsync,omitempty"`
	Decode     benchDecode     `json:"decode"`
	Runs       []benchE2ERun   `json:"runs"`
}

// benchE2ERun is one run.
type benchE2ERun struct {
	Rate            float64      `json:"rate"`
	Connections     int          `json:"connections"`
	EventsPerSecond float64      `json:"events_per_second"` // acknowledged
	Sample          float64      `json:"sample"`            // share of the events with a job whose prediction was waited for
	Prediction      benchLatency `json:"event_to_prediction"`
	Unanswered      int          `json:"unanswered"` // of the sample: no prediction within 5 s, or an older one
	Ack             benchLatency `json:"ack"`
	Errors          int          `json:"errors"`
	Refused         int          `json:"refused"` // answered 429
	benchServed

	Echo      benchLatency `json:"echo"`       // at the same rate
	EchoRatio float64      `json:"echo_ratio"` // of event to prediction p50 and echo p50
}

// Run measures and prints.
func (c *benchE2ECommand) Run(ctx context.Context, sh *shell) error {
	b, err := c.start(ctx, sh)
	if err != nil {
		return err
	}
	defer b.close()
	result := benchE2E{Conditions: b.conditions, Fsync: b.fsync, Decode: b.decode}
	for _, rate := range c.Rate {
		run, err := c.measure(ctx, b, rate)
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

func (c *benchE2ECommand) measure(ctx context.Context, b *bench, rate float64) (benchE2ERun, error) {
	if c.Warmup > 0 {
		if _, _, err := c.load(ctx, b, rate, c.Warmup); err != nil {
			return benchE2ERun{}, b.unreachable(err)
		}
		if _, _, err := b.drained(ctx); err != nil {
			return benchE2ERun{}, err
		}
	}
	var r loadgen.Result
	var seen benchSeen
	served, err := b.serving(ctx, func() (events int, err error) {
		r, seen, err = c.load(ctx, b, rate, c.Duration)
		return r.OK(), err
	})
	if err != nil {
		return benchE2ERun{}, err
	}
	b.meter.say("measuring the HTTP echo…")
	echo, err := b.echo(ctx, b.ingest(c.Connections, 1), func(l loadgen.Load, done *atomic.Int64) (loadgen.Result, error) {
		return loadgen.Open(ctx, l, 0, rate, min(c.Duration, 3*time.Second), done)
	})
	if err != nil {
		return benchE2ERun{}, err
	}
	run := benchE2ERun{
		Rate: rate, Connections: c.Connections, EventsPerSecond: perSecond(float64(r.OK()), r.Elapsed.Seconds()), Sample: c.Sample,
		Prediction: latencyOf(&seen.latency), Unanswered: seen.unanswered, Ack: latencyOf(&r.Latency), Errors: failures(r),
		Refused: r.Statuses[429], benchServed: served, Echo: latencyOf(&echo.Latency),
	}
	run.EchoRatio = ratio(run.Prediction.P50, run.Echo.P50)
	return run, ctx.Err()
}

// load sends at rate for d and waits for the predictions of the sample.
func (c *benchE2ECommand) load(ctx context.Context, b *bench, rate float64, d time.Duration) (loadgen.Result, benchSeen, error) {
	l := b.ingest(c.Connections, 1)
	return b.followed(ctx, l, b.take(int(math.Round(rate*d.Seconds()))), rate, c.Sample, d, "e2e")
}

// followed sends the events of l, one a request and numbered from first, at rate for d, and waits for the predictions of a sample of them.
func (b *bench) followed(ctx context.Context, l loadgen.Load, first int, rate, sample float64, d time.Duration, name string) (loadgen.Result, benchSeen, error) {
	w := newBenchWatching(b, int(rate*d.Seconds()*sample)+1)
	told := l.Answered
	l.Answered = func(i int, due time.Time, r loadgen.Response) {
		if told != nil {
			told(i, due, r)
		}
		if n := first + i; r.Status == 202 && b.events.MakesJob(n) && chosen(n, sample) {
			w.watch(n, due, r.Body)
		}
	}
	watched := make(chan benchSeen, 1)
	go func() { watched <- w.run(ctx) }() // beside the load; ends after close
	done := new(atomic.Int64)
	stop := b.watch(ctx, fmt.Sprintf("%s, %s events/s", name, grouped(round(rate))), "events", d, done, 1)
	r, err := loadgen.Open(ctx, l, 0, rate, d, done)
	stop()
	w.close()
	return r, <-watched, err
}

// chosen spreads a share evenly over the numbers: multiples of the golden ratio fall evenly into the unit interval.
func chosen(n int, share float64) bool {
	_, frac := math.Modf(float64(n) * 0.6180339887498949)
	return frac < share
}

const (
	benchWatchers = 32 // connections that wait for predictions
	benchWait     = 5 * time.Second
)

// benchWatching waits for predictions on connections of their own.
type benchWatching struct {
	b     *bench
	queue chan benchWatch
}

// benchWatch is one prediction to wait for.
type benchWatch struct {
	event    int
	position string    // of the answer to it
	due      time.Time // when it was to be sent
}

// benchSeen is what watching found.
type benchSeen struct {
	latency    loadgen.Histogram
	unanswered int
}

func newBenchWatching(b *bench, most int) *benchWatching {
	return &benchWatching{b: b, queue: make(chan benchWatch, 2*most)} // never blocks the load
}

// watch takes the answer to an event.
func (w *benchWatching) watch(event int, due time.Time, answer []byte) {
	if position := positionOf(answer); position != "" {
		w.queue <- benchWatch{event: event, position: position, due: due}
	}
}

// positionOf is the position in the answer to events; "" without one.
func positionOf(answer []byte) string {
	_, rest, _ := bytes.Cut(answer, []byte(`"position":"`))
	position, _, ok := bytes.Cut(rest, []byte(`"`))
	if !ok {
		return ""
	}
	return string(position)
}

func (w *benchWatching) close() { close(w.queue) }

// run waits for all predictions asked for, until close.
func (w *benchWatching) run(ctx context.Context) benchSeen {
	var all benchSeen
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range benchWatchers {
		workers.Go(func() {
			var seen benchSeen
			w.work(ctx, &seen)
			mu.Lock()
			defer mu.Unlock()
			all.latency.Merge(&seen.latency)
			all.unanswered += seen.unanswered
		})
	}
	workers.Wait()
	return all
}

func (w *benchWatching) work(ctx context.Context, seen *benchSeen) {
	var c *loadgen.Conn
	var request []byte
	for x := range w.queue {
		if ctx.Err() != nil {
			continue // empty the queue
		}
		if c == nil {
			var err error
			if c, err = loadgen.Dial(ctx, w.b.target.addr); err != nil {
				seen.unanswered++
				continue
			}
		}
		user := w.b.events.User(x.event)
		target := fmt.Sprintf("/v1/users/%s/predictions/%s?after=%s&wait=%s", user, benchapp.Pipeline, url.QueryEscape(x.position), benchWait)
		request = loadgen.AppendHead(request[:0], "GET", w.b.target.addr, target, "", "", 0)
		r, err := c.Do(request, time.Now().Add(2*benchWait))
		took := time.Since(x.due)
		if err != nil {
			c.Close()
			c = nil
		}
		if err != nil || r.Status != 200 || !w.caused(x, r.Body) {
			seen.unanswered++
			continue
		}
		seen.latency.Record(took)
	}
	if c != nil {
		c.Close()
	}
}

// caused reports whether a prediction was made by the event, or by a newer one of the same user.
func (w *benchWatching) caused(x benchWatch, prediction []byte) bool {
	var p struct {
		EventID freshet.EventID `json:"event_id"`
		Offset  freshet.Place   `json:"offset"`
		Stale   bool            `json:"stale"`
	}
	position, err := freshet.ParsePosition(x.position)
	if err != nil || json.Unmarshal(prediction, &p) != nil || p.Stale {
		return false
	}
	// The position also covers the event's entry for its title, which may lie behind in the same partition: so the id, or
	// an offset beyond both.
	partition := freshet.PartitionOf(freshet.Key(w.b.events.User(x.event)))
	return p.EventID == w.b.events.ID(x.event) || p.Offset.Partition == partition && p.Offset.Offset > position.Through(partition)
}
