package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/loadgen"
)

// benchBackfillCommand measures a changed view that is filled beside a live load, and compares its values with brute force.
type benchBackfillCommand struct {
	Events      int           `default:"5000000" placeholder:"N" help:"Events of the past that the view is filled from (default ${default})."`
	Rate        float64       `default:"1000" placeholder:"N" help:"Events a second of the live load (default ${default})."`
	Reads       int           `default:"1000" placeholder:"N" help:"Reads of the changed view that are compared after the switch, each of another user (default ${default})."`
	Connections int           `default:"64" placeholder:"N" help:"Keep-alive connections that send (default ${default})."`
	Sample      float64       `default:"0.5" placeholder:"SHARE" help:"Share of the events that make a job whose prediction is waited for (default ${default})."`
	Window      time.Duration `default:"2s" placeholder:"TIME" help:"The live load is sent in pieces of this length (default ${default})."`
	benching
}

// Help is the long text of `freshet bench backfill --help`.
func (benchBackfillCommand) Help() string {
	return `Fills a log with a day of events, then sends a live load and deploys a project in which one view has changed, without a canary. Latencies
from an event to its stored prediction are measured before and while the view is filled. From the deployment on the view is read
without a pause; every answer, those right after the switch too, is computed anew from the events that the bench has sent, and
compared digit by digit. --duration is the length of the time before the deployment.

` + benchHelp + `

Examples:

  freshet bench backfill
  freshet bench backfill --events 500000 --duration 5s`
}

// Validate is called by kong.
func (c *benchBackfillCommand) Validate() error {
	switch {
	case c.Events < 1000 || c.Events > 100_000_000:
		return fmt.Errorf("--events %d: expected 1000 to 100000000", c.Events)
	case c.Reads < 1 || c.Reads > benchapp.Users:
		return fmt.Errorf("--reads %d: expected 1 to %d", c.Reads, benchapp.Users)
	case c.Connections < 1 || c.Connections > 4096:
		return fmt.Errorf("--connections %d: expected 1 to 4096", c.Connections)
	case !(c.Rate >= 1) || c.Rate > 1e6:
		return fmt.Errorf("--rate %v: expected 1 to 1000000 events a second", c.Rate)
	case !(c.Sample > 0) || c.Sample > 1:
		return fmt.Errorf("--sample %v: expected a share, more than 0 and at most 1", c.Sample)
	case c.Window < 100*time.Millisecond || c.Window > time.Minute:
		return fmt.Errorf("--window %s: expected 100ms to 1m", c.Window)
	case c.Server != "":
		return fmt.Errorf("--server: a backfill is measured on a server of its own; drop it")
	}
	return c.benching.Validate()
}

// benchBackfill is the whole result.
type benchBackfill struct {
	Conditions      benchConditions  `json:"conditions"`
	Fsync           *benchLatency    `json:"fsync,omitempty"`
	Events          int              `json:"events"`
	Entries         int              `json:"entries"` // of the log: an event stands in it for each entity that it is about
	Rate            float64          `json:"rate"`
	Live            float64          `json:"seconds_to_live"` // from the deployment until the release served
	EventsPerSecond float64          `json:"events_per_second"`
	CPUMicros       float64          `json:"cpu_us_an_event"` // of the server, above what it used before
	Before          benchLiveLatency `json:"before"`
	During          benchLiveLatency `json:"during"`
	After           benchLiveLatency `json:"after"`
	Old             benchCompared    `json:"old_release"`
	New             benchCompared    `json:"new_release"`
	MemoryBytes     float64          `json:"server_memory_bytes"`
}

// benchLiveLatency is what the live load saw.
type benchLiveLatency struct {
	Prediction benchLatency `json:"event_to_prediction"`
	Unanswered int          `json:"unanswered"`
	Ack        benchLatency `json:"ack"`
	Failed     int          `json:"failed"`

	ServerCores    float64 `json:"server_cpu_cores"`
	GeneratorCores float64 `json:"generator_cpu_cores"`
	OtherCores     float64 `json:"other_cpu_cores"`

	prediction, ack loadgen.Histogram
	seconds, cpu    float64 // the server's
}

// benchCompared is what the reads of a release came to.
type benchCompared struct {
	Reads  int    `json:"reads"`
	Moving int    `json:"moving"` // of them: while an event of the same user was under way
	Values int    `json:"values"`
	Differ int    `json:"differ"` // reads with a value that brute force does not find
	First  string `json:"first_difference,omitempty"`
}

