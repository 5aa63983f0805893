package server_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/orchestration"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/reader"
	"github.com/freshet-ml/freshet/internal/receiver"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/serving"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/factormodel"
	"github.com/freshet-ml/freshet/modelruntime/itemmodel"
	"github.com/freshet-ml/freshet/modelruntime/linearmodel"
	"github.com/freshet-ml/freshet/predictionstore"
	"github.com/freshet-ml/freshet/predictionstore/mempredictions"
)

const shop = `
project: test
entities: { user: { key: user_id }, item: { key: item_id } }
events:
  view: { keys: [user_id, item_id], fields: { price: float } }
  ping: { keys: [user_id] }
views:
  seen:  { entity: user, from: view, window: session 30m, features: { n: count(), items: "last(item_id, 3)" } }
  trend: { entity: item, from: view, window: sliding 1h, features: { starts: count() } }
tables:
  items: { entity: item, file: items.csv, columns: { weight: float } }
  who:   { entity: user, file: who.csv, columns: { age: int } }
models:
  rank: { path: rank.json }
  one:  { path: one.json }
pipelines:
  next:
    from: view
    entity: user
    candidates: items
    keep: candidate.item_id not in seen.items
    model: rank
    inputs: { weight: candidate.weight, starts: trend.starts }
    top: 2
    pull: { expires: 1h }
  risk:
    from: [view, ping]
    entity: user
    model: one
    inputs: { n: seen.n, age: who.age, price: event.price, boost: context.boost }
`

var shopFiles = map[string]string{
	"freshet.yaml": shop,
	"items.csv":    "item_id,weight\na,1\nb,2\nc,2\nd,0.5\n",
	"who.csv":      "user_id,age\nu1,30\n",
	"rank.json":    `{"format":"freshet.linear/1","link":"identity","features":[{"name":"weight"},{"name":"starts"}],"coefficients":[[1,10]],"intercept":[0],"outputs":["score"]}`,
	"one.json":     `{"format":"freshet.linear/1","link":"identity","features":[{"name":"n"},{"name":"age","missing":-1},{"name":"price","missing":0},{"name":"boost","missing":0}],"coefficients":[[1,100,10000,0.5]],"intercept":[0],"outputs":["risk"]}`,
}

// world is a whole path over memory drivers, in a bubble.
type world struct {
	log *eventlog.Log
	*orchestration.Orchestrator
	t    *testing.T
	ids  int
	stop func()
}

// openFiles opens a project of files as a release.
func openFiles(t *testing.T, files map[string]string, id freshet.ReleaseID) *release.Opened {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := project.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	rel, err := release.Open(p, []modelruntime.Runtime{linearmodel.Linear{}, factormodel.Factors{}, itemmodel.Items{}})
	if err != nil {
		t.Fatal(err)
	}
	rel.Name(id, freshet.TimestampOf(time.Now()))
	return rel
}

func newWorld(t *testing.T, files map[string]string) *world {
	t.Helper()
	return newWorldOver(t, files, memfeatures.New())
}

