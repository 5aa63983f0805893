package cli

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/loadgen"
)

// benchSoakCommand loads a server evenly for a long time and watches its memory.
type benchSoakCommand struct {
	Pulls       float64 `default:"5000" placeholder:"N" help:"Predictions read a second (default ${default})."`
	Events      float64 `default:"1000" placeholder:"N" help:"Events sent a second (default ${default})."`
	Connections int     `default:"64" placeholder:"N" help:"Keep-alive connections, for the reads and as many for the events (default ${default})."`
	Memory      string  `default:"512MB" placeholder:"SIZE" help:"Passed to the server as --memory: what fills up within it is full soon (default ${default})."`
	benching
}

// Help is the long text of `freshet bench soak --help`.
func (benchSoakCommand) Help() string {
	return `Reads stored predictions and sends events at once, both at moments that are fixed in advance, for --duration, and looks at the
server's memory every second: it should be flat, and nothing may fail. Every tenth of the time counts by itself for the trend. An
HTTP echo then gets the same reads and events at once for ten seconds at most: what the machine can do beside such a load.

` + benchHelp + `

Example:

  freshet bench soak --duration 10m`
}

// Validate is called by kong.
func (c *benchSoakCommand) Validate() error {
	if c.Connections < 1 || c.Connections > 2048 {
		return fmt.Errorf("--connections %d: expected 1 to 2048", c.Connections)
	}
	for _, rate := range []float64{c.Pulls, c.Events} {
		if !(rate >= 1) || rate > 1e6 {
			return fmt.Errorf("--pulls and --events: expected 1 to 1000000 a second, got %v", rate)
		}
	}
	if err := new(bytesFlag).UnmarshalText([]byte(c.Memory)); err != nil {
		return fmt.Errorf("--memory: %w", err)
	}
	return c.benching.Validate()
}

// benchSoak is the whole result.
type benchSoak struct {
	Conditions  benchConditions `json:"conditions"`
	Fsync       *benchLatency   `json:"fsync,omitempty"`
	Connections int             `json:"connections"`
	PullRate    float64         `json:"pull_rate"`  // asked for
	EventRate   float64         `json:"event_rate"` // likewise
	Pulls       benchLatency    `json:"pulls"`      // answered 200
	PullErrors  int             `json:"pull_errors"`
	Acks        benchLatency    `json:"acks"`
	EventErrors int             `json:"event_errors"` // without those refused
	Refused     int             `json:"refused"`      // events answered 429
	Users       int             `json:"users"`        // whose predictions are read
	Echo        benchLatency    `json:"echo"`         // of the same reads beside the same events
	Bound       string          `json:"memory"`       // that the server was given
	Memory      []float64       `json:"memory_bytes"` // resident, the mean of each tenth of the time
	MemoryPeak  float64         `json:"memory_peak_bytes"`
	// Growth is that of the mean from the fifth to the last tenth, a minute: before that caches fill.
	Growth float64 `json:"memory_growth_bytes_per_minute"`
	// Live is likewise what lived on the heap at the end of the last collection: what of the resident memory is no garbage.
	Live           []float64 `json:"live_heap_bytes"`
	LiveGrowth     float64   `json:"live_heap_growth_bytes_per_minute"`
	Hot            float64   `json:"hot_bytes"` // rows and predictions kept within the bound, at the end
	ServerCores    float64   `json:"server_cpu_cores"`
	GeneratorCores float64   `json:"generator_cpu_cores"`
	OtherCores     float64   `json:"other_cpu_cores"`
}

// Run measures and prints.
func (c *benchSoakCommand) Run(ctx context.Context, sh *shell) error {
	app := benchProject{write: benchapp.Write, args: []string{"--memory", c.Memory}}
	b, err := c.startWith(ctx, sh, app)
	if err != nil {
		return err
	}
	defer b.close()
	result, err := c.measure(ctx, b)
	if err != nil {
		return err
	}
	b.meter.clear()
	if sh.json {
		return sh.printJSON(result)
	}
	return result.print(sh)
}

