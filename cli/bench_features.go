package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/loadgen"
	"github.com/freshet-ml/freshet/internal/project"
)

// benchFeaturesCommand measures how fast features are read.
type benchFeaturesCommand struct {
	Rows        []int     `default:"1,100" placeholder:"N" help:"Users in one request; a run for each of these (default ${default})."`
	Rate        []float64 `default:"5000,100" placeholder:"N" help:"Requests a second of each run, open loop (default ${default})."`
	Connections int       `default:"16" placeholder:"N" help:"Keep-alive connections (default ${default})."`
	Events      int       `default:"200000" placeholder:"N" help:"Events of the last month that the features are made of (default ${default})."`
	benching
}

const benchReaders = 10_000 // users who have events

// Help is the long text of `freshet bench features --help`.
func (benchFeaturesCommand) Help() string {
	return `Asks POST /v1/features for 50 features of users drawn at random, first at moments that are fixed in advance, then as fast as
the server answers, and reads five windows of three measures in this process.

` + benchHelp + `

Examples:

  freshet bench features
  freshet bench features --rows 1 --rate 10000 --json`
}

// Validate is called by kong.
func (c *benchFeaturesCommand) Validate() error {
	if c.Connections < 1 || c.Connections > 4096 {
		return fmt.Errorf("--connections %d: expected 1 to 4096", c.Connections)
	}
	if c.Events < 1000 || c.Events > 100_000_000 {
		return fmt.Errorf("--events %d: expected 1000 to 100000000", c.Events)
	}
	if len(c.Rows) != len(c.Rate) {
		return fmt.Errorf("--rows has %d values and --rate %d: expected a rate for each", len(c.Rows), len(c.Rate))
	}
	for i, n := range c.Rows {
		if n < 1 || n > 1000 {
			return fmt.Errorf("--rows %d: expected 1 to 1000", n)
		}
		if r := c.Rate[i]; !(r >= 1) || r > 1e6 {
			return fmt.Errorf("--rate %v: expected 1 to 1000000 requests a second", r)
		}
	}
	return c.benching.Validate()
}

// benchFeatures is the whole result.
type benchFeatures struct {
	Conditions benchConditions    `json:"conditions"`
	Events     int                `json:"events"`
	Read       float64            `json:"in_process_read_us"` // five windows × three measures of one row
	RowBytes   int                `json:"in_process_row_bytes"`
	Runs       []benchFeaturesRun `json:"runs"`
}

// benchFeaturesRun is one run.
type benchFeaturesRun struct {
	Rows           int          `json:"rows"`
	Features       int          `json:"features"`
	Rate           float64      `json:"rate"`
	Latency        benchLatency `json:"latency"` // at that rate, open loop
	Errors         int          `json:"errors"`
	Echo           benchLatency `json:"echo"` // of the same requests at that rate
	Most           float64      `json:"most_requests_per_second"`
	EchoMost       float64      `json:"echo_most_requests_per_second"`
	CPUMicros      float64      `json:"server_cpu_us_a_request"` // in the closed loop
	ServerCores    float64      `json:"server_cpu_cores"`        // in the open loop, as the two below
	GeneratorCores float64      `json:"generator_cpu_cores"`
	OtherCores     float64      `json:"other_cpu_cores"`
}

// Run measures and prints.
func (c *benchFeaturesCommand) Run(ctx context.Context, sh *shell) error {
	b, err := c.startWith(ctx, sh, benchProject{
		app:   fmt.Sprintf("50 features in 3 views of 5 windows, %s users with %s events of the last 30 days", grouped(benchReaders), grouped(c.Events)),
		write: benchapp.WriteFeatures, users: benchReaders,
	})
	if err != nil {
		return err
	}
	defer b.close()
	result := benchFeatures{Conditions: b.conditions, Events: c.Events}
	b.meter.say("reading in process…")
	if result.Read, result.RowBytes, err = measureRead(ctx, b.brief()); err != nil {
		return err
	}
	if err := c.prepare(ctx, b); err != nil {
		return err
	}
	for i, rows := range c.Rows {
		run, err := c.measure(ctx, b, rows, c.Rate[i])
		if err != nil {
			return err
		}
		result.Runs = append(result.Runs, run)
	}
	b.meter.clear()
	if sh.json {
		return sh.printJSON(result)
	}
	return result.print(sh, c.Connections)
}