// Run measures and prints.
func (c *benchBackfillCommand) Run(ctx context.Context, sh *shell) error {
	b, err := c.startWith(ctx, sh, benchProject{
		write: benchapp.WriteIdle, args: []string{"--backlog", "1000000000"},
	})
	if err != nil {
		return err
	}
	defer b.close()
	f := &backfilling{benchBackfillCommand: c, b: b}
	result, err := f.measure(ctx)
	if err != nil {
		return err
	}
	b.meter.clear()
	if sh.json {
		return sh.printJSON(result)
	}
	return result.print(sh)
}

// backfilling is the benchmark under way.
type backfilling struct {
	*benchBackfillCommand
	b      *bench
	client *client.Client
	check  *backfillCheck
}

func (f *backfilling) measure(ctx context.Context) (benchBackfill, error) {
	result := benchBackfill{Conditions: f.b.conditions, Fsync: f.b.fsync, Events: f.Events, Rate: f.Rate}
	var err error
	if f.client, err = client.New(f.b.target.url, nil); err != nil {
		return result, err
	}
	if f.check, err = newBackfillCheck(f.b, f.Reads); err != nil {
		return result, err
	}
	if err := f.past(ctx); err != nil {
		return result, err
	}
	live, err := f.deploy(ctx, benchapp.Project())
	if err != nil {
		return result, err
	}
	if err := f.serving(ctx, live); err != nil {
		return result, err
	}
	if err := f.check.release(live, benchapp.Project()); err != nil {
		return result, err
	}
	if f.Warmup > 0 {
		if err := f.window(ctx, new(benchLiveLatency), f.Warmup, "warming up"); err != nil {
			return result, err
		}
	}
	reads, stop := context.WithCancel(ctx)
	defer stop()
	for left := f.Duration; left > 0; left -= f.Window {
		if err := f.window(ctx, &result.Before, min(left, f.Window), "before"); err != nil {
			return result, err
		}
	}
	m, err := scrape(ctx, f.b.target.url)
	if err != nil {
		return result, f.b.unreachable(err)
	}
	result.Entries = int(m["freshet_receiver_events_total"])
	begin := time.Now()
	changed, err := f.deploy(ctx, benchapp.ChangedProject())
	if err != nil {
		return result, err
	}
	if err := f.check.release(changed, benchapp.ChangedProject()); err != nil {
		return result, err
	}
	reader := make(chan error, 1)
	go func() { reader <- f.check.read(reads, changed) }() // until it has read enough after the switch
	if err := f.until(ctx, f.check.switched, &result.During, "filling"); err != nil {
		return result, err
	}
	if err := f.until(ctx, f.check.done, &result.After, "after the switch"); err != nil {
		return result, err
	}
	if err := <-reader; err != nil {
		return result, err
	}
	if err := f.serving(ctx, changed); err != nil {
		return result, err
	}
	result.Live = f.check.first.Sub(begin).Seconds()
	result.EventsPerSecond = perSecond(float64(f.Events), result.Live)
	result.CPUMicros = ratio((result.During.cpu-result.Before.cpu*ratio(result.During.seconds, result.Before.seconds))*1e6, float64(f.Events))
	for _, l := range []*benchLiveLatency{&result.Before, &result.During, &result.After} {
		l.finish()
	}
	f.b.meter.say("comparing with brute force…")
	if err := f.check.compare(live, &result.Old); err != nil {
		return result, err
	}
	if err := f.check.compare(changed, &result.New); err != nil {
		return result, err
	}
	m, err = scrape(ctx, f.b.target.url)
	result.MemoryBytes = usageOf(m).rss
	return result, err
}

// past fills the log with the events of a day, and waits until the views have them.
func (f *backfilling) past(ctx context.Context) error {
	const size = 500
	step := 24 * time.Hour / time.Duration(f.Events)
	begin := time.Now().Add(-24 * time.Hour)
	f.check.past = func(i int) freshet.Timestamp { return freshet.TimestampOf(begin.Add(time.Duration(i) * step)) }
	f.Events = (f.Events + size - 1) / size * size
	err := f.b.fill(ctx, "filling the log", f.Events, size, func(dst []byte, i int) []byte {
		for n := range size {
			if n > 0 {
				dst = append(dst, '\n')
			}
			dst = f.b.events.Append(dst, i*size+n, f.check.past(i*size+n))
		}
		return dst
	})
	if err != nil {
		return err
	}
	f.check.events = f.b.take(f.Events) + f.Events
	_, _, err = f.b.drained(ctx)
	return err
}

// deploy asks for a project, for everybody at once.
func (f *backfilling) deploy(ctx context.Context, project []byte) (freshet.ReleaseID, error) {
	_, rel, err := f.client.Deploy(ctx, client.DeployRequest{Project: string(project), Canary: "0", Accept: []string{"scores"}}, client.Decision{Actor: "bench"})
	return rel.ID, err
}

