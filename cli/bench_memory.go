package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/loadgen"
	"github.com/freshet-ml/freshet/internal/project"
)

// benchMemoryCommand measures what users cost.
type benchMemoryCommand struct {
	Users       int     `default:"1000000" placeholder:"N" help:"Users who have a row (default ${default})."`
	Plays       int     `default:"2" placeholder:"N" help:"Plays of each, over the last month (default ${default})."`
	Memory      string  `default:"2GB" placeholder:"SIZE" help:"Passed to the server as --memory (default ${default})."`
	Rate        float64 `default:"1000" placeholder:"N" help:"Reads of random users a second (default ${default})."`
	Connections int     `default:"16" placeholder:"N" help:"Keep-alive connections that read (default ${default})."`
	benching
}

// Help is the long text of `freshet bench memory --help`.
func (benchMemoryCommand) Help() string {
	return `Gives each of many users some plays, has the server forget what it has in memory by a restart, and reads users drawn at random:
almost every one of them is cold. The size of a row of twenty tiles, five windows × three measures, is told beside.

` + benchHelp + `

Examples:

  freshet bench memory
  freshet bench memory --users 10000000 --memory 2GB --dir /var/tmp`
}

// Validate is called by kong.
func (c *benchMemoryCommand) Validate() error {
	switch {
	case c.Users < 1000 || c.Users > 1_000_000_000:
		return fmt.Errorf("--users %d: expected 1000 to 1000000000", c.Users)
	case c.Plays < 1 || c.Plays > 1000:
		return fmt.Errorf("--plays %d: expected 1 to 1000", c.Plays)
	case !(c.Rate >= 1) || c.Rate > 1e6:
		return fmt.Errorf("--rate %v: expected 1 to 1000000 reads a second", c.Rate)
	case c.Connections < 1 || c.Connections > 4096:
		return fmt.Errorf("--connections %d: expected 1 to 4096", c.Connections)
	case c.Server != "":
		return fmt.Errorf("--server: memory is measured of a server started here; drop it")
	}
	if err := new(bytesFlag).UnmarshalText([]byte(c.Memory)); err != nil {
		return fmt.Errorf("--memory: %w", err)
	}
	return c.benching.Validate()
}

// benchMemory is the whole result.
type benchMemory struct {
	Conditions   benchConditions `json:"conditions"`
	Fsync        *benchLatency   `json:"fsync,omitempty"`
	Users        int             `json:"users"`
	Plays        int             `json:"plays"`
	Memory       string          `json:"memory"`
	Bound        float64         `json:"memory_bytes"` // the same
	FullRowBytes int             `json:"row_of_20_tiles_bytes"`
	Idle         float64         `json:"idle_rss_bytes"`
	Peak         float64         `json:"peak_rss_bytes"`    // while the events were taken, looked at ten times a second
	Restarted    float64         `json:"ready_seconds"`     // until the restarted server was ready
	Disk         float64         `json:"disk_bytes"`        // the log and its ids included
	Cold         benchLatency    `json:"cold_read"`         // by HTTP, at the rate
	Errors       int             `json:"errors"`            // of the reads
	Echo         benchLatency    `json:"echo"`              // of the same requests at the rate
	Reading      float64         `json:"reading_rss_bytes"` // after the reads
	OtherCores   float64         `json:"other_cpu_cores"`   // during the reads
}

// Run measures and prints.
func (c *benchMemoryCommand) Run(ctx context.Context, sh *shell) error {
	b, err := c.startWith(ctx, sh, benchProject{
		app:   fmt.Sprintf("%s users with %s each over the last 30 days, 2 views of 5 windows", grouped(c.Users), quantity(c.Plays, "play")),
		write: benchapp.WriteFeatures, args: []string{"--memory", c.Memory, "--backlog", "1000000000"},
	})
	if err != nil {
		return err
	}
	defer b.close()
	var bound bytesFlag
	_ = bound.UnmarshalText([]byte(c.Memory)) // Validate has read it
	result := benchMemory{Conditions: b.conditions, Fsync: b.fsync, Users: c.Users, Plays: c.Plays, Memory: c.Memory, Bound: float64(bound)}
	if err := c.measure(ctx, b, &result); err != nil {
		return err
	}
	b.meter.clear()
	if sh.json {
		return sh.printJSON(result)
	}
	return result.print(sh)
}

func (c *benchMemoryCommand) measure(ctx context.Context, b *bench, r *benchMemory) error {
	p, err := project.Parse("freshet.yaml", benchapp.FeaturesProject())
	if err != nil {
		return err
	}
	row, _, err := fullRow(p, p.Views[0])
	if err != nil {
		return err
	}
	r.FullRowBytes = len(row)
	m, err := scrape(ctx, b.target.url)
	if err != nil {
		return b.unreachable(err)
	}
	r.Idle = usageOf(m).rss
	peak := b.watchPeak(ctx)
	err = c.fill(ctx, b)
	if err == nil {
		_, _, err = b.drained(ctx)
	}
	r.Peak = peak()
	if err != nil {
		return err
	}
	if !waitFor(ctx, 3*time.Second) { // the last checkpoint
		return ctx.Err()
	}
	b.meter.say("restarting the server…")
	begin := time.Now()
	if err := b.target.restart(ctx); err != nil {
		return err
	}
	r.Restarted = time.Since(begin).Seconds()
	return c.read(ctx, b, r)
}

