package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/loadgen"
)

// benchCommand holds the benchmarks.
type benchCommand struct {
	Ingest   benchIngestCommand   `cmd:"" help:"How many events a second become durable."`
	E2E      benchE2ECommand      `cmd:"" name:"e2e" help:"How long it takes from an event to the stored prediction."`
	Features benchFeaturesCommand `cmd:"" help:"How fast features are read."`
	Replay   benchReplayCommand   `cmd:"" help:"How fast all views are rebuilt from the log."`
	Backfill benchBackfillCommand `cmd:"" help:"How fast a changed view is filled, and what that costs the live load beside it."`
	Memory   benchMemoryCommand   `cmd:"" help:"What users cost in memory and on disk, and how fast cold ones are read."`
	Switch   benchSwitchCommand   `cmd:"" help:"What it costs to go from one release to another under load."`
	Models   benchModelsCommand   `cmd:"" help:"How long models take: alone, behind their door, in a pipeline."`
	Soak     benchSoakCommand     `cmd:"" help:"Whether memory stays flat and nothing fails under an even load for long."`
	Echo     benchEchoCommand     `cmd:"" hidden:"" help:"Serve an HTTP echo: what the other benchmarks compare with."`
}

// benching are the flags of every benchmark. --server has a variable of its own: the one of the other commands names a server that
// nobody wants under full load.
type benching struct {
	Server   string        `env:"FRESHET_BENCH_SERVER" placeholder:"URL" help:"Measure this server, which serves the bench's app, instead of one started for it."`
	Dir      string        `placeholder:"DIR" help:"Where the temporary data folder is made: it decides which disk is measured (default: the system's temporary folder)."`
	Profiles string        `placeholder:"ADDR" help:"Let the server answer Go's runtime profiles on this loopback host:port meanwhile (default: none)."`
	Seed     uint64        `default:"1" help:"Decides users, events, tables and model (default ${default})."`
	Duration time.Duration `default:"10s" help:"Length of each run (default ${default})."`
	Warmup   time.Duration `default:"1s" help:"Load before each run that is not counted (default ${default})."`
	Drain    time.Duration `default:"2m" help:"How long to wait after a run until its backlog is gone (default ${default})."`
}

// benchHelp is the part of the long help that is the same for all benchmarks.
const benchHelp = `The server is a child process with a temporary data folder, fsync on, on the same cores as the load. In the same run the
machine's own ceilings are measured: fsync of a 4 KiB append in that folder, an HTTP echo of the same bytes over as many
connections, and decoding of the same events on one core.`

// Validate is called by kong.
func (b *benching) Validate() error {
	if b.Duration <= 0 || b.Warmup < 0 || b.Drain < 0 {
		return fmt.Errorf("--duration must be positive, --warmup and --drain not negative")
	}
	if b.Server != "" && b.Dir != "" {
		return fmt.Errorf("--dir is for a server started here; drop it or --server")
	}
	return nil
}

// benchConditions stand above every result.
type benchConditions struct {
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	Platform   string  `json:"platform"`
	Go         string  `json:"go"`
	Version    string  `json:"version"`
	Server     string  `json:"server"` // "child process" or a URL
	Data       string  `json:"data,omitempty"`
	FileSystem string  `json:"file_system,omitempty"`
	Fsync      bool    `json:"fsync"`
	Seed       uint64  `json:"seed"`
	App        string  `json:"app"`
	Seconds    float64 `json:"seconds"` // of each run
	Warmup     float64 `json:"warmup_seconds"`
}

// bench is one benchmark under way.
type bench struct {
	sh         *shell
	o          benching
	meter      *benchMeter
	target     *benchTarget
	events     *benchapp.Events
	sent       int // events given out so far: the next run goes on from here
	conditions benchConditions
	fsync      *benchLatency // nil if the server's disk is not ours
	decode     benchDecode
}

// benchProject is what a benchmark has the server serve.
type benchProject struct {
	app   string // in words; "" for the app of package benchapp
	write func(dir string, seed uint64) error
	users int      // whom the events are about; 0 for all of the app
	args  []string // of serve
}

// start prepares the app of package benchapp.
func (o benching) start(ctx context.Context, sh *shell) (*bench, error) {
	return o.startWith(ctx, sh, benchProject{write: benchapp.Write})
}

