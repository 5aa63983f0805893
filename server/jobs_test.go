package server_test

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/linearmodel"
	"github.com/freshet-ml/freshet/server"
)

// with adds lines to the pipeline `risk` of the shop.
func with(lines string) map[string]string {
	files := maps.Clone(shopFiles)
	files["freshet.yaml"] += lines
	return files
}

// TestDebounce: one job per entity in the time, about the newest event (P1).
func TestDebounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, with("    debounce: 2s\n"))
		defer w.stop()
		for range 3 {
			w.send("ping", "u1", "", "")
			time.Sleep(500 * time.Millisecond)
		}
		w.send("ping", "u2", "", "")
		if _, err := w.Predictions.Get(t.Context(), freshet.Entity{Kind: "user", Key: "u1"}, "risk"); freshet.CodeOf(err) != freshet.NotFound {
			t.Fatalf("before the time is over: %v", err)
		}
		if n := w.Jobs.Stats().Queued; n != 2 {
			t.Errorf("%d jobs wait, want one for each user", n)
		}
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if p := w.get("u1", "risk"); p.EventID != "e3" {
			t.Errorf("caused by %s, want the newest", p.EventID)
		}
		done, _, err := w.Jobs.List(t.Context(), jobqueue.Done, "", 10)
		if err != nil || len(done) != 1 || done[0].Job.First == done[0].Job.Cause.Offset {
			t.Errorf("done: %+v, %v", done, err)
		}
	})
}

// slow takes a time for each call, and remembers how many rows it was asked for at once.
type slow struct {
	scorer
	each time.Duration
	most atomic.Int64
}

func (s *slow) Score(ctx context.Context, m *release.Model, in, out []float64) error {
	time.Sleep(s.each)
	s.most.Store(max(s.most.Load(), int64(len(out))))
	return s.scorer.Score(ctx, m, in, out)
}

// TestUseful: a job whose turn comes too late is a dead letter that says so (P5).
func TestUseful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, with("    useful: 1m\n"))
		defer w.stop()
		w.Models = &slow{scorer: w.Models, each: 9 * time.Second}
		for i := range 20 {
			w.send("ping", fmt.Sprint("u", i), "", "")
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		letters, err := w.Jobs.DeadLetters(t.Context(), "", 100)
		if err != nil || len(letters) == 0 || len(letters) > 12 || !strings.Contains(letters[0].Reason, "useful for 1m") {
			t.Fatalf("%d letters: %+v, %v", len(letters), letters, err)
		}
		if s := w.Jobs.Stats(); s.Queued+s.Leased != 0 {
			t.Errorf("not all have ended: %+v", s)
		}
	})
}

// TestJobsAreScoredTogether: what has piled up is scored with few calls, each job with its own answer.
func TestJobsAreScoredTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, shopFiles)
		defer w.stop()
		counting := &slow{scorer: w.Models, each: 19 * time.Millisecond}
		w.Models = counting
		const users = 100
		for i := range users {
			w.send("ping", fmt.Sprint("u", i), "", "")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for i := range users {
			want := -100.0
			if i == 1 {
				want = 3000
			}
			if p := w.get(freshet.Key(fmt.Sprint("u", i)), "risk"); p.Outputs["risk"] != want || p.EventID != freshet.EventID(fmt.Sprint("e", i+1)) {
				t.Errorf("u%d: %+v", i, p)
			}
		}
		if n := counting.most.Load(); n < 8 {
			t.Errorf("at most %d rows at once", n)
		}
	})
}

// TestErasedAtWork: a worker that has a job of somebody who is erased meanwhile leaves no prediction.
func TestErasedAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, shopFiles)
		defer w.stop()
		w.Models = &slow{scorer: w.Models, each: time.Second}
		user := freshet.Entity{Kind: "user", Key: "u1"}
		w.send("ping", "u1", "", "")
		w.send("ping", "u2", "", "")
		if n, err := w.Jobs.Erase(t.Context(), user); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if err := w.Predictions.Delete(t.Context(), user); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, err := w.Predictions.Get(t.Context(), user, "risk"); freshet.CodeOf(err) != freshet.NotFound {
			t.Errorf("of somebody who was erased: %v", err)
		}
		w.get("u2", "risk")
		w.send("ping", "u1", "", "") // who comes back is somebody new
		time.Sleep(time.Minute)
		synctest.Wait()
		w.get("u1", "risk")
	})
}

