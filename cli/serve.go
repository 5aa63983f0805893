package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/server"
)

// serveCommand runs the server until it is interrupted.
type serveCommand struct {
	Project string `default:"." placeholder:"PATH" help:"The project file, or the folder it is in (default: this folder)."`
	Data    string `default:"./data" placeholder:"DIR" help:"The folder for everything durable; made if it is not there (default ${default})."`
	Listen  string `default:"127.0.0.1:8787" placeholder:"ADDR" help:"host:port to listen on; port 0 takes a free one (default ${default})."`

	Offline string `placeholder:"DIR" help:"The folder for events that have left the log, as Parquet files (default: offline in --data)."`

	DefaultModel string `placeholder:"NAME" help:"The model that answers POST /invocations (default: the only one there is)."`

	AllowOrigin []string      `placeholder:"ORIGIN" help:"A web app whose pages may call the API, such as https://app.example.com; * is every one. May be given again (default: none)."`
	KeepFormer  time.Duration `placeholder:"TIME" help:"How long the release that was live before is kept ready for a rollback (default 1h)."`

	PushPrivate bool `help:"Let push messages go to plain http and private addresses too (default: https to public ones only)."`

	Profiles string `placeholder:"ADDR" help:"A loopback host:port for Go's runtime profiles (default: none)."`

	IdleTimeout time.Duration `placeholder:"TIME" help:"Without an event for so long a partition's watermark goes on with the clock (default 1m)."`
	CheckEvery  time.Duration `default:"1s" placeholder:"TIME" help:"Shortest time between two checks of a read against the events in the log; 0 checks nothing (default ${default})."`

	LogFormat string     `enum:"text,json" default:"text" help:"How to log: text or json (default ${default})."`
	LogLevel  slog.Level `default:"info" placeholder:"LEVEL" help:"What to log: debug, info, warn or error (default ${default})."`

	Workers       int           `placeholder:"N" group:"limits" help:"Jobs in work at once (default: half the cores)."`
	Memory        bytesFlag     `placeholder:"SIZE" group:"limits" help:"Memory of the whole process, such as 2GB: rows, blocks of the disk, requests, models, tables and garbage. Colder rows are read from disk (default: a quarter of the machine's; at least 128MB)."`
	LoadedModels  int           `placeholder:"N" group:"limits" help:"Versions of models kept open that were asked for by number (default 8)."`
	Backlog       int           `placeholder:"N" group:"limits" help:"Events or jobs that may wait before events are refused with 429 (default 1000000)."`
	DedupeHorizon time.Duration `placeholder:"TIME" group:"limits" help:"How long an event_id is remembered (default 24h)."`
	LogRetention  time.Duration `default:"168h" placeholder:"TIME" group:"limits" help:"How long the log keeps events before they are moved to the offline store; 0 keeps all (default ${default})."`
	LogSize       bytesFlag     `placeholder:"SIZE" group:"limits" help:"Size of the log above which younger events are moved, too, such as 10GB (default: none)."`
	Visibility    time.Duration `placeholder:"TIME" group:"limits" help:"After this a job whose worker died is given to another (default 15s)."`
	Attempts      int           `placeholder:"N" group:"limits" help:"Tries at a job before it becomes a dead letter (default 5)."`
	MaxBody       bytesFlag     `placeholder:"SIZE" group:"limits" help:"Largest request body as sent (default 8MB)."`
	MaxUnpacked   bytesFlag     `placeholder:"SIZE" group:"limits" help:"Largest request body unpacked (default 16MB)."`
	MaxArtifact   bytesFlag     `placeholder:"SIZE" group:"limits" help:"Largest model archive or blob as sent (default 1GB)."`
	MaxDepth      int           `placeholder:"N" group:"limits" help:"Deepest nesting of JSON (default 64)."`
	MaxEvents     int           `placeholder:"N" group:"limits" help:"Most events in one request (default 10000)."`
	MaxConns      int           `placeholder:"N" group:"limits" help:"Open connections; more wait (default 8192)."`
	HeaderTimeout time.Duration `placeholder:"TIME" group:"limits" help:"For a request's headers to arrive (default 10s)."`
	BodyTimeout   time.Duration `placeholder:"TIME" group:"limits" help:"For a request's body to arrive (default 1m)."`
	DrainTimeout  time.Duration `placeholder:"TIME" group:"limits" help:"For requests under way when the server stops (default 10s)."`
}