// startWith prepares everything that all benchmarks need. Ceilings that need an idle machine are measured before the server
// runs. close ends it.
func (o benching) startWith(ctx context.Context, sh *shell, app benchProject) (*bench, error) {
	target, err := newBenchTarget(o, app)
	if err != nil {
		return nil, err
	}
	b := &bench{sh: sh, o: o, meter: newBenchMeter(sh.err), target: target, conditions: conditionsOf(sh, o, target)}
	if app.app != "" {
		b.conditions.App = app.app
	}
	if err := b.prepare(ctx, cmp.Or(app.users, benchapp.Users)); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) prepare(ctx context.Context, users int) error {
	if b.target.folder == "" { // it runs already: say at once if it does not
		if err := b.target.start(ctx); err != nil {
			return err
		}
	}
	b.meter.say("preparing the app…")
	b.events = benchapp.NewEventsOf(b.o.Seed, uint32(time.Now().Unix()), users)
	if err := b.ceilings(ctx); err != nil {
		return err
	}
	if b.target.folder == "" {
		return nil
	}
	b.meter.say("starting the server…")
	return b.target.start(ctx)
}

func (b *bench) ceilings(ctx context.Context) error {
	if b.target.folder != "" {
		b.meter.say("measuring fsync…")
		l, err := measureFsync(ctx, b.target.folder, b.brief())
		if err != nil {
			return err
		}
		b.fsync = &l
	}
	b.meter.say("measuring JSON decoding…")
	var err error
	b.decode, err = measureDecode(ctx, b.events, b.brief())
	return err
}

// brief is how long a ceiling that needs no load is measured.
func (b *bench) brief() time.Duration { return min(time.Second, b.o.Duration) }

// close ends the server and removes what is temporary.
func (b *bench) close() {
	b.meter.clear()
	b.target.stop()
}

// take gives the number of the first of n events that no run has sent.
func (b *bench) take(n int) int {
	first := b.sent
	b.sent += n
	return first
}

// fill sends n events as fast as the server takes them, before what is measured. request appends the body of request i, of
// size events, without a line end after the last.
func (b *bench) fill(ctx context.Context, what string, n, size int, body func(dst []byte, i int) []byte) error {
	requests := (n + size - 1) / size
	done := new(atomic.Int64)
	defer b.progress(ctx, what, requests, size, done)()
	// Numbered and due at once: an open loop that nobody waits for.
	r, err := loadgen.Open(ctx, loadgen.Load{
		Addr: b.target.addr, Connections: 4, Timeout: time.Minute,
		Request: func(dst []byte, i int) []byte {
			text := body(nil, i)
			dst = loadgen.AppendHead(dst, "POST", b.target.addr, "/v1/events", "application/x-ndjson", "", len(text))
			return append(dst, text...)
		},
	}, 0, 1e9, time.Duration(requests), done)
	if err == nil && r.OK() != requests && ctx.Err() == nil {
		err = freshet.Errorf(freshet.Unavailable, "of %d requests %d were answered with 2xx; statuses %v, %w", requests, r.OK(), r.Statuses, cmp.Or(r.Err, errUnexpected))
	}
	if err != nil {
		return b.unreachable(err)
	}
	return ctx.Err()
}

var errUnexpected = errors.New("unexpected answers")

// progress shows how many of the requests are done until the function that it returns is called.
func (b *bench) progress(ctx context.Context, what string, requests, size int, done *atomic.Int64) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	begin := time.Now()
	go func() { // beside the load, until stop
		defer close(ended)
		for waitFor(ctx, 200*time.Millisecond) {
			n := int(done.Load())
			b.meter.say(fmt.Sprintf("%s: %s of %s (%d %%), %s/s", what, grouped(n*size), grouped(requests*size), 100*n/requests,
				grouped(round(float64(n*size)/time.Since(begin).Seconds()))))
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// drained waits until the server has made features and predictions of all events, and tells how long that took. ok is
// false if it did not end within the time allowed.
func (b *bench) drained(ctx context.Context) (took time.Duration, ok bool, err error) {
	begin := time.Now()
	for {
		m, err := scrape(ctx, b.target.url)
		if err != nil {
			return 0, false, err
		}
		events, jobs := m.backlog()
		took = time.Since(begin)
		if events == 0 && jobs == 0 {
			return took, true, nil
		}
		if took > b.o.Drain {
			return took, false, nil
		}
		b.meter.say(fmt.Sprintf("waiting for the backlog: %s events, %s jobs…", grouped(events), grouped(jobs)))
		if !waitFor(ctx, 50*time.Millisecond) {
			return took, false, freshet.Errorf(freshet.Unavailable, "stopped while waiting for the backlog")
		}
	}
}

// benchLatency are percentiles in milliseconds.
type benchLatency struct {
	Count int     `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

// ratio is a/b; 0 if b is 0.
func ratio(a, b float64) float64 {
	if b == 0 || math.IsInf(a/b, 0) {
		return 0
	}
	return a / b
}