// serving waits until a release serves.
func (f *backfilling) serving(ctx context.Context, id freshet.ReleaseID) error {
	for {
		rel, err := f.client.GetRelease(ctx, id)
		if err != nil || rel.State == "live" {
			return err
		}
		if rel.State != "preparing" || !waitFor(ctx, followEvery) {
			return freshet.Errorf(freshet.Internal, "release %s is %s: %s", id, rel.State, rel.Last().Reason)
		}
	}
}

// until sends the live load until something is over, for a window at least.
func (f *backfilling) until(ctx context.Context, over <-chan struct{}, into *benchLiveLatency, what string) error {
	for {
		if err := f.window(ctx, into, f.Window, what); err != nil {
			return err
		}
		select {
		case <-over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
	}
}

// window sends a piece of the live load.
func (f *backfilling) window(ctx context.Context, into *benchLiveLatency, d time.Duration, what string) error {
	first := f.b.take(int(f.Rate*d.Seconds() + 1))
	l := f.check.watched(f.b.ingest(f.Connections, 1), first)
	begin := time.Now()
	cores, err := f.b.using(ctx, func() error {
		r, seen, err := f.b.followed(ctx, l, first, f.Rate, f.Sample, d, what)
		into.prediction.Merge(&seen.latency)
		into.ack.Merge(&r.Latency)
		into.Unanswered += seen.unanswered
		into.Failed += r.Sent - r.OK()
		return err
	})
	into.add(cores, time.Since(begin).Seconds())
	return err
}

// add counts what a window used.
func (l *benchLiveLatency) add(c benchCores, seconds float64) {
	all := l.seconds + seconds
	mean := func(old, new float64) float64 { return ratio(old*l.seconds+new*seconds, all) }
	l.ServerCores, l.GeneratorCores, l.OtherCores = mean(l.ServerCores, c.server), mean(l.GeneratorCores, c.generator), mean(l.OtherCores, c.others)
	l.cpu += c.cpu
	l.seconds = all
}

func (l *benchLiveLatency) finish() {
	l.Prediction, l.Ack = latencyOf(&l.prediction), latencyOf(&l.ack)
}

func (r benchBackfill) print(sh *shell) error {
	one := func(name, format string, args ...any) benchRow {
		return benchRow{name: name, values: []string{fmt.Sprintf(format, args...)}}
	}
	live := []benchLiveLatency{r.Before, r.During, r.After}
	rows := []benchRow{
		one("events of the past / in the log, by entity", "%s / %s", grouped(r.Events), grouped(r.Entries)),
		one("deployed → live", "%.2f s", r.Live),
		one("events/s filled", "%s", count(r.EventsPerSecond)),
		one("  server CPU an event, above the live load", "%.1f µs", r.CPUMicros),
		one("reads compared with brute force / that differ", "%s / %s", grouped(r.New.Reads), grouped(r.New.Differ)),
		one("  beside an event of the same user", "%s", grouped(r.New.Moving)),
		one("  of the old view, while the new one is filled", "%s / %s", grouped(r.Old.Reads), grouped(r.Old.Differ)),
		{},
		{name: "", values: []string{"before", "during", "after"}},
		rowOf("event → prediction p50 / p99", live, func(l benchLiveLatency) string { return pair(l.Prediction.P50, l.Prediction.P99) }),
		rowOf("event → prediction max", live, func(l benchLiveLatency) string { return millis(l.Prediction.Max) + " ms" }),
		rowOf("  sampled / without their prediction", live, func(l benchLiveLatency) string {
			return fmt.Sprintf("%s / %d", grouped(l.Prediction.Count+l.Unanswered), l.Unanswered)
		}),
		rowOf("ack p50 / p99", live, func(l benchLiveLatency) string { return pair(l.Ack.P50, l.Ack.P99) }),
		rowOf("events / failed", live, func(l benchLiveLatency) string {
			return fmt.Sprintf("%s / %d", grouped(l.Ack.Count+l.Failed), l.Failed)
		}),
		rowOf("cores busy: server / generator / others", live, func(l benchLiveLatency) string {
			return fmt.Sprintf("%.2f / %.2f / %.2f", l.ServerCores, l.GeneratorCores, l.OtherCores)
		}),
	}
	rows = append(rows, fsyncRow([]int{0}, r.Fsync)...)
	rows = append(rows, one("server memory (RSS)", "%.0f MB", r.MemoryBytes/1e6))
	if first := r.New.First + r.Old.First; first != "" {
		rows = append(rows, one("DIFFERENT", "%s", first))
	}
	return sh.printBench("freshet bench backfill: a changed view beside a live load", r.Conditions,
		fmt.Sprintf("open loop, %s events/s, one event a request", grouped(round(r.Rate))), rows)
}
