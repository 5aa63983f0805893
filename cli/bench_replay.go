package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/benchapp"
)

// benchReplayCommand measures how fast all views are rebuilt from the log.
type benchReplayCommand struct {
	Events int `default:"1000000" placeholder:"N" help:"Events in the log (default ${default})."`
	benching
}

// Help is the long text of `freshet bench replay --help`.
func (benchReplayCommand) Help() string {
	return `Fills a log, then starts a server on it whose views are all new, so that their rows must be made of the whole log, and
waits until it is ready. A start that has nothing to rebuild is measured beside it. --duration and --warmup have no meaning
here.

` + benchHelp + `

Examples:

  freshet bench replay
  freshet bench replay --events 10000000 --json`
}

// Validate is called by kong.
func (c *benchReplayCommand) Validate() error {
	if c.Events < 1000 || c.Events > 100_000_000 {
		return fmt.Errorf("--events %d: expected 1000 to 100000000", c.Events)
	}
	if c.Server != "" {
		return fmt.Errorf("--server: a replay starts servers of its own; drop it")
	}
	return c.benching.Validate()
}

// benchReplay is the whole result.
type benchReplay struct {
	Conditions      benchConditions `json:"conditions"`
	Decode          benchDecode     `json:"decode"`
	Events          int             `json:"events"`
	Applied         int             `json:"applied"` // events by entity that they are about
	Seconds         float64         `json:"seconds"` // from the start of the process until it was ready
	Idle            float64         `json:"start_seconds"`
	CPU             float64         `json:"cpu_seconds"`
	IdleCPU         float64         `json:"start_cpu_seconds"`
	EventsPerSecond float64         `json:"events_per_second"`
	CPUMicros       float64         `json:"cpu_us_an_event"`
	OtherCores      float64         `json:"other_cpu_cores"`
	MemoryBytes     float64         `json:"server_memory_bytes"`
}

// Run measures and prints.
func (c *benchReplayCommand) Run(ctx context.Context, sh *shell) error {
	b, err := c.startWith(ctx, sh, benchProject{
		app: fmt.Sprintf("%s users, 70 %% play 20 %% biometric 10 %% search, %d views with %d features, of users and of titles; no predictions",
			grouped(benchapp.Users), benchapp.Views, benchapp.Features),
		write: func(dir string, _ uint64) error { return benchapp.WriteViews(dir, 0) },
		args:  []string{"--backlog", "1000000000"},
	})
	if err != nil {
		return err
	}
	defer b.close()
	result := benchReplay{Conditions: b.conditions, Decode: b.decode, Events: c.Events}
	if err := c.measure(ctx, b, &result); err != nil {
		return err
	}
	b.meter.clear()
	if sh.json {
		return sh.printJSON(result)
	}
	return result.print(sh)
}

func (c *benchReplayCommand) measure(ctx context.Context, b *bench, result *benchReplay) error {
	const size = 500
	step := 24 * time.Hour / time.Duration(c.Events) // the log of a day
	begin := time.Now().Add(-24 * time.Hour)
	err := b.fill(ctx, "filling the log", c.Events, size, func(dst []byte, i int) []byte {
		for n := range size {
			if n > 0 {
				dst = append(dst, '\n')
			}
			dst = b.events.Append(dst, i*size+n, freshet.TimestampOf(begin.Add(time.Duration(i*size+n)*step)))
		}
		return dst
	})
	if err != nil {
		return err
	}
	if _, _, err := b.drained(ctx); err != nil {
		return err
	}
	if !waitFor(ctx, 3*time.Second) { // the last checkpoint
		return ctx.Err()
	}
	b.meter.say("starting with nothing to rebuild…")
	idle, err := c.restart(ctx, b)
	if err != nil {
		return err
	}
	if err := benchapp.WriteViews(b.target.folder, 1); err != nil {
		return freshet.Errorf(freshet.Internal, "write the bench's app: %w", err)
	}
	// Without its log of decisions the server takes the folder for its first release, and fills all views before it is ready.
	if err := os.RemoveAll(filepath.Join(b.target.folder, "data", "registry")); err != nil {
		return freshet.Errorf(freshet.Internal, "forget the releases: %w", err)
	}
	b.meter.say("rebuilding all views…")
	full, err := c.restart(ctx, b)
	if err != nil {
		return err
	}
	result.Idle, result.IdleCPU, result.Seconds, result.CPU = idle.seconds, idle.cpu, full.seconds, full.cpu
	result.Applied, result.MemoryBytes, result.OtherCores = full.applied, full.rss, full.others
	if result.Applied < c.Events {
		return freshet.Errorf(freshet.Internal, "the server was ready after %d of %d events", result.Applied, c.Events)
	}
	result.EventsPerSecond = perSecond(float64(c.Events), full.seconds-idle.seconds)
	result.CPUMicros = ratio((full.cpu-idle.cpu)*1e6, float64(c.Events))
	return nil
}

// benchStart is one start of a server.
type benchStart struct {
	seconds, cpu, rss, others float64
	applied                   int
}

func (c *benchReplayCommand) restart(ctx context.Context, b *bench) (benchStart, error) {
	machine, known := machineCPU()
	own := ownCPU()
	begin := time.Now()
	if err := b.target.restart(ctx); err != nil {
		return benchStart{}, err
	}
	s := benchStart{seconds: time.Since(begin).Seconds()}
	own = ownCPU() - own
	machineNow, _ := machineCPU()
	m, err := scrape(ctx, b.target.url)
	if err != nil {
		return s, b.unreachable(err)
	}
	u := usageOf(m)
	s.cpu, s.rss, s.applied = u.cpu, u.rss, int(m["freshet_receiver_events_total"])
	if known {
		s.others = max(0, perSecond(machineNow-machine-s.cpu-own.Seconds(), s.seconds))
	}
	return s, nil
}

func (r benchReplay) print(sh *shell) error {
	one := func(name, format string, args ...any) benchRow {
		return benchRow{name: name, values: []string{fmt.Sprintf(format, args...)}}
	}
	rows := []benchRow{
		one("events in the log / applied to an entity", "%s / %s", grouped(r.Events), grouped(r.Applied)),
		one("events/s", "%s", count(r.EventsPerSecond)),
		one("CPU an event", "%.1f µs", r.CPUMicros),
		one("  × JSON decoding alone", "%s", times(ratio(r.CPUMicros, r.Decode.Micros), fmt.Sprintf("%.2f µs", r.Decode.Micros))),
		one("ready after, with the rebuild", "%.2f s", r.Seconds),
		one("ready after, with nothing to rebuild", "%.2f s", r.Idle),
		one("cores busy with other things", "%.2f", r.OtherCores),
		one("server memory (RSS)", "%.0f MB", r.MemoryBytes/1e6),
	}
	return sh.printBench("freshet bench replay: all views rebuilt from the log", r.Conditions, "one start of the server", rows)
}