// prepare sends the events that features are made of: the closer to now, the denser.
func (c *benchFeaturesCommand) prepare(ctx context.Context, b *bench) error {
	const size = 500
	now := time.Now()
	err := b.fill(ctx, "preparing events", c.Events, size, func(dst []byte, i int) []byte {
		r := rand.New(rand.NewPCG(b.o.Seed, uint64(i)))
		for n := range size {
			if n > 0 {
				dst = append(dst, '\n')
			}
			ago := 30 * 24 * time.Hour
			for range r.IntN(12) {
				ago /= 2
			}
			dst = b.events.Append(dst, i*size+n, freshet.TimestampOf(now.Add(-time.Duration(r.Int64N(int64(ago))))))
		}
		return dst
	})
	if err != nil {
		return err
	}
	_, ok, err := b.drained(ctx)
	if err == nil && !ok {
		err = freshet.Errorf(freshet.Unavailable, "the features of %d events were not made within %s; --drain allows more", c.Events, b.o.Drain)
	}
	return err
}

func (c *benchFeaturesCommand) measure(ctx context.Context, b *bench, rows int, rate float64) (benchFeaturesRun, error) {
	l := c.load(b, rows)
	run := benchFeaturesRun{Rows: rows, Features: len(benchapp.AllFeatures()), Rate: rate}
	name := fmt.Sprintf("features, %s a request", quantity(rows, "row"))
	open := func(d time.Duration) (loadgen.Result, error) {
		done := new(atomic.Int64)
		defer b.progress(ctx, name+" at a fixed rate", max(1, round(rate*d.Seconds())), 1, done)()
		return loadgen.Open(ctx, l, 0, rate, d, done)
	}
	closed := func(l loadgen.Load, what string, d time.Duration) (loadgen.Result, error) {
		b.meter.say(what + "…")
		return loadgen.Closed(ctx, l, 0, d, nil)
	}
	if b.o.Warmup > 0 {
		if _, err := open(b.o.Warmup); err != nil {
			return run, b.unreachable(err)
		}
	}
	var r loadgen.Result
	cores, err := b.using(ctx, func() (err error) {
		r, err = open(b.o.Duration)
		return err
	})
	if err != nil {
		return run, err
	}
	run.Latency, run.Errors = latencyOf(&r.Latency), failures(r)+r.Statuses[429]
	run.ServerCores, run.GeneratorCores, run.OtherCores = cores.server, cores.generator, cores.others
	var most loadgen.Result
	cores, err = b.using(ctx, func() (err error) {
		most, err = closed(l, name+" as fast as answered", b.o.Duration)
		return err
	})
	if err != nil {
		return run, err
	}
	run.Most = perSecond(float64(most.OK()), most.Elapsed.Seconds())
	run.CPUMicros = ratio(cores.cpu*1e6, float64(most.OK()))
	brief := min(c.Duration, 3*time.Second)
	echo, err := b.echo(ctx, l, func(l loadgen.Load, done *atomic.Int64) (loadgen.Result, error) {
		b.meter.say("measuring the HTTP echo…")
		return loadgen.Open(ctx, l, 0, rate, brief, done)
	})
	if err != nil {
		return run, err
	}
	run.Echo = latencyOf(&echo.Latency)
	echo, err = b.echo(ctx, l, func(l loadgen.Load, _ *atomic.Int64) (loadgen.Result, error) {
		return closed(l, "measuring the HTTP echo", brief)
	})
	if err != nil {
		return run, err
	}
	run.EchoMost = perSecond(float64(echo.OK()), echo.Elapsed.Seconds())
	return run, ctx.Err()
}

// load asks for all features of rows users.
func (c *benchFeaturesCommand) load(b *bench, rows int) loadgen.Load {
	// Requests are made beforehand: making one takes longer than the generator may.
	const different = 1000
	r := rand.New(rand.NewPCG(b.o.Seed, uint64(rows)))
	requests := make([][]byte, different)
	head := `{"features":["` + strings.Join(benchapp.AllFeatures(), `","`) + `"],"entities":[`
	for i := range requests {
		body := []byte(head)
		for n := range rows {
			if n > 0 {
				body = append(body, ',')
			}
			body = append(benchapp.AppendUser(append(body, `{"user_id":"`...), r.IntN(benchReaders)), `"}`...)
		}
		body = append(body, `]}`...)
		requests[i] = append(loadgen.AppendHead(nil, "POST", b.target.addr, "/v1/features", "application/json", "", len(body)), body...)
	}
	return loadgen.Load{
		Addr: b.target.addr, Connections: c.Connections,
		Request: func(dst []byte, i int) []byte { return append(dst, requests[i%different]...) },
	}
}

