package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/freshet-ml/freshet/client"
)

// demoCommand runs the example app with the traffic of its users and shows what happens. Address and data folder have
// variables of their own: those of serve may name a real server.
type demoCommand struct {
	Listen   string        `env:"FRESHET_DEMO_LISTEN" default:"127.0.0.1:8787" placeholder:"ADDR" help:"host:port to listen on; if it is taken, a free port (default ${default})."`
	Data     string        `env:"FRESHET_DEMO_DATA" placeholder:"DIR" help:"Keep what is durable in this folder (default: a temporary one, removed at the end)."`
	Rate     float64       `default:"100" placeholder:"N" help:"Events a second (default ${default})."`
	Duration time.Duration `placeholder:"TIME" help:"End after this time (default: run until interrupted)."`
	Plain    bool          `help:"Print a line now and then instead of a table that is redrawn; so it is without a terminal."`
}

// Help is the long text of `freshet demo --help`.
func (demoCommand) Help() string {
	return `Starts a server with the example app, a meditation app with 2,000 users, 300 titles and a LightGBM model that ranks them,
and plays real sessions of its users to it, faster than they were. The table shows what some users just did and how their
recommendations answer to it. Ctrl-C ends it and leaves nothing behind.

Examples:

  freshet demo
  freshet demo --rate 1000
  freshet demo --plain --duration 20s`
}

// Validate is called by kong.
func (c *demoCommand) Validate() error {
	if !(c.Rate >= 0.1) || c.Rate > 20_000 {
		return fmt.Errorf("--rate %v: expected 0.1 to 20000 events a second", c.Rate)
	}
	if c.Duration < 0 {
		return fmt.Errorf("--duration %s: expected a positive duration such as 30s", c.Duration)
	}
	return nil
}

// Run serves, plays and shows until ctx ends or the time is over.
func (c *demoCommand) Run(ctx context.Context, sh *shell) error {
	traffic, err := loadDemoTraffic()
	if err != nil {
		return err
	}
	sh.note("starting the example app…")
	host, err := startDemoHost(ctx, c.Listen, c.Data, sh)
	if ctx.Err() != nil && err != nil {
		return nil // interrupted before it began: nothing failed
	}
	if err != nil {
		return err
	}
	if c.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	last, err := c.play(ctx, sh, host, traffic)
	if err := errors.Join(err, host.stop()); err != nil {
		return err
	}
	if sh.json {
		return nil
	}
	_, err = fmt.Fprintf(sh.out, "stopped after %s: %s events accepted, %s predictions stored\n",
		clock(last.Uptime), grouped(last.Accepted), grouped(last.Predictions))
	return err
}

// play sends and shows until ctx ends or the server fails. It returns what was last to be seen.
func (c *demoCommand) play(ctx context.Context, sh *shell, host *demoHost, traffic *demoTraffic) (demoSnapshot, error) {
	cl, err := client.New(host.url, &client.Options{UserAgent: "freshet-demo"})
	if err != nil {
		return demoSnapshot{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b := newDemoBoard(host.url, time.Now())
	p := &demoPlayer{to: cl, board: b, traffic: traffic, rate: c.Rate}
	played := make(chan struct{})
	go func() { // beside the screen, for as long as this function
		defer close(played)
		p.run(ctx)
	}()
	err = c.show(ctx, sh, host, b)
	cancel()
	<-played
	if lookErr := b.look(context.WithoutCancel(ctx), time.Now()); lookErr != nil && err == nil {
		err = lookErr
	}
	return b.snapshot(time.Now()), err
}

// show draws or prints the board at intervals.
func (c *demoCommand) show(ctx context.Context, sh *shell, host *demoHost, b *demoBoard) error {
	s := c.screen(sh, host)
	s.begin()
	defer s.end()
	tick := time.NewTicker(s.interval())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-host.ended:
			host.ended <- err // for stop
			return nil
		case now := <-tick.C:
			if err := b.look(ctx, now); err != nil && ctx.Err() == nil {
				b.trouble(err.Error())
			}
			if err := s.draw(b.snapshot(now)); err != nil {
				return err
			}
		}
	}
}

// demoScreen shows a board.
type demoScreen interface {
	interval() time.Duration
	begin()
	draw(demoSnapshot) error
	end()
}

func (c *demoCommand) screen(sh *shell, host *demoHost) demoScreen {
	if sh.json {
		return &demoLines{out: sh.out, host: host, json: true}
	}
	f, ok := sh.out.(*os.File)
	if c.Plain || !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return &demoLines{out: sh.out, host: host}
	}
	return &demoTable{out: f, host: host, colour: os.Getenv("NO_COLOR") == ""}
}

// note says on a terminal what is going on; it is overwritten by what comes next.
func (sh *shell) note(text string) {
	if f, ok := sh.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(f, "\r%s\x1b[K", text)
	}
}

// demoLines prints a few lines every two seconds.
type demoLines struct {
	out  io.Writer
	host *demoHost
	json bool
}

func (d *demoLines) interval() time.Duration { return 2 * time.Second }
func (d *demoLines) end()                    {}

func (d *demoLines) begin() {
	if !d.json {
		fmt.Fprintf(d.out, "freshet demo: %s\n%s", d.host.describe(), demoHints(d.host.url, demoFirstUser))
	}
}

func (d *demoLines) draw(s demoSnapshot) error {
	if d.json {
		return (&shell{out: d.out}).printJSON(s)
	}
	_, err := io.WriteString(d.out, s.plain())
	return err
}

// perSecond is n in seconds, 0 for no time.
func perSecond(n, seconds float64) float64 {
	if seconds <= 0 || math.IsNaN(n) {
		return 0
	}
	return n / seconds
}