// Help is the long text of `freshet serve --help`.
func (serveCommand) Help() string {
	return `Serves the project on one port until SIGINT or SIGTERM; then it stops in order: no more requests, the events taken so
far into features and jobs, the disk. A second signal ends it at once, and nothing that was acknowledged is lost either way.

Example:

  freshet serve --project examples/calm --data /var/lib/freshet`
}

// Validate is called by kong.
func (c *serveCommand) Validate() error {
	for _, limit := range []struct {
		flag  string
		value int64
	}{
		{"workers", int64(c.Workers)}, {"loaded-models", int64(c.LoadedModels)}, {"backlog", int64(c.Backlog)}, {"attempts", int64(c.Attempts)},
		{"max-depth", int64(c.MaxDepth)}, {"max-events", int64(c.MaxEvents)}, {"max-conns", int64(c.MaxConns)},
		{"dedupe-horizon", int64(c.DedupeHorizon)}, {"log-retention", int64(c.LogRetention)}, {"visibility", int64(c.Visibility)},
		{"check-every", int64(c.CheckEvery)}, {"idle-timeout", int64(c.IdleTimeout)},
		{"header-timeout", int64(c.HeaderTimeout)}, {"body-timeout", int64(c.BodyTimeout)}, {"drain-timeout", int64(c.DrainTimeout)},
		{"keep-former", int64(c.KeepFormer)},
	} {
		if limit.value < 0 {
			return fmt.Errorf("--%s: expected a positive value, or 0 for the default", limit.flag)
		}
	}
	return nil
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, sh *shell) error {
	o := c.options(sh)
	setRuntime(o.Memory)
	s, err := server.New(ctx, o)
	if _, ok := errors.AsType[project.Errors](err); ok {
		return sh.printProblems(err)
	}
	if err != nil {
		return err
	}
	if err := sh.announce(s.Addr()); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() {
		o.Logger.Info("freshet stops: it finishes what is under way; a second signal ends it at once")
	})()
	return s.Run(ctx)
}

// setRuntime has Go's collector keep this process below memory bytes and rest while it is far below, and gives it the threads it needs,
// unless GOMEMLIMIT, GOGC and GOMAXPROCS say otherwise.
func setRuntime(memory int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(server.HeapLimit(memory))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(server.GCPercent)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(server.Threads())
	}
}

// announce tells where the server listens: scripts that asked for port 0 read it from stdout.
func (sh *shell) announce(addr string) error {
	if sh.json {
		return sh.printJSON(map[string]string{"url": "http://" + addr})
	}
	_, err := fmt.Fprintf(sh.out, "freshet listens on http://%s\n", addr)
	return err
}

func (c *serveCommand) options(sh *shell) server.Options {
	o := server.Options{
		Project:       c.Project,
		Data:          c.Data,
		Listen:        c.Listen,
		PushPrivate:   c.PushPrivate,
		Profiles:      c.Profiles,
		DedupeHorizon: c.DedupeHorizon,
		LogRetention:  c.LogRetention,
		CheckEvery:    c.CheckEvery,
		IdleTimeout:   c.IdleTimeout,
		LogBytes:      int64(c.LogSize),
		Offline:       c.Offline,
		Memory:        cmp.Or(int64(c.Memory), server.DefaultMemory()),
		Visibility:    c.Visibility,
		Attempts:      c.Attempts,
		Backlog:       c.Backlog,
		Workers:       c.Workers,
		LoadedModels:  c.LoadedModels,
		KeepFormer:    c.KeepFormer,
		Runtimes:      sh.runtimes,
		Logger:        c.logger(sh),
		OnFatal:       sh.fatal,
	}
	if o.CheckEvery == 0 {
		o.CheckEvery = -1
	}
	if o.LogRetention == 0 {
		o.LogRetention = -1 // the server's way to say: keep all
	}
	o.API.DefaultModel = c.DefaultModel
	o.API.AllowedOrigins = c.AllowOrigin
	o.API.MaxBody = int64(c.MaxBody)
	o.API.MaxUnpacked = int64(c.MaxUnpacked)
	o.API.MaxArtifact = int64(c.MaxArtifact)
	o.API.MaxDepth = c.MaxDepth
	o.API.MaxEvents = c.MaxEvents
	o.API.MaxConns = c.MaxConns
	o.API.HeaderTimeout = c.HeaderTimeout
	o.API.BodyTimeout = c.BodyTimeout
	o.API.DrainTimeout = c.DrainTimeout
	return o
}

func (c *serveCommand) logger(sh *shell) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(sh.err, o))
	}
	return slog.New(slog.NewTextHandler(sh.err, o))
}