func newWorldOver(t *testing.T, files map[string]string, rows featurestore.Driver) *world {
	t.Helper()
	live := &release.Live{}
	live.Store(openFiles(t, files, "r1"))
	log, features := eventlog.New(memlog.New(nil)), featurestore.New(rows)
	jobs, predictions := jobqueue.New(memqueue.New(), nil), predictionstore.New(mempredictions.New(), nil)
	w := &world{t: t, log: log, Orchestrator: orchestration.New(orchestration.Deps{
		Live: live, Log: log, Features: features, Reader: reader.New(features, log), Jobs: jobs, Predictions: predictions,
		Models: serving.New(prometheus.NewRegistry()), Metrics: orchestration.NewMetrics(prometheus.NewRegistry()),
	}, orchestration.Options{Workers: 2})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	r := receiver.New(log, features, jobs, live, receiver.Options{})
	go func() { ended <- r.Run(ctx) }()
	go func() { ended <- w.Run(ctx) }()
	w.stop = func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	return w
}

// send appends an event about the entities user and, if it is not empty, item, and lets everything happen that it causes.
func (w *world) send(kind freshet.EventType, user, item, fields string) {
	w.t.Helper()
	w.ids++
	now := freshet.TimestampOf(time.Now())
	payload := fmt.Sprintf(`{"type":%q,"user_id":%q%s}`, kind, user, fields)
	entities := []freshet.Entity{{Kind: "user", Key: freshet.Key(user)}}
	if item != "" {
		payload = fmt.Sprintf(`{"type":%q,"user_id":%q,"item_id":%q%s}`, kind, user, item, fields)
		entities = append(entities, freshet.Entity{Kind: "item", Key: freshet.Key(item)})
	}
	_, err := w.log.Append(w.t.Context(), []eventlog.Entry{{
		Event:    freshet.Event{ID: freshet.EventID(fmt.Sprint("e", w.ids)), Type: kind, EventTime: now, IngestTime: now, Payload: []byte(payload)},
		Entities: entities,
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

func (w *world) get(user freshet.Key, pipeline freshet.PipelineName) freshet.Prediction {
	w.t.Helper()
	p, err := w.Predictions.GetExplained(w.t.Context(), freshet.Entity{Kind: "user", Key: user}, pipeline)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func items(p freshet.Prediction) string {
	var texts []string
	for _, i := range p.Items {
		texts = append(texts, fmt.Sprintf("%s %v", i.ID, i.Score))
	}
	return strings.Join(texts, ", ")
}

func TestAnEventBecomesAPrediction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, shopFiles)
		defer w.stop()
		w.send("view", "u1", "b", "")
		// b was seen and is not kept; c and a are left, d is third.
		p := w.get("u1", "next")
		if items(p) != "c 2, a 1" {
			t.Errorf("items %s", items(p))
		}
		if p.Release != "r1" || p.EventID != "e1" || p.Cause.Offset != 1 || p.CreatedAt != freshet.TimestampOf(time.Now()) || p.ExpiresAt != p.CreatedAt.Add(time.Hour) {
			t.Errorf("it does not say where it is from: %+v", p)
		}
		if want := [][]float64{{2, 0}, {1, 0}}; !slices.EqualFunc(p.Explanation.Inputs, want, slices.Equal) {
			t.Errorf("inputs %v, want %v", p.Explanation.Inputs, want)
		}
		w.send("view", "u2", "d", "")
		if p = w.get("u2", "next"); items(p) != "b 12, c 2" {
			t.Errorf("items %s: what u1 did makes b popular", items(p))
		}
		time.Sleep(2 * time.Hour)
		if _, err := w.Predictions.Get(t.Context(), p.Entity, "next"); freshet.CodeOf(err) != freshet.NotFound {
			t.Errorf("two hours later: %v, want it expired", err)
		}
	})
}

func TestInputsComeFromEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, shopFiles)
		defer w.stop()
		w.send("view", "u1", "a", `,"price":0.5`)
		p := w.get("u1", "risk")
		if p.Outputs["risk"] != 1+100*30+10000*0.5 || len(p.Items) != 1 || p.Items[0].ID != "u1" {
			t.Errorf("%+v", p)
		}
		w.send("ping", "u2", "", "") // no row in the table, no price
		if p = w.get("u2", "risk"); p.Outputs["risk"] != -100 {
			t.Errorf("missing values: %+v", p)
		}
		if in := p.Explanation.Inputs[0]; in[0] != 0 || !math.IsNaN(in[1]) || !math.IsNaN(in[2]) {
			t.Errorf("inputs %v", in)
		}
		req := release.Request{Pipeline: "risk", Entity: p.Entity, Context: map[string]expression.Value{"boost": {Kind: expression.Number, Num: 4}}}
		if p, err := w.Predict(t.Context(), w.Live.Load(), req); err != nil || p.Outputs["risk"] != -98 {
			t.Errorf("with context: %+v, %v", p, err)
		}
		req.Context["boost"] = expression.Value{Kind: expression.String, Str: "4"}
		if _, err := w.Predict(t.Context(), w.Live.Load(), req); freshet.FieldOf(err) != "context.boost" {
			t.Errorf("a text for a number: %v", err)
		}
	})
}

func TestCandidatesOfARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, shopFiles)
		defer w.stop()
		user := freshet.Entity{Kind: "user", Key: "u9"}
		predict := func(top int, candidates ...release.Candidate) (string, error) {
			p, err := w.Predict(t.Context(), w.Live.Load(), release.Request{Pipeline: "next", Entity: user, Candidates: candidates, Top: top})
			return items(p), err
		}
		got, err := predict(9, release.Candidate{Key: "d"}, release.Candidate{Row: []byte(`{"item_id":"new","weight":7}`)}, release.Candidate{Key: "a"})
		if err != nil || got != "new 7, a 1, d 0.5" {
			t.Errorf("%s, %v", got, err)
		}
		if got, err := predict(0); err != nil || got != "b 2, c 2" { // equal scores: by id
			t.Errorf("%s, %v", got, err)
		}
		for name, candidates := range map[string][]release.Candidate{
			"an unknown id":    {{Key: "zz"}},
			"an id twice":      {{Key: "a"}, {Key: "a"}},
			"a wrong column":   {{Row: []byte(`{"item_id":"x","wight":7}`)}},
			"a row without id": {{Row: []byte(`{"weight":7}`)}},
		} {
			if _, err := predict(0, candidates...); freshet.CodeOf(err) != freshet.InvalidArgument {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := w.Predict(t.Context(), w.Live.Load(), release.Request{Pipeline: "none", Entity: user}); freshet.CodeOf(err) != freshet.NotFound {
			t.Errorf("unknown pipeline: %v", err)
		}
		if _, err := w.Predict(t.Context(), w.Live.Load(), release.Request{Pipeline: "next", Entity: freshet.Entity{Kind: "item", Key: "a"}}); freshet.FieldOf(err) != "entity" {
			t.Errorf("wrong entity: %v", err)
		}
	})
}

// TestAJobThatCannotSucceedBecomesADeadLetter uses a model that refuses missing values.
func TestAJobThatCannotSucceedBecomesADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := map[string]string{}
		for name, text := range shopFiles {
			files[name] = strings.ReplaceAll(text, `,"missing":-1`, "")
		}
		w := newWorld(t, files)
		defer w.stop()
		w.send("ping", "u2", "", "")
		letters, err := w.Jobs.DeadLetters(t.Context(), "", 10)
		if err != nil || len(letters) != 1 || !strings.Contains(letters[0].Reason, "age") {
			t.Fatalf("%+v, %v: want one that names the column", letters, err)
		}
		if s := w.Jobs.Stats(); s.Queued+s.Leased != 0 || s.Dead != 1 {
			t.Errorf("stats %+v", s)
		}
		w.send("ping", "u1", "", "") // others go on
		if p := w.get("u1", "risk"); p.Outputs["risk"] != 3000 {
			t.Errorf("%+v", p)
		}
	})
}

type scorer interface {
	Score(ctx context.Context, m *release.Model, in, out []float64) error
	Rank(ctx context.Context, m *release.Model, lists [][]float64, in, out []float64) error
}

// failing fails some times, in turn by an error and by a panic, before it scores.
type failing struct {
	scorer
	times int
}

func (f *failing) Score(ctx context.Context, m *release.Model, in, out []float64) error {
	if f.times > 0 {
		f.times--
		if f.times%2 == 0 {
			panic("out of luck")
		}
		return freshet.Errorf(freshet.Unavailable, "the model is away")
	}
	return f.scorer.Score(ctx, m, in, out)
}

func TestFailedAttemptsAreRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, shopFiles)
		defer w.stop()
		w.Models = &failing{scorer: w.Models, times: 2}
		w.send("ping", "u1", "", "")
		if _, err := w.Predictions.Get(t.Context(), freshet.Entity{Kind: "user", Key: "u1"}, "risk"); freshet.CodeOf(err) != freshet.NotFound {
			t.Fatalf("before the retry: %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if p := w.get("u1", "risk"); p.Outputs["risk"] != 3000 {
			t.Errorf("%+v", p)
		}
	})
}