// measureRead reads one row of about twenty tiles, five windows × three measures, for some time.
func measureRead(ctx context.Context, d time.Duration) (micros float64, rowBytes int, err error) {
	p, err := project.Parse("freshet.yaml", benchapp.FeaturesProject())
	if err != nil {
		return 0, 0, err
	}
	view := p.Views[0]
	row, last, err := fullRow(p, view)
	if err != nil {
		return 0, 0, err
	}
	scratch := view.NewScratch()
	var values []expression.Value
	begin, n := time.Now(), 0
	for time.Since(begin) < d && ctx.Err() == nil {
		for range 1000 {
			if values, err = view.Read(scratch, row, last, values[:0]); err != nil {
				return 0, 0, err
			}
		}
		n += 1000
	}
	return float64(time.Since(begin).Microseconds()) / float64(n), len(row), ctx.Err()
}

// fullRow is the row of a user whose plays lie in about twenty tiles.
func fullRow(p *project.Project, view *feature.View) (row []byte, last freshet.Timestamp, err error) {
	events := benchapp.NewEventsOf(1, 1, 1)
	scratch, rec := view.NewScratch(), p.Schema.NewRecord()
	now := time.Now()
	for i, ago := 0, 29*24*time.Hour; ago > time.Second; i, ago = i+1, ago*3/5 {
		last = freshet.TimestampOf(now.Add(-ago))
		if err := p.Schema.Decode(events.AppendPlay(nil, i, 0, last), freshet.TimestampOf(now), rec); err != nil {
			return nil, 0, err
		}
		if row, _, err = view.Apply(scratch, row, rec, last); err != nil {
			return nil, 0, err
		}
	}
	return row, last, nil
}

func (r benchFeatures) print(sh *shell, connections int) error {
	runs := r.Runs
	rows := []benchRow{
		rowOf("", runs, func(x benchFeaturesRun) string {
			return fmt.Sprintf("%d features × %s", x.Features, quantity(x.Rows, "row"))
		}),
		rowOf("at requests/s", runs, func(x benchFeaturesRun) string { return count(x.Rate) }),
		rowOf("  answer p50 / p99", runs, func(x benchFeaturesRun) string { return pair(x.Latency.P50, x.Latency.P99) }),
		rowOf("  answer p99.9 / max", runs, func(x benchFeaturesRun) string { return pair(x.Latency.P999, x.Latency.Max) }),
		rowOf("  HTTP echo p50 / p99", runs, func(x benchFeaturesRun) string { return pair(x.Echo.P50, x.Echo.P99) }),
		rowOf("  errors", runs, func(x benchFeaturesRun) string { return grouped(x.Errors) }),
		rowOf("  cores busy: server / generator / others", runs, func(x benchFeaturesRun) string {
			return fmt.Sprintf("%.2f / %.2f / %.2f", x.ServerCores, x.GeneratorCores, x.OtherCores)
		}),
		rowOf("most requests/s", runs, func(x benchFeaturesRun) string { return count(x.Most) }),
		rowOf("  × HTTP echo", runs, func(x benchFeaturesRun) string { return times(ratio(x.Most, x.EchoMost), count(x.EchoMost)) }),
		rowOf("  rows/s", runs, func(x benchFeaturesRun) string { return count(x.Most * float64(x.Rows)) }),
		rowOf("  server CPU a request", runs, func(x benchFeaturesRun) string { return fmt.Sprintf("%.0f µs", x.CPUMicros) }),
		{name: "in process: 5 windows × 3 measures", values: []string{fmt.Sprintf("%.2f µs", r.Read), fmt.Sprintf("(row of %d B)", r.RowBytes)}},
	}
	return sh.printBench("freshet bench features: reading", r.Conditions, "open loop, then closed loop, over "+quantity(connections, "connection"), rows)
}
