package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
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

// remoteModel is a model behind an HTTP server that speaks as MLflow's do: it answers 7 to every row.
type remoteModel struct {
	*httptest.Server
	rows  chan struct{}                 // while it is slow, one for each row that it may answer
	fast  atomic.Pointer[chan struct{}] // closed: it answers all
	fails func() int                    // the status of a call that is to fail; nil or 0: it does not
	calls atomic.Int64
}

func newRemoteModel(t *testing.T, fails func() int) *remoteModel {
	t.Helper()
	m := &remoteModel{rows: make(chan struct{}, 1), fails: fails}
	m.recover()
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

// slow has the model answer only as many rows as are let through by rows.
func (m *remoteModel) slow() {
	shut := make(chan struct{})
	m.fast.Store(&shut)
}

func (m *remoteModel) recover() {
	open := make(chan struct{})
	close(open)
	if former := m.fast.Swap(&open); former != nil {
		close(*former)
	}
}

func (m *remoteModel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Split struct{ Data [][]float64 } `json:"dataframe_split"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	m.calls.Add(1)
	if m.fails != nil {
		if status := m.fails(); status != 0 {
			http.Error(w, "not now", status)
			return
		}
	}
	fast := *m.fast.Load()
	for range asked.Split.Data {
		select {
		case <-m.rows:
		case <-fast:
		case <-r.Context().Done():
			return
		}
	}
	answers := strings.TrimSuffix(strings.Repeat("7,", len(asked.Split.Data)), ",")
	fmt.Fprintf(w, `{"predictions":[%s]}`, answers)
}

// remoteProject is a project with one pipeline, risk, by a model behind m.
func remoteProject(t *testing.T, m *remoteModel) string {
	t.Helper()
	project := t.TempDir()
	write(t, filepath.Join(project, "freshet.yaml"), "project: p\nentities: { user: { key: user_id } }\nevents: { ping: { keys: [user_id] } }\n"+
		"models: { one: { path: one.json } }\npipelines: { risk: { from: ping, entity: user, model: one, inputs: { n: \"1\" } } }\n")
	write(t, filepath.Join(project, "one.json"), fmt.Sprintf(
		`{"format":"freshet.endpoint/1","protocol":"mlflow","url":%q,"inputs":[{"name":"n"}],"outputs":["risk"],"timeout":"1m","retries":0}`, m.URL))
	return project
}

// whileServing runs a server on real disk and a real port while f does.
func whileServing(t *testing.T, o server.Options, f func(c *client.Client)) {
	t.Helper()
	o.Listen, o.Logger = "127.0.0.1:0", slog.New(slog.DiscardHandler)
	s, err := server.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	f(connect(t, "http://"+s.Addr()))
}

// TestBacklog: with a model behind a server that does a tenth of the load events are taken up to the bound, then refused as a whole; when the
// model has recovered, every job of an accepted event ends, and none is lost (P1, P5).
func TestBacklog(t *testing.T) {
	t.Parallel()
	const bound = 200
	m := newRemoteModel(t, nil)
	o := server.Options{Project: remoteProject(t, m), Data: t.TempDir(), Backlog: bound, Attempts: 1000, Visibility: time.Hour}
	whileServing(t, o, func(c *client.Client) {
		m.slow()
		accepted, refused, after := 0, 0, ""
		for n := 0; refused < 3; n += 10 {
			select {
			case m.rows <- struct{}{}:
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
		m.recover()
		for i := range accepted {
			p, err := c.GetPrediction(t.Context(), client.User(fmt.Sprint("u", i)), "risk", &client.PredictionOptions{After: after, Wait: 30 * time.Second})
			for n := 0; freshet.CodeOf(err) == freshet.NotFound && n < 1000; n++ { // of other partitions than the last request's
				p, err = c.GetPrediction(t.Context(), client.User(fmt.Sprint("u", i)), "risk", nil)
			}
			if x := p.Outputs["risk"]; err != nil || x == nil || *x != 7 || p.EventID != freshet.EventID(fmt.Sprint("e", i)) {
				t.Fatalf("u%d: %+v, %v", i, p, err)
			}
		}
		for _, state := range []string{"queued", "leased", "dead"} {
			if jobs, _, err := c.Jobs(t.Context(), state, "", 0); err != nil || len(jobs) != 0 {
				t.Errorf("%s: %v, %v", state, jobs, err)
			}
		}
	})
}

// TestJobHistory: what became of each attempt is told after a restart, too, and of a dead letter that was redriven.
func TestJobHistory(t *testing.T) {
	t.Parallel()
	var dead atomic.Bool
	var ill atomic.Int64
	m := newRemoteModel(t, func() int {
		switch {
		case dead.Load():
			return http.StatusBadRequest // the rows are wrong: another attempt would not help
		case ill.Add(-1) >= 0:
			return http.StatusServiceUnavailable
		}
		return 0
	})
	o := server.Options{Project: remoteProject(t, m), Data: t.TempDir(), Workers: 1}
	job := func(c *client.Client, user string) client.Job {
		t.Helper()
		for _, state := range []string{"done", "dead"} {
			jobs, _, err := c.Jobs(t.Context(), state, "", 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range jobs {
				if string(j.Entity.Key) == user {
					j, err := c.Job(t.Context(), j.ID)
					if err != nil {
						t.Fatal(err)
					}
					return j
				}
			}
		}
		t.Fatalf("no job of %s has ended", user)
		return client.Job{}
	}
	send := func(c *client.Client, user, event string) {
		t.Helper()
		answer, err := c.SendEvents(t.Context(), client.JSON, fmt.Appendf(nil, `{"event_id":%q,"type":"ping","user_id":%q}`, event, user))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.GetPrediction(t.Context(), client.User(user), "risk", &client.PredictionOptions{After: answer.Position, Wait: 30 * time.Second}); err != nil && freshet.CodeOf(err) != freshet.NotFound {
			t.Fatal(err)
		}
	}
	check := func(c *client.Client, user, state string, errors int) {
		t.Helper()
		j := job(c, user)
		if j.State != state || len(j.Errors) != errors || (j.Release == "r1") != (state == "done") {
			t.Errorf("%s: %+v", user, j)
		}
		for _, e := range j.Errors {
			if e.Release != "r1" || e.At == 0 || !strings.Contains(e.Error, "not now") {
				t.Errorf("%s: %+v", user, e)
			}
		}
	}
	whileServing(t, o, func(c *client.Client) {
		ill.Store(2)
		send(c, "u1", "e1")
		dead.Store(true)
		send(c, "u2", "e2")
		dead.Store(false)
		check(c, "u1", "done", 2)
		check(c, "u2", "dead", 1)
	})
	whileServing(t, o, func(c *client.Client) {
		check(c, "u1", "done", 2)
		check(c, "u2", "dead", 1)
		if n, err := c.RedriveDeadLetters(t.Context(), nil); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		send(c, "u2", "e3") // whose job comes behind the one that was redriven
	})
	whileServing(t, o, func(c *client.Client) {
		jobs, _, err := c.Jobs(t.Context(), "done", "", 0)
		if err != nil || len(jobs) != 3 {
			t.Fatalf("%+v, %v", jobs, err)
		}
		redriven, err := c.Job(t.Context(), jobs[1].ID)
		if err != nil || redriven.EventID != "e2" || len(redriven.Errors) != 1 || redriven.Attempts != 1 {
			t.Errorf("%+v, %v", redriven, err)
		}
	})
}
