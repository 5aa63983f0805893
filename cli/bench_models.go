package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/loadgen"
	"github.com/freshet-ml/freshet/modelruntime"
)

// benchModelsCommand measures models: alone, behind their door, and in a pipeline.
type benchModelsCommand struct {
	Connections int     `default:"16" placeholder:"N" help:"Keep-alive connections that ask (default ${default})."`
	Rate        float64 `default:"200" placeholder:"N" help:"Predictions a second of the ranking pipeline (default ${default})."`
	benching
}

// Help is the long text of `freshet bench models --help`.
func (benchModelsCommand) Help() string {
	return `Measures the app's model, 100 trees of 31 leaves over 17 inputs: in this process on one core, one row and 100 rows a call; over HTTP by
the Open Inference Protocol a model like it over 30 inputs, one row (30 numbers) a request, as fast as the server answers; and in its pipeline, POST
/v1/predict with 100 candidates, at moments that are fixed in advance. The same again while every half second a new version of the wide model is
published and loaded beside it, and once more without: what loading does to p99.

` + benchHelp + `

Examples:

  freshet bench models
  freshet bench models --rate 1000 --json`
}

// Validate is called by kong.
func (c *benchModelsCommand) Validate() error {
	if c.Connections < 1 || c.Connections > 4096 {
		return fmt.Errorf("--connections %d: expected 1 to 4096", c.Connections)
	}
	if !(c.Rate >= 1) || c.Rate > 1e5 {
		return fmt.Errorf("--rate %v: expected 1 to 100000 predictions a second", c.Rate)
	}
	return c.benching.Validate()
}

// benchModels is the whole result.
type benchModels struct {
	Conditions benchConditions   `json:"conditions"`
	InProcess  []benchModelCalls `json:"in_process"`
	OIP        benchModelDoor    `json:"oip"`
	Predict    benchModelDoor    `json:"predict"`
	Loading    benchLoading      `json:"loading"`
	Rate       float64           `json:"predict_rate"`
}

// benchModelCalls are calls of the model in this process, on one core.
type benchModelCalls struct {
	Rows   int     `json:"rows"` // a call
	Micros float64 `json:"microseconds_a_call"`
}

// benchModelDoor is a load over HTTP, and the echo of the same requests.
type benchModelDoor struct {
	Connections           int          `json:"connections"`
	RequestsPerSecond     float64      `json:"requests_per_second"`
	Latency               benchLatency `json:"latency"`
	Errors                int          `json:"errors"`
	EchoRequestsPerSecond float64      `json:"echo_requests_per_second"`
	Echo                  benchLatency `json:"echo"`
	EchoRatio             float64      `json:"echo_ratio"` // of the requests per second
}

// Run measures and prints.
func (c *benchModelsCommand) Run(ctx context.Context, sh *shell) error {
	calls, err := c.inProcess(ctx, sh)
	if err != nil {
		return err
	}
	b, err := c.start(ctx, sh)
	if err != nil {
		return err
	}
	defer b.close()
	result := benchModels{Conditions: b.conditions, InProcess: calls, Rate: c.Rate}
	closed := func(l loadgen.Load, d time.Duration, done *atomic.Int64) (loadgen.Result, error) {
		return loadgen.Closed(ctx, l, 0, d, done)
	}
	wide, err := c.newWide(ctx, b)
	if err != nil {
		return err
	}
	if result.OIP, err = c.door(ctx, b, "OIP", c.oip(b, wide), closed); err != nil {
		return err
	}
	open := func(l loadgen.Load, d time.Duration, done *atomic.Int64) (loadgen.Result, error) {
		return loadgen.Open(ctx, l, 0, c.Rate, d, done)
	}
	if result.Predict, err = c.door(ctx, b, "predict", c.predict(b), open); err != nil {
		return err
	}
	if result.Loading, err = c.loading(ctx, b, wide); err != nil {
		return err
	}
	b.meter.clear()
	if sh.json {
		return sh.printJSON(result)
	}
	return result.print(sh)
}

// inProcess calls the model in this process, before anything else runs.
func (c *benchModelsCommand) inProcess(ctx context.Context, sh *shell) ([]benchModelCalls, error) {
	dir, err := os.MkdirTemp("", "freshet-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := benchapp.Write(dir, c.Seed); err != nil {
		return nil, err
	}
	m, err := modelruntime.OpenPath(filepath.Join(dir, "ranker.lgb"), sh.runtimes)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	var all []benchModelCalls
	for _, rows := range []int{1, 100} {
		const sets = 256 // different rows, so that no branch can be learned by heart
		width := len(m.Signature().Inputs)
		inputs := randomRows(c.Seed, sets*rows, width)
		outputs := make([]float64, rows*len(m.Signature().Outputs))
		calls, begin := 0, time.Now()
		for time.Since(begin) < min(time.Second, c.Duration) {
			for set := range sets {
				if err := m.Predict(ctx, inputs[set*rows*width:(set+1)*rows*width], outputs); err != nil {
					return nil, err
				}
			}
			calls += sets
		}
		all = append(all, benchModelCalls{rows, float64(time.Since(begin).Microseconds()) / float64(calls)})
	}
	return all, nil
}