// gated is a model that scores as many rows as were let through.
type gated struct {
	linearmodel.Linear
	rows chan struct{}
	open chan struct{} // closed: all
	shut *atomic.Bool  // until it is set all pass: a model is warmed before it serves
}

func (g gated) Open(dir fs.FS, name string) (modelruntime.Model, error) {
	m, err := g.Linear.Open(dir, name)
	return gatedModel{m, g}, err
}

type gatedModel struct {
	modelruntime.Model
	g gated
}

func (m gatedModel) Predict(ctx context.Context, in, out []float64) error {
	for range out {
		if !m.g.shut.Load() {
			break
		}
		select {
		case <-m.g.rows:
		case <-m.g.open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return m.Model.Predict(ctx, in, out)
}

// TestBacklog: with a model that does a tenth of the load events are taken up to the bound, then refused as a whole; when the
// model has recovered, every job of an accepted event ends, and none is lost (P1, P5).
func TestBacklog(t *testing.T) {
	t.Parallel()
	const bound = 200
	project := t.TempDir()
	for name, text := range map[string]string{
		"freshet.yaml": "project: p\nentities: { user: { key: user_id } }\nevents: { ping: { keys: [user_id] } }\n" +
			"models: { one: { path: one.json } }\npipelines: { risk: { from: ping, entity: user, model: one, inputs: { n: \"7\" } } }\n",
		"one.json": `{"format":"freshet.linear/1","link":"identity","features":[{"name":"n"}],"coefficients":[[1]],"intercept":[0],"outputs":["risk"]}`,
	} {
		if err := os.WriteFile(filepath.Join(project, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := gated{rows: make(chan struct{}, 1), open: make(chan struct{}), shut: &atomic.Bool{}}
	s, err := server.New(t.Context(), server.Options{
		Project: project, Data: t.TempDir(), Listen: "127.0.0.1:0", Backlog: bound, Attempts: 1000, Visibility: time.Hour,
		Runtimes: []modelruntime.Runtime{g}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	g.shut.Store(true)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	c := connect(t, "http://"+s.Addr())
	accepted, refused, after := 0, 0, ""
	for n := 0; refused < 3; n += 10 {
		select {
		case g.rows <- struct{}{}:
		default:
		}
		var batch []string
		for i := range 10 {
			batch = append(batch, fmt.Sprintf(`{"event_id":"e%d","type":"ping","user_id":"u%d"}`, n+i, n+i))
		}
		answer, err := c.SendEvents(t.Context(), client.JSON, []byte("["+strings.Join(batch, ",")+"]"))
		switch {
		case freshet.CodeOf(err) == freshet.ResourceExhausted:
			refused++
			n -= 10
		case err != nil:
			t.Fatal(err)
		default:
			accepted, after = accepted+answer.Accepted, answer.Position
		}
	}
	if accepted < bound || accepted > 10*bound {
		t.Errorf("%d events were taken before the bound of %d", accepted, bound)
	}
	close(g.open)
	for i := range accepted {
		p, err := c.GetPrediction(t.Context(), client.User(fmt.Sprint("u", i)), "risk", &client.PredictionOptions{After: after, Wait: 30 * time.Second})
		for n := 0; freshet.CodeOf(err) == freshet.NotFound && n < 1000; n++ { // of other partitions than the last request's
			p, err = c.GetPrediction(t.Context(), client.User(fmt.Sprint("u", i)), "risk", nil)
		}
		if x := p.Outputs["risk"]; err != nil || x == nil || *x != 7 {
			t.Fatalf("u%d: %+v, %v", i, p, err)
		}
	}
	if jobs, _, err := c.Jobs(t.Context(), "dead", "", 0); err != nil || len(jobs) != 0 {
		t.Errorf("dead letters: %v, %v", jobs, err)
	}
}