func (c *benchSoakCommand) measure(ctx context.Context, b *bench) (r benchSoak, err error) {
	users, err := c.fillUsers(ctx, b)
	if err != nil {
		return r, err
	}
	reads, events := c.pulls(b, users), b.ingest(c.Connections, 1)
	b.take(int(c.Events*c.Duration.Seconds()) + 1)
	done := new(atomic.Int64)
	stop := b.watch(ctx, fmt.Sprintf("soak beside %s events/s", grouped(round(c.Events))), "pulls", c.Duration, done, 1)
	memory := watchMemory(ctx, b, c.Duration)
	var pulls, acks loadgen.Result
	cores, err := b.using(ctx, func() (err error) {
		pulls, acks, err = c.both(ctx, reads, events, c.Duration, done)
		return err
	})
	stop()
	seen := memory()
	if err != nil {
		return r, err
	}
	echo, err := b.echo(ctx, reads, func(reads loadgen.Load, done *atomic.Int64) (loadgen.Result, error) {
		b.meter.say("measuring the HTTP echo…")
		events.Addr = reads.Addr
		r, _, err := c.both(ctx, reads, events, min(c.Duration, 10*time.Second), done)
		return r, err
	})
	if err != nil {
		return r, err
	}
	r = benchSoak{
		Conditions: b.conditions, Fsync: b.fsync, Connections: c.Connections, PullRate: c.Pulls, EventRate: c.Events, Users: len(users),
		Pulls: latencyOf(&pulls.Latency), PullErrors: pulls.Sent - pulls.OK(), Echo: latencyOf(&echo.Latency),
		Acks: latencyOf(&acks.Latency), Refused: acks.Statuses[429], EventErrors: acks.Sent - acks.OK() - acks.Statuses[429],
		Bound: c.Memory, Memory: seen.resident.means(), MemoryPeak: seen.resident.peak, Live: seen.live.means(), Hot: seen.hot,
		ServerCores: cores.server, GeneratorCores: cores.generator, OtherCores: cores.others,
	}
	r.Growth, r.LiveGrowth = growth(r.Memory, c.Duration), growth(r.Live, c.Duration)
	return r, ctx.Err()
}

// both sends reads and events at once, at their rates.
func (c *benchSoakCommand) both(ctx context.Context, reads, events loadgen.Load, d time.Duration, done *atomic.Int64) (pulls, acks loadgen.Result, err error) {
	ended := make(chan error, 1)
	go func() { // beside the reads; ends with its time
		var err error
		acks, err = loadgen.Open(ctx, events, 0, c.Events, d, nil)
		ended <- err
	}()
	pulls, err = loadgen.Open(ctx, reads, 0, c.Pulls, d, done)
	return pulls, acks, cmp.Or(<-ended, err)
}

// soakEvents are sent before a run, so that there are predictions to read and what users take in memory is there: the more, the
// longer the run is.
func soakEvents(d time.Duration) int { return min(max(int(d.Seconds())*400, 20_000), 200_000) }

// fillUsers sends events and gives the users who have a prediction then.
func (c *benchSoakCommand) fillUsers(ctx context.Context, b *bench) (users []string, err error) {
	const size = 100
	total := soakEvents(c.Duration)
	first := b.take(total)
	for i := range total {
		if b.events.MakesJob(first + i) {
			users = append(users, b.events.User(first+i))
		}
	}
	now := freshet.TimestampOf(time.Now())
	err = b.fill(ctx, "filling", total, size, func(dst []byte, i int) []byte {
		for n := range size {
			if n > 0 {
				dst = append(dst, '\n')
			}
			dst = b.events.Append(dst, first+i*size+n, now)
		}
		return dst
	})
	if err != nil {
		return nil, err
	}
	_, _, err = b.drained(ctx)
	return users, err
}

// pulls are the reads: what an app asks for when it opens.
func (c *benchSoakCommand) pulls(b *bench, users []string) loadgen.Load {
	return loadgen.Load{
		Addr: b.target.addr, Connections: c.Connections,
		Request: func(dst []byte, i int) []byte {
			target := "/v1/users/" + users[i%len(users)] + "/predictions/" + string(benchapp.Pipeline)
			return loadgen.AppendHead(dst, "GET", b.target.addr, target, "", "", 0)
		},
	}
}

const soakParts = 10

// seenMemory is what the server's memory has been.
type seenMemory struct {
	resident, live partMeans
	hot            float64 // the last
}