// randomRows are rows of numbers between 0 and 30.
func randomRows(seed uint64, rows, width int) []float64 {
	r := rand.New(rand.NewPCG(seed, 99))
	values := make([]float64, rows*width)
	for i := range values {
		values[i] = r.Float64() * 30
	}
	return values
}

// door warms up, measures, and measures the echo.
func (c *benchModelsCommand) door(ctx context.Context, b *bench, name string, l loadgen.Load, run func(loadgen.Load, time.Duration, *atomic.Int64) (loadgen.Result, error)) (benchModelDoor, error) {
	if c.Warmup > 0 {
		if _, err := run(l, c.Warmup, nil); err != nil {
			return benchModelDoor{}, b.unreachable(err)
		}
	}
	done := new(atomic.Int64)
	stop := b.watch(ctx, name, "requests", c.Duration, done, 1)
	r, err := run(l, c.Duration, done)
	stop()
	if err != nil {
		return benchModelDoor{}, b.unreachable(err)
	}
	if r.OK() == 0 {
		return benchModelDoor{}, freshet.Errorf(freshet.Unavailable, "%s: no request was answered well; statuses %v", name, r.Statuses)
	}
	b.meter.say("measuring the HTTP echo…")
	echo, err := b.echo(ctx, l, func(l loadgen.Load, done *atomic.Int64) (loadgen.Result, error) {
		return run(l, min(c.Duration, 3*time.Second), done)
	})
	if err != nil {
		return benchModelDoor{}, err
	}
	d := benchModelDoor{
		Connections: c.Connections, RequestsPerSecond: perSecond(float64(r.OK()), r.Elapsed.Seconds()), Latency: latencyOf(&r.Latency),
		Errors: r.Sent - r.OK(), EchoRequestsPerSecond: perSecond(float64(echo.OK()), echo.Elapsed.Seconds()), Echo: latencyOf(&echo.Latency),
	}
	d.EchoRatio = ratio(d.RequestsPerSecond, d.EchoRequestsPerSecond)
	return d, ctx.Err()
}

// oip asks the wide model for a row.
func (c *benchModelsCommand) oip(b *bench, w *benchWide) loadgen.Load {
	return c.load(b, w.path(w.first), func(i int) []byte { return w.bodies[i%len(w.bodies)] })
}

// predict ranks all titles for one user after the other.
func (c *benchModelsCommand) predict(b *bench) loadgen.Load {
	return c.load(b, "/v1/predict/"+string(benchapp.Pipeline), func(i int) []byte {
		return fmt.Appendf(nil, `{"entity":{"user_id":%q}}`, b.events.User(i))
	})
}

func (c *benchModelsCommand) load(b *bench, target string, body func(i int) []byte) loadgen.Load {
	host := b.target.addr
	return loadgen.Load{Addr: host, Connections: c.Connections, Request: func(dst []byte, i int) []byte {
		text := body(i)
		return append(loadgen.AppendHead(dst, "POST", host, target, "application/json", "", len(text)), text...)
	}}
}

func (r benchModels) print(sh *shell) error {
	doors := []benchModelDoor{r.OIP, r.Predict}
	rows := []benchRow{
		{name: "in process, one core", values: []string{"1 row", "100 rows"}},
		rowOf("  a call", r.InProcess, func(x benchModelCalls) string { return fmt.Sprintf("%.2f µs", x.Micros) }),
		{},
		{name: "over HTTP", values: []string{"OIP, 30 numbers", "predict, 100 candidates"}},
		rowOf("  requests/s", doors, func(x benchModelDoor) string { return count(x.RequestsPerSecond) }),
		rowOf("    × HTTP echo", doors, func(x benchModelDoor) string { return times(x.EchoRatio, count(x.EchoRequestsPerSecond)) }),
		rowOf("  p50 / p99", doors, func(x benchModelDoor) string { return pair(x.Latency.P50, x.Latency.P99) }),
		rowOf("    HTTP echo p50 / p99", doors, func(x benchModelDoor) string { return pair(x.Echo.P50, x.Echo.P99) }),
		rowOf("  errors", doors, func(x benchModelDoor) string { return strconv.Itoa(x.Errors) }),
		{},
		{name: "predict, and new versions", values: []string{"before", fmt.Sprintf("loading %d", r.Loading.Versions), "after"}},
		rowOf("  p50 / p99", []benchLatency{r.Loading.Before, r.Loading.While, r.Loading.After}, func(x benchLatency) string { return pair(x.P50, x.P99) }),
		{name: "  p99 × without loading", values: []string{"", fmt.Sprintf("%.2f", r.Loading.Ratio), ""}},
	}
	load := fmt.Sprintf("OIP in a closed loop over %s, predict at %s a second", quantity(r.OIP.Connections, "connection"), grouped(round(r.Rate)))
	return sh.printBench("freshet bench models: the app's model", r.Conditions, load, rows)
}
