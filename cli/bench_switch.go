package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/loadgen"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/registry"
)

// benchSwitchCommand measures what going from one release to another costs those who are served meanwhile.
type benchSwitchCommand struct {
	Switches    int           `default:"1000" placeholder:"N" help:"How often the release is switched (default ${default})."`
	Kills       int           `placeholder:"N" help:"How often the server is killed with SIGKILL in between, and started again; the requests that fall into a restart do not count (default: never)."`
	Rate        float64       `default:"600" placeholder:"N" help:"Requests a second: one third each events, pulls and predictions (default ${default})."`
	Connections int           `default:"32" placeholder:"N" help:"Keep-alive connections (default ${default})."`
	Window      time.Duration `default:"2s" placeholder:"TIME" help:"Length of the windows with and without switches, in turn (default ${default})."`
	benching
}

// Help is the long text of `freshet bench switch --help`.
func (benchSwitchCommand) Help() string {
	return `Has two releases whose id maps and factors fit only among themselves, so that a prediction of the map of one and the factors of
the other shows in its score. Under a load of events, pulls and predictions, sent at moments that are fixed in advance, it switches back and forth, in
windows that take turns with windows without switches: requests that fail, predictions that are mixed, and the latencies of both.
--duration has no meaning here.

` + benchHelp + `

Example:

  freshet bench switch --switches 1000`
}

// Validate is called by kong.
func (c *benchSwitchCommand) Validate() error {
	switch {
	case c.Switches < 1 || c.Switches > 1_000_000:
		return fmt.Errorf("--switches %d: expected 1 to 1000000", c.Switches)
	case c.Kills < 0 || c.Kills > c.Switches:
		return fmt.Errorf("--kills %d: expected 0 to the number of switches", c.Kills)
	case !(c.Rate >= 1) || c.Rate > 1e5:
		return fmt.Errorf("--rate %v: expected 1 to 100000 requests a second", c.Rate)
	case c.Connections < 1 || c.Connections > 4096:
		return fmt.Errorf("--connections %d: expected 1 to 4096", c.Connections)
	case c.Window < 100*time.Millisecond || c.Window > time.Hour:
		return fmt.Errorf("--window %s: expected 100ms to 1h", c.Window)
	case c.Server != "":
		return fmt.Errorf("--server: the switch is measured on a server of its own; drop it")
	}
	return c.benching.Validate()
}

// benchSwitch is the whole result.
type benchSwitch struct {
	Conditions benchConditions `json:"conditions"`
	Fsync      *benchLatency   `json:"fsync,omitempty"`
	Rate       float64         `json:"rate"`
	Window     float64         `json:"window_seconds"`
	Switches   int             `json:"switches"`
	Kills      int             `json:"kills"`
	Decision   benchLatency    `json:"switch"` // from the request to the answer, after which everybody is served by the other release
	Requests   int             `json:"requests"`
	Failed     int             `json:"failed"`
	Mixed      int             `json:"mixed"`
	Checked    int             `json:"checked"` // predictions and pulls
	Quiet      benchLatency    `json:"quiet"`
	Switching  benchLatency    `json:"switching"`
	Moved      float64         `json:"p99_ratio"`
	Restart    benchLatency    `json:"restart"` // from SIGKILL until it was ready again
}

// Run measures and prints.
func (c *benchSwitchCommand) Run(ctx context.Context, sh *shell) error {
	b, err := c.startWith(ctx, sh, benchProject{
		app: fmt.Sprintf("%s users, %d items, an id map and factors of two generations; one third each events, pulls, predictions",
			grouped(benchapp.PairUsers), benchapp.PairItems),
		write: func(dir string, _ uint64) error { return benchapp.WritePairs(dir, 0) }, users: benchapp.PairUsers,
	})
	if err != nil {
		return err
	}
	defer b.close()
	s := switching{benchSwitchCommand: c, b: b}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.measure(ctx); err != nil {
		return err
	}
	b.meter.clear()
	result := s.result()
	if sh.json {
		return sh.printJSON(result)
	}
	return result.print(sh)
}

// switching is the benchmark under way.
type switching struct {
	*benchSwitchCommand
	b                                 *bench
	client                            *client.Client
	first                             int // of the next window's requests
	quiet, during, decision, restart  loadgen.Histogram
	requests, failed, switches, kills int
	checked, mixed                    atomic.Int64
}