// partMeans are the means of each part of a time.
type partMeans struct {
	sums, counts [soakParts]float64
	peak         float64
}

func (m *partMeans) add(part int, v float64) {
	m.sums[part], m.counts[part], m.peak = m.sums[part]+v, m.counts[part]+1, max(m.peak, v)
}

func (m *partMeans) means() (means []float64) {
	for i := range m.sums {
		if m.counts[i] > 0 {
			means = append(means, m.sums[i]/m.counts[i])
		}
	}
	return means
}

// watchMemory looks at the server's memory for the duration, until stop, which gives what it has seen.
func watchMemory(ctx context.Context, b *bench, d time.Duration) (stop func() seenMemory) {
	ended := make(chan struct{})
	var seen seenMemory
	begin := time.Now()
	look := func(ctx context.Context) {
		m, err := scrape(ctx, b.target.url)
		if err != nil {
			return
		}
		part := min(int(time.Since(begin)*soakParts/d), soakParts-1)
		seen.resident.add(part, usageOf(m).rss)
		seen.live.add(part, m["go_gc_heap_live_bytes"])
		seen.hot = m["freshet_rows_hot_bytes"] + m["freshet_predictions_hot_bytes"]
	}
	watching, cancel := context.WithCancel(ctx)
	go func() { // beside the load, until stop
		defer close(ended)
		for waitFor(watching, min(time.Second, d/(4*soakParts))) {
			look(watching)
		}
	}()
	return func() seenMemory {
		cancel()
		<-ended
		look(ctx) // at least one: a short run may be over before the first
		return seen
	}
}

// growth is in bytes a minute, from the middle of the time to its end.
func growth(means []float64, d time.Duration) float64 {
	half := len(means) / 2
	if half == 0 {
		return 0
	}
	from, to := means[half-1], means[len(means)-1]
	return (to - from) / (d.Minutes() * float64(len(means)-half) / float64(len(means)))
}

func (r benchSoak) print(sh *shell) error {
	one := []benchSoak{r}
	row := func(name, value string) benchRow { return rowOf(name, one, func(benchSoak) string { return value }) }
	megabytes := func(bytes float64) string { return fmt.Sprintf("%.1f MB", bytes/1e6) }
	rows := []benchRow{
		row("", fmt.Sprintf("%s pulls/s, %s events/s", count(r.PullRate), count(r.EventRate))),
		row("pull p50 / p99", pair(r.Pulls.P50, r.Pulls.P99)),
		row("pull p99.9 / max", pair(r.Pulls.P999, r.Pulls.Max)),
		row("  HTTP echo beside the same events p50 / p99", pair(r.Echo.P50, r.Echo.P99)),
		row("  pulls / failed", fmt.Sprintf("%s of %s users / %d", grouped(r.Pulls.Count), grouped(r.Users), r.PullErrors)),
		row("ack p50 / p99", pair(r.Acks.P50, r.Acks.P99)),
		row("  events / failed / refused with 429", fmt.Sprintf("%s / %d / %d", grouped(r.Acks.Count), r.EventErrors, r.Refused)),
	}
	rows = append(rows, fsyncRow(one, r.Fsync)...)
	trend := func(name string, parts []float64) {
		if n := len(parts); n > 0 {
			rows = append(rows, row(name, fmt.Sprintf("%s / %s / %s", megabytes(parts[0]), megabytes(parts[n/2]), megabytes(parts[n-1]))))
		}
	}
	trend("memory, first / fifth / last tenth", r.Memory)
	rows = append(rows, row("  peak / growth a minute since the middle", fmt.Sprintf("%s / %s", megabytes(r.MemoryPeak), megabytes(r.Growth))))
	trend("live heap, first / fifth / last tenth", r.Live)
	rows = append(rows,
		row("  growth a minute since the middle", megabytes(r.LiveGrowth)),
		row("  rows and predictions kept in memory / --memory", fmt.Sprintf("%s / %s", megabytes(r.Hot), r.Bound)),
		row("cores busy: server / generator / others", fmt.Sprintf("%.2f / %.2f / %.2f", r.ServerCores, r.GeneratorCores, r.OtherCores)))
	return sh.printBench("freshet bench soak: reads and events at once, for long", r.Conditions,
		"open loop over 2 × "+quantity(r.Connections, "connection"), rows)
}
