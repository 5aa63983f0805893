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
	benching
}

// Help is the long text of `freshet bench soak --help`.
func (benchSoakCommand) Help() string {
	return `Reads stored predictions and sends events at once, both at moments that are fixed in advance, for --duration, and looks at the
server's memory every second: it should be flat, and nothing may fail. Every tenth of the time counts by itself for the trend.

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
	Memory      []float64       `json:"memory_bytes"` // resident, the mean of each tenth of the time
	MemoryPeak  float64         `json:"memory_peak_bytes"`
	// Growth is that of the mean from the fifth to the last tenth, a minute: before that caches fill.
	Growth float64 `json:"memory_growth_bytes_per_minute"`
	CPU    float64 `json:"server_cores"`
}

// soakEvents are sent before the run, so that there are predictions to read.
const soakEvents = 20_000

// Run measures and prints.
func (c *benchSoakCommand) Run(ctx context.Context, sh *shell) error {
	b, err := c.start(ctx, sh)
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
	before, err := scrape(ctx, b.target.url)
	if err != nil {
		return r, err
	}
	memory := watchMemory(ctx, b, c.Duration)
	type ended struct {
		r   loadgen.Result
		err error
	}
	events := make(chan ended, 1)
	load := b.ingest(c.Connections, 1)
	b.take(int(c.Events*c.Duration.Seconds()) + 1)
	go func() { // beside the reads; ends with its time
		r, err := loadgen.Open(ctx, load, 0, c.Events, c.Duration, nil)
		events <- ended{r, err}
	}()
	done := new(atomic.Int64)
	stop := b.watch(ctx, fmt.Sprintf("soak beside %s events/s", grouped(round(c.Events))), "pulls", c.Duration, done, 1)
	pulls, err := loadgen.Open(ctx, c.pulls(b, users), 0, c.Pulls, c.Duration, done)
	stop()
	sent := <-events
	means, peak := memory()
	if err != nil || sent.err != nil {
		return r, b.unreachable(cmp.Or(err, sent.err))
	}
	after, err := scrape(ctx, b.target.url)
	if err != nil {
		return r, err
	}
	r = benchSoak{
		Conditions: b.conditions, Fsync: b.fsync, Connections: c.Connections, PullRate: c.Pulls, EventRate: c.Events, Users: len(users),
		Pulls: latencyOf(&pulls.Latency), PullErrors: pulls.Sent - pulls.OK(),
		Acks: latencyOf(&sent.r.Latency), Refused: sent.r.Statuses[429], EventErrors: sent.r.Sent - sent.r.OK() - sent.r.Statuses[429],
		Memory: means, MemoryPeak: peak, Growth: growth(means, c.Duration),
		CPU: (usageOf(after).cpu - usageOf(before).cpu) / pulls.Elapsed.Seconds(),
	}
	return r, ctx.Err()
}

// fillUsers sends events and gives the users who have a prediction then.
func (c *benchSoakCommand) fillUsers(ctx context.Context, b *bench) (users []string, err error) {
	const size = 100
	first := b.take(soakEvents)
	for i := range soakEvents {
		if b.events.MakesJob(first + i) {
			users = append(users, b.events.User(first+i))
		}
	}
	now := freshet.TimestampOf(time.Now())
	err = b.fill(ctx, "filling", soakEvents, size, func(dst []byte, i int) []byte {
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

// watchMemory looks at the server's memory until stop, which gives the means of each part of the duration and the peak.
func watchMemory(ctx context.Context, b *bench, d time.Duration) (stop func() (means []float64, peak float64)) {
	ended := make(chan struct{})
	var sums, counts [soakParts]float64
	peak := 0.0
	begin := time.Now()
	look := func(ctx context.Context) {
		m, err := scrape(ctx, b.target.url)
		if err != nil {
			return
		}
		part := min(int(time.Since(begin)*soakParts/d), soakParts-1)
		rss := usageOf(m).rss
		sums[part], counts[part], peak = sums[part]+rss, counts[part]+1, max(peak, rss)
	}
	watching, cancel := context.WithCancel(ctx)
	go func() { // beside the load, until stop
		defer close(ended)
		for waitFor(watching, min(time.Second, d/(4*soakParts))) {
			look(watching)
		}
	}()
	return func() ([]float64, float64) {
		cancel()
		<-ended
		look(ctx) // at least one: a short run may be over before the first
		var means []float64
		for i := range sums {
			if counts[i] > 0 {
				means = append(means, sums[i]/counts[i])
			}
		}
		return means, peak
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
		row("  pulls / failed", fmt.Sprintf("%s of %s users / %d", grouped(r.Pulls.Count), grouped(r.Users), r.PullErrors)),
		row("ack p50 / p99", pair(r.Acks.P50, r.Acks.P99)),
		row("  events / failed / refused with 429", fmt.Sprintf("%s / %d / %d", grouped(r.Acks.Count), r.EventErrors, r.Refused)),
	}
	rows = append(rows, fsyncRow(one, r.Fsync)...)
	if n := len(r.Memory); n > 0 {
		rows = append(rows, row("memory, first / fifth / last tenth", fmt.Sprintf("%s / %s / %s", megabytes(r.Memory[0]), megabytes(r.Memory[n/2]), megabytes(r.Memory[n-1]))))
	}
	rows = append(rows,
		row("  peak / growth a minute since the middle", fmt.Sprintf("%s / %s", megabytes(r.MemoryPeak), megabytes(r.Growth))),
		row("server, cores", fmt.Sprintf("%.2f", r.CPU)))
	return sh.printBench("freshet bench soak: reads and events at once, for long", r.Conditions,
		"open loop over 2 × "+quantity(r.Connections, "connection"), rows)
}