// pairUsers is how many users the load is about: few enough that all have a prediction to pull.
const pairUsers = 500

// prepare has the second generation live, and a prediction for everybody.
func (s *switching) prepare(ctx context.Context) (err error) {
	if err := s.connect(); err != nil {
		return err
	}
	s.b.meter.say("deploying the second release…")
	dir, err := os.MkdirTemp(s.b.target.folder, "second-")
	if err != nil {
		return err
	}
	if err := benchapp.WritePairs(dir, 1); err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := modelregistry.WriteTar(&archive, os.DirFS(filepath.Join(dir, "factors"))); err != nil {
		return err
	}
	if _, err := s.client.Publish(ctx, client.Publication{Model: "factors", Archive: &archive, Actor: "bench"}); err != nil {
		return err
	}
	users, err := os.ReadFile(filepath.Join(dir, "users.csv"))
	if err != nil {
		return err
	}
	digest := registry.DigestOf(users)
	if err := s.client.PutBlob(ctx, digest, bytes.NewReader(users)); err != nil {
		return err
	}
	_, rel, err := s.client.Deploy(ctx, client.DeployRequest{
		Tables: map[freshet.TableName]freshet.Digest{"user_index": digest}, Canary: "0", Accept: []string{"scores"},
	}, client.Decision{Actor: "bench"})
	if err != nil {
		return err
	}
	for rel.State == "preparing" && waitFor(ctx, followEvery) {
		if rel, err = s.client.GetRelease(ctx, rel.ID); err != nil {
			return err
		}
	}
	if rel.State != "live" {
		return freshet.Errorf(freshet.Internal, "release %s is %s: %s", rel.ID, rel.State, rel.Last().Reason)
	}
	for n := range pairUsers {
		if _, err := s.client.Send(ctx, map[string]any{"type": "play", "user_id": benchapp.PairUser(n), "seconds": 1}); err != nil {
			return err
		}
	}
	_, _, err = s.b.drained(ctx)
	return err
}

func (s *switching) connect() (err error) {
	s.client, err = client.New(s.b.target.url, nil)
	return err
}