// fill gives every user plays: first one to each, then the next to each.
func (c *benchMemoryCommand) fill(ctx context.Context, b *bench) error {
	const size = 500
	now := time.Now()
	total := c.Users * c.Plays
	return b.fill(ctx, "giving users plays", total, size, func(dst []byte, i int) []byte {
		r := rand.New(rand.NewPCG(b.o.Seed, uint64(i)))
		for n := range min(size, total-i*size) {
			if n > 0 {
				dst = append(dst, '\n')
			}
			k := i*size + n
			round := k / c.Users // older plays come first
			ago := 29 * 24 * time.Hour / time.Duration(1+round)
			at := now.Add(-ago + time.Duration(r.Int64N(int64(ago)/int64(2+round))))
			dst = b.events.AppendPlay(dst, k, k%c.Users, freshet.TimestampOf(at))
		}
		return dst
	})
}

// watchPeak looks at the server's memory until the function that it returns is called.
func (b *bench) watchPeak(ctx context.Context) (stop func() float64) {
	ctx, cancel := context.WithCancel(ctx)
	peak := make(chan float64, 1)
	go func() { // beside the load, until stop
		most := 0.0
		for waitFor(ctx, 100*time.Millisecond) {
			if m, err := scrape(ctx, b.target.url); err == nil {
				most = max(most, usageOf(m).rss)
			}
		}
		peak <- most
	}()
	return func() float64 {
		cancel()
		return <-peak
	}
}

// read reads random users.
func (c *benchMemoryCommand) read(ctx context.Context, b *bench, r *benchMemory) error {
	rng := rand.New(rand.NewPCG(b.o.Seed, 99))
	total := round(c.Rate * b.o.Duration.Seconds())
	users := make([]int, max(1, total))
	for i := range users {
		users[i] = rng.IntN(c.Users)
	}
	l := loadgen.Load{Addr: b.target.addr, Connections: c.Connections, Request: func(dst []byte, i int) []byte {
		var id [16]byte
		target := "/v1/features/plays?user_id=" + string(benchapp.AppendUser(id[:0], users[i%len(users)]))
		return loadgen.AppendHead(dst, "GET", b.target.addr, target, "", "", 0)
	}}
	var got loadgen.Result
	cores, err := b.using(ctx, func() (err error) {
		done := new(atomic.Int64)
		defer b.progress(ctx, "reading cold users", len(users), 1, done)()
		got, err = loadgen.Open(ctx, l, 0, c.Rate, b.o.Duration, done)
		return err
	})
	if err != nil {
		return err
	}
	r.Cold, r.Errors, r.OtherCores = latencyOf(&got.Latency), failures(got)+got.Statuses[429], cores.others
	m, err := scrape(ctx, b.target.url)
	if err != nil {
		return b.unreachable(err)
	}
	r.Reading, r.Disk = usageOf(m).rss, m["freshet_disk_bytes"]
	echo, err := b.echo(ctx, l, func(l loadgen.Load, done *atomic.Int64) (loadgen.Result, error) {
		b.meter.say("measuring the HTTP echo…")
		return loadgen.Open(ctx, l, 0, c.Rate, min(b.o.Duration, 3*time.Second), done)
	})
	if err != nil {
		return err
	}
	r.Echo = latencyOf(&echo.Latency)
	return ctx.Err()
}

func (r benchMemory) print(sh *shell) error {
	one := func(name, format string, args ...any) benchRow {
		return benchRow{name: name, values: []string{fmt.Sprintf(format, args...)}}
	}
	rows := []benchRow{
		one("idle memory (RSS)", "%.0f MB", r.Idle/1e6),
		one("row of 20 tiles, 5 windows × 3 measures", "%d B", r.FullRowBytes),
		one("users / plays of each", "%s / %d", grouped(r.Users), r.Plays),
		one("peak memory (RSS) / --memory "+r.Memory, "%.0f / %.0f MB", r.Peak/1e6, r.Bound/1e6),
		one("on disk, with log and ids", "%.0f MB, %.0f B a user", r.Disk/1e6, ratio(r.Disk, float64(r.Users))),
		one("ready after the restart", "%.2f s", r.Restarted),
		one("cold reads p50 / p99", "%s", pair(r.Cold.P50, r.Cold.P99)),
		one("cold reads p99.9 / max", "%s", pair(r.Cold.P999, r.Cold.Max)),
		one("  HTTP echo p50 / p99", "%s", pair(r.Echo.P50, r.Echo.P99)),
		one("  errors", "%d", r.Errors),
		one("  cores busy with other things", "%.2f", r.OtherCores),
		one("memory after the reads (RSS)", "%.0f MB", r.Reading/1e6),
	}
	return sh.printBench("freshet bench memory: what users cost", r.Conditions, fmt.Sprintf("open loop, %s reads", grouped(r.Cold.Count)), rows)
}
