package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/loadgen"
)

const (
	wideModel    freshet.ModelName = "bench_wide"
	wideVersions                   = 16 // more than a server keeps loaded: each is loaded anew when its turn comes
	loadEvery                      = 500 * time.Millisecond
)

// benchWide is a model of 30 inputs that no release has: its versions are asked for by number.
type benchWide struct {
	b        *bench
	client   *client.Client
	archives [][]byte // of the versions
	first    int      // the number of the first
	bodies   [][]byte // of OIP requests for one row each
}

// newWide makes all archives and requests ahead, and publishes the first version.
func (c *benchModelsCommand) newWide(ctx context.Context, b *bench) (*benchWide, error) {
	b.meter.say("publishing a model of 30 inputs…")
	cl, err := client.New(b.target.url, nil)
	if err != nil {
		return nil, err
	}
	w := &benchWide{b: b, client: cl}
	for i := range uint64(wideVersions) {
		archive, err := tarOf("wide.lgb", benchapp.Wide(c.Seed+i))
		if err != nil {
			return nil, err
		}
		w.archives = append(w.archives, archive)
	}
	const sets = 64
	values := randomRows(c.Seed, sets, benchapp.WideInputs)
	for i := range sets {
		body := fmt.Appendf(nil, `{"inputs":[{"name":"row","shape":[1,%d],"datatype":"FP32","data":[`, benchapp.WideInputs)
		for j, v := range values[i*benchapp.WideInputs : (i+1)*benchapp.WideInputs] {
			if j > 0 {
				body = append(body, ',')
			}
			body = strconv.AppendFloat(body, float64(float32(v)), 'g', -1, 32)
		}
		w.bodies = append(w.bodies, append(body, `]}]}`...))
	}
	w.first, err = w.publish(ctx, 0)
	return w, err
}

func tarOf(name, text string) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

// publish publishes archive i, and tells the number of its version.
func (w *benchWide) publish(ctx context.Context, i int) (int, error) {
	v, err := w.client.Publish(ctx, client.Publication{
		Model: wideModel, Archive: bytes.NewReader(w.archives[i%len(w.archives)]), Lineage: client.Lineage{Source: "freshet bench models"}, Actor: actor(),
	})
	if err != nil {
		return 0, w.b.unreachable(err)
	}
	return v.Version, nil
}

func (w *benchWide) path(version int) string {
	return fmt.Sprintf("/v2/models/%s/versions/%d/infer", wideModel, version)
}

// ask asks a version for a row, which loads it if it is not loaded.
func (w *benchWide) ask(ctx context.Context, version int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.b.target.url+w.path(version), bytes.NewReader(w.bodies[0]))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return w.b.unreachable(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return freshet.Errorf(freshet.Unavailable, "version %d of %s was answered with %s", version, wideModel, res.Status)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// benchLoading is what loading versions does to predictions.
type benchLoading struct {
	Versions int          `json:"versions"` // published and loaded
	Before   benchLatency `json:"before"`
	While    benchLatency `json:"while"`
	After    benchLatency `json:"after"`
	Ratio    float64      `json:"p99_ratio"` // of p99 while versions are loaded to its mean before and after
}

// loading measures the pipeline without, beside, and again without a loop that publishes and loads versions.
func (c *benchModelsCommand) loading(ctx context.Context, b *bench, w *benchWide) (benchLoading, error) {
	var r benchLoading
	for _, phase := range []struct {
		name  string
		loads bool
		into  *benchLatency
	}{{"predict, before loading", false, &r.Before}, {"predict, beside loading", true, &r.While}, {"predict, after loading", false, &r.After}} {
		wait := func() (int, error) { return 0, nil }
		if phase.loads {
			wait = w.start(ctx)
		}
		done := new(atomic.Int64)
		stop := b.watch(ctx, phase.name, "requests", c.Duration, done, 1)
		got, err := loadgen.Open(ctx, c.predict(b), 0, c.Rate, c.Duration, done)
		stop()
		n, failed := wait()
		if err != nil {
			return r, b.unreachable(err)
		}
		if failed != nil {
			return r, failed
		}
		if got.OK() != got.Sent {
			return r, freshet.Errorf(freshet.Unavailable, "%s: of %d requests %d were answered well; statuses %v", phase.name, got.Sent, got.OK(), got.Statuses)
		}
		r.Versions += n
		*phase.into = latencyOf(&got.Latency)
	}
	r.Ratio = ratio(r.While.P99, (r.Before.P99+r.After.P99)/2)
	return r, ctx.Err()
}

// start publishes and loads versions, one every loadEvery, until the function that it returns is called, which tells how many.
func (w *benchWide) start(ctx context.Context) (wait func() (int, error)) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	n := 0
	go func() { // beside the load, until wait
		ended <- func() error {
			for goes := true; goes; goes = waitFor(ctx, loadEvery) {
				version, err := w.publish(context.WithoutCancel(ctx), n+1)
				if err == nil {
					err = w.ask(context.WithoutCancel(ctx), version)
				}
				if err != nil {
					return err
				}
				n++
			}
			return nil
		}()
	}()
	return func() (int, error) {
		cancel()
		err := <-ended
		return n, err
	}
}