// measure has quiet windows and such with switches take turns, so that whatever else the machine does falls on both.
func (s *switching) measure(ctx context.Context) error {
	if s.Warmup > 0 {
		if _, err := s.load(ctx, s.Warmup); err != nil {
			return err
		}
	}
	each := (s.Switches + s.Kills) / (s.Kills + 1)
	for s.switches < s.Switches {
		s.b.meter.say(fmt.Sprintf("%d of %d switches, %d failed, %d mixed", s.switches, s.Switches, s.failed, s.mixed.Load()))
		if err := s.window(ctx, &s.quiet); err != nil {
			return err
		}
		stop, ended := make(chan struct{}), make(chan error, 1)
		go func() { ended <- s.switchUntil(ctx, stop) }()
		err := s.window(ctx, &s.during)
		close(stop)
		if switched := <-ended; err == nil {
			err = switched
		}
		if err != nil {
			return err
		}
		for s.kills < s.Kills && s.switches >= (s.kills+1)*each { // there may be several for a window of many switches
			if err := s.kill(ctx); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (s *switching) window(ctx context.Context, into *loadgen.Histogram) error {
	r, err := s.load(ctx, s.Window)
	if err != nil {
		return s.b.unreachable(err)
	}
	into.Merge(&r.Latency)
	s.requests += r.Sent
	s.failed += r.Sent - r.OK()
	return nil
}

// switchUntil goes to the other release again and again.
func (s *switching) switchUntil(ctx context.Context, stop <-chan struct{}) error {
	for s.switches < s.Switches {
		begin := time.Now()
		if _, err := s.client.Rollback(ctx, client.Decision{Actor: "bench"}); err != nil {
			return err
		}
		s.decision.Record(time.Since(begin))
		s.switches++
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// kill ends the server while it switches, and starts it again.
func (s *switching) kill(ctx context.Context) error {
	s.kills++
	go s.client.Rollback(ctx, client.Decision{Actor: "bench"}) // it may be answered or not
	waitFor(ctx, time.Duration(s.kills%7)*time.Millisecond)
	begin := time.Now()
	if err := s.b.target.restart(ctx); err != nil {
		return err
	}
	s.restart.Record(time.Since(begin))
	return s.connect()
}

// load sends for d, and looks into every prediction that comes back.
func (s *switching) load(ctx context.Context, d time.Duration) (loadgen.Result, error) {
	first, addr := s.first, s.b.target.addr
	s.first += int(s.Rate*d.Seconds()) + 1
	return loadgen.Open(ctx, loadgen.Load{
		Addr: addr, Connections: s.Connections,
		Request: func(dst []byte, i int) []byte {
			user := benchapp.PairUser(pairOf(i))
			switch i % 3 {
			case 0:
				return appendPost(dst, addr, "/v1/events", fmt.Sprintf(`{"event_id":"s%d-%d","type":"play","user_id":%q,"seconds":1}`, s.b.o.Seed, i, user))
			case 1:
				return loadgen.AppendHead(dst, "GET", addr, "/v1/users/"+user+"/predictions/"+benchapp.PairsPipeline, "", "", 0)
			}
			return appendPost(dst, addr, "/v1/predict/"+benchapp.PairsPipeline, fmt.Sprintf(`{"entity":{"user_id":%q}}`, user))
		},
		Answered: func(i int, _ time.Time, r loadgen.Response) {
			if i%3 == 0 || r.Status != 200 {
				return
			}
			s.checked.Add(1)
			if !paired(r.Body, pairOf(i)) {
				s.mixed.Add(1)
			}
		},
	}, first, s.Rate, d, nil)
}

// pairOf is the user of request i: the same for the event, the pull and the prediction that follow each other.
func pairOf(i int) int { return i / 3 % pairUsers }

func appendPost(dst []byte, addr, path, body string) []byte {
	return append(loadgen.AppendHead(dst, "POST", addr, path, "application/json", "", len(body)), body...)
}

// paired tells whether a prediction is of the id map and the factors of its own release: rN has generation (N−1).
func paired(answer []byte, user int) bool {
	_, rest, ok := bytes.Cut(answer, []byte(`"score":`))
	if !ok {
		return false
	}
	end := bytes.IndexAny(rest, ",}")
	_, release, found := bytes.Cut(answer, []byte(`"release":"r`))
	if end < 0 || !found || len(release) == 0 {
		return false
	}
	score, err := strconv.ParseFloat(string(rest[:end]), 64)
	return err == nil && score == benchapp.PairScore(user, int(release[0]-'1'))
}

func (s *switching) result() benchSwitch {
	r := benchSwitch{
		Conditions: s.b.conditions, Fsync: s.b.fsync, Rate: s.Rate, Window: s.Window.Seconds(), Switches: s.switches, Kills: s.kills, Decision: latencyOf(&s.decision), Requests: s.requests,
		Failed: s.failed, Mixed: int(s.mixed.Load()), Checked: int(s.checked.Load()), Quiet: latencyOf(&s.quiet), Switching: latencyOf(&s.during),
		Restart: latencyOf(&s.restart),
	}
	r.Moved = ratio(r.Switching.P99, r.Quiet.P99)
	return r
}

func (r benchSwitch) print(sh *shell) error {
	one := func(name, format string, args ...any) benchRow {
		return benchRow{name: name, values: []string{fmt.Sprintf(format, args...)}}
	}
	rows := []benchRow{
		one("switches", "%s", grouped(r.Switches)),
		one("requests / failed", "%s / %s", grouped(r.Requests), grouped(r.Failed)),
		one("predictions looked into / mixed", "%s / %s", grouped(r.Checked), grouped(r.Mixed)),
		one("a request, without switches p50 / p99", "%s / %s", millis(r.Quiet.P50), millis(r.Quiet.P99)),
		one("a request, with switches p50 / p99", "%s / %s", millis(r.Switching.P50), millis(r.Switching.P99)),
		one("  × p99", "%.2f", r.Moved),
		one("a switch p50 / p99", "%s / %s", millis(r.Decision.P50), millis(r.Decision.P99)),
	}
	if r.Kills > 0 {
		rows = append(rows, one("kills / restart p50 / longest", "%d / %s / %s", r.Kills, millis(r.Restart.P50), millis(r.Restart.Max)))
	}
	return sh.printBench("freshet bench switch: another release under load", r.Conditions,
		fmt.Sprintf("%s requests/s, windows of %s in turn", grouped(round(r.Rate)), time.Duration(r.Window*float64(time.Second))), rows)
}
