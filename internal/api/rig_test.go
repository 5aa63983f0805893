package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/delivery"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/internal/ondemand"
	"github.com/freshet-ml/freshet/internal/presence"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/pushtable"
	"github.com/freshet-ml/freshet/internal/reader"
	"github.com/freshet-ml/freshet/internal/refused"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/sweep"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/outbox/memoutbox"
	"github.com/freshet-ml/freshet/predictionstore"
	"github.com/freshet-ml/freshet/predictionstore/mempredictions"
	"github.com/freshet-ml/freshet/push"
	"github.com/freshet-ml/freshet/registry"
	"github.com/freshet-ml/freshet/registry/memregistry"
	"github.com/freshet-ml/freshet/tablestore"
	"github.com/freshet-ml/freshet/tablestore/memtables"
)

// testProject has what the tests need: two entities, one of them with a composite key, views, a table, two pipelines.
const testProject = `
project: calm
entities:
  user:    { key: user_id }
  content: { key: content_id }
  seat:    { key: [hall, row] }
events:
  play:
    keys: [user_id, content_id]
    fields: { category: string, seconds: float, completed: bool, level: int, at: time, tags: strings, v: vector 3 }
  search: { keys: [user_id], fields: { query: string } }
  taken:  { keys: [hall, row, user_id], fields: { price: float } }
views:
  session: { entity: user, from: play, window: lifetime, features: { plays: count(), recent: "last(content_id, 3)" } }
  popularity: { entity: content, from: play, window: lifetime, features: { starts: count() } }
  seats: { entity: seat, from: taken, window: lifetime, features: { sold: count(), revenue: sum(price) } }
tables:
  catalog: { entity: content, file: catalog.csv, columns: { title: string, minutes: float } }
  profile: { entity: user, file: profile.csv, columns: { tenure_days: int } }
  mood_now: { entity: user, push: true, columns: { stress: float, level: int, calm: bool, note: string, since: time, tags: strings } }
  seat_state: { entity: seat, push: true, columns: { taken: bool } }
models:
  ranker: { path: ranker.model }
pipelines:
  today:
    from: play
    entity: user
    candidates: catalog
    model: ranker
    inputs: { minutes: candidate.minutes, plays: session.plays }
    top: 2
    pull: { expires: 24h, flags: [today_tab, home] }
  mood:
    from: play
    entity: user
    model: ranker
    inputs: { minutes: "coalesce(context.minutes, 1)", plays: session.plays }
  hall:
    from: taken
    entity: seat
    model: ranker
    inputs: { minutes: "1", plays: seats.sold }
`

// fakeModel adds its inputs.
type fakeModel struct{}

func (fakeModel) Name() string                { return "fake" }
func (fakeModel) Recognizes(head []byte) bool { return bytes.HasPrefix(head, []byte("fake")) }
func (fakeModel) Open(dir fs.FS, name string) (modelruntime.Model, error) {
	text, err := modelruntime.ReadFile(dir, name)
	if bytes.HasPrefix(text, []byte("fake wide")) {
		return wideModel{}, err
	}
	return fakeModel{}, err
}
func (fakeModel) Signature() modelruntime.Signature {
	return modelruntime.Signature{Inputs: []modelruntime.Column{{Name: "minutes"}, {Name: "plays"}}, Outputs: []string{"score"}}
}
func (fakeModel) Predict(_ context.Context, inputs, outputs []float64) error {
	for i := range outputs {
		outputs[i] = inputs[2*i] + inputs[2*i+1]
	}
	return nil
}
func (fakeModel) Close() error { return nil }

// wideModel is a fakeModel that takes one input more.
type wideModel struct{ fakeModel }

func (wideModel) Signature() modelruntime.Signature {
	return modelruntime.Signature{Inputs: []modelruntime.Column{{Name: "minutes"}, {Name: "plays"}, {Name: "depth"}}, Outputs: []string{"score"}}
}

// openRelease opens the project text with its tables and model.
func openRelease(t testing.TB, text string) *release.Opened {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"freshet.yaml": text,
		"catalog.csv":  "content_id,title,minutes\nc1,Rain,10\nc2,Waves,20\nc3,Wind,30\n",
		"profile.csv":  "user_id,tenure_days\nu1,7\n",
		"ranker.model": "fake",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := project.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	rel, err := release.Open(p, []modelruntime.Runtime{fakeModel{}})
	if err != nil {
		t.Fatal(err)
	}
	rel.Name("r1", now)
	return rel
}

// now is the fixed clock of the tests: after all their events.
const now freshet.Timestamp = 1741003200000 + 60_000 // 2025-03-03T12:01:00Z

// rig is a door over memory drivers. What stands behind it is fake: values come from the log, predictions are made up.
type rig struct {
	t           testing.TB
	api         *API
	live        *release.Live
	log         *eventlog.Log
	rows        *memfeatures.Store
	tables      *pushtable.Tables
	jobs        *jobqueue.Queue
	predictions *predictionstore.Store
	back        *behind
	blobs       *registry.Registry
	models      *modelregistry.Models
	releases    *fakeReleases
	people      *outbox.Outbox
	hub         *presence.Hub
	check       bool // hold requests and answers against openapi.yaml
}

func newRig(t testing.TB, o Options) *rig { return newRigOf(t, testProject, o) }

func newRigOf(t testing.TB, text string, o Options) *rig {
	t.Helper()
	r := &rig{t: t, releases: &fakeReleases{}, live: new(release.Live), rows: memfeatures.New(), back: &behind{}, check: true}
	rel := openRelease(t, text)
	r.live.Store(rel)
	rel.Close() // its role holds it
	unpinned(t, r.live)
	r.log = eventlog.New(memlog.New(nil))
	r.tables = pushtable.New(tablestore.New(memtables.New(), &tablestore.Options{Now: func() time.Time { return now.Time() }}))
	r.jobs = jobqueue.New(memqueue.New(), &jobqueue.Options{Attempts: 1})
	clock := func() time.Time { return now.Time() }
	r.predictions = predictionstore.New(mempredictions.New(), &predictionstore.Options{Now: clock})
	r.blobs = registry.New(memregistry.New(), &registry.Options{Now: clock, MaxBlobBytes: 1 << 20})
	r.models = modelregistry.New(r.blobs, []modelruntime.Runtime{fakeModel{}})
	rows := featurestore.New(r.rows)
	people, err := outbox.New(t.Context(), memoutbox.New(), &outbox.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	r.people, r.hub = people, presence.NewHub()
	list, err := refused.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	deliverer := delivery.New(delivery.Deps{Outbox: people, Senders: delivery.Fixed{fakeSender{}}, Hub: r.hub, Metrics: delivery.NewMetrics(prometheus.NewRegistry()),
		Settings: func() delivery.Settings { return delivery.Settings{} }}, delivery.Options{Now: clock})
	r.api = New(Deps{
		People: people, Deliveries: deliverer, Hub: r.hub, Refused: list,
		Live: r.live, Log: r.log, Past: r.log, Rows: rows, Values: logValues{reader.New(rows, r.log), r.log}, Tables: r.tables, Jobs: r.jobs,
		Predictions: r.predictions, Predictor: r.back, Models: r.back, Streams: r.back, Sizes: r.back, Ready: r.back,
		Versions: r.models, Blobs: r.blobs, Loaded: ondemand.New(r.models, []modelruntime.Runtime{fakeModel{}}, ondemand.Options{}),
		Releases: r.releases,
		Now:      clock, Version: "test", Roles: []string{"api"},
	}, o)
	return r
}

// unpinned has the test fail if a request has not given back what it pinned: that release would never be closed.
func unpinned(t testing.TB, live *release.Live) {
	t.Cleanup(func() {
		if live.Store(nil); len(live.Set().Open()) > 0 {
			t.Error("a request has not given back the release that it pinned")
		}
	})
}

// fakeSender is one of APNs that sends nothing.
type fakeSender struct{}

func (fakeSender) Channel() push.Channel { return push.APNs }
func (fakeSender) Send(context.Context, push.Message) push.Result {
	return push.Result{Outcome: push.Sent}
}
func (fakeSender) CheckToken(token string) error {
	if token != "abcd" {
		return freshet.Errorf(freshet.InvalidArgument, "expected abcd")
	}
	return nil
}

// logValues computes values from the log, as if there were a receiver.
type logValues struct {
	*reader.Reader
	log *eventlog.Log
}

func (v logValues) Values(ctx context.Context, rel *release.Opened, views []*feature.View, key freshet.Key, at freshet.Timestamp, _ bool, dst []expression.Value) ([]expression.Value, error) {
	return v.Reader.Values(ctx, rel, views, key, at, true, dst)
}

func (v logValues) RowInfo(_ context.Context, _ *feature.View, key freshet.Key) (freshet.Timestamp, freshet.Offset, bool, error) {
	head := v.log.Head(freshet.PartitionOf(key))
	return now, head, head > 0, nil
}

// behind is what the server plugs in: predictor, streams and readiness.
type behind struct {
	mu         sync.Mutex
	backlogged string
	notReady   []string
	degraded   []string
	last       release.Request
	fail       error
	fallback   freshet.PipelineName // the one pipeline that has a fallback
}

func (b *behind) set(change func(*behind)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

func (b *behind) Predict(_ context.Context, rel *release.Opened, req release.Request) (freshet.Prediction, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = req
	if b.fail != nil {
		return freshet.Prediction{}, b.fail
	}
	p := freshet.Prediction{
		Pipeline: req.Pipeline, Entity: req.Entity, Items: []freshet.Item{{ID: "c1", Score: 0.75}}, Release: rel.ID(), Model: "ranker@1", CreatedAt: now,
	}
	if req.Explain {
		p.Explanation = &freshet.Explanation{Names: []string{"minutes"}, Inputs: [][]float64{{10}}}
	}
	return p, nil
}

// Score is that of the serving layer without its checks.
func (b *behind) Score(ctx context.Context, m *release.Model, inputs, outputs []float64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	return m.Predict(ctx, inputs, outputs)
}

func (b *behind) Fallback(_ context.Context, rel *release.Opened, req release.Request) (freshet.Prediction, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fallback != req.Pipeline {
		return freshet.Prediction{}, freshet.Errorf(freshet.NotFound, "no fallback")
	}
	p := freshet.Prediction{
		Pipeline: req.Pipeline, Entity: req.Entity, Items: []freshet.Item{{ID: "c1", Score: 9}}, Release: rel.ID(), CreatedAt: now,
		Fallback: true, FallbackCause: freshet.NoPrediction,
	}
	if req.Explain {
		p.Explanation = &freshet.Explanation{Inputs: [][]float64{nil}, Texts: map[string][]string{"user": {"u2"}, "recent": nil}, Reason: "nothing there"}
	}
	return p, nil
}

func (b *behind) Again(ctx context.Context, rel *release.Opened, was freshet.Prediction) (freshet.Prediction, error) {
	p, err := b.Predict(ctx, rel, release.Request{Pipeline: was.Pipeline, Entity: was.Entity, Explain: true})
	p.EventID, p.Cause, p.EventTime = was.EventID, was.Cause, was.EventTime
	return p, err
}

func (b *behind) Streams() []StreamStatus {
	return []StreamStatus{{Partition: 3, Head: 9, Applied: 7, Lag: 2, CheckpointAge: time.Second}}
}

func (b *behind) Backlogged() (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.backlogged, b.backlogged != ""
}

func (b *behind) Size(freshet.ViewID) sweep.Size {
	return sweep.Size{Rows: 4, Bytes: 1242, At: now.Time()}
}

func (b *behind) Degraded() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.degraded
}

func (b *behind) Ready() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.notReady
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) problem(t testing.TB) wireProblem {
	t.Helper()
	var p wireProblem
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("status %d with content type %q, expected a problem; body %.300s", a.status, got, a.body)
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	if p.Status != a.status || p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") {
		t.Errorf("problem %s does not fit status %d and request id %q", a.body, a.status, a.header.Get("X-Request-Id"))
	}
	return p
}

type wireProblem struct {
	Status    int
	Code      freshet.Code
	Field     string
	Detail    string
	Errors    []wireRejection
	RequestID string `json:"request_id"`
}

type wireRejection struct {
	Index   int
	EventID string `json:"event_id"`
	Code    freshet.Code
	Field   string
	Detail  string
}

type wireEvents struct {
	Accepted, Duplicates int
	Rejected             []wireRejection
	Omitted              int `json:"rejected_omitted"`
	Position             string
}

func (a answer) events(t testing.TB) wireEvents {
	t.Helper()
	if a.status != http.StatusAccepted {
		t.Fatalf("status %d, expected 202: %.500s", a.status, a.body)
	}
	return decodeAnswer[wireEvents](t, a)
}

func decodeAnswer[T any](t testing.TB, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("status %d: %v in %.500s", a.status, err, a.body)
	}
	return v
}

// send makes one request through the handler. headers are name, value, name, value, …
func (r *rig) send(method, target, body string, headers ...string) answer {
	r.t.Helper()
	var from io.Reader
	if body != "" {
		from = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, target, from)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if body != "" && req.Header["Content-Type"] == nil {
		req.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	r.api.Handler().ServeHTTP(w, req)
	a := answer{w.Code, w.Header(), w.Body.Bytes()}
	if a.header.Get("X-Request-Id") == "" {
		r.t.Errorf("%s %s: no X-Request-Id", method, target)
	}
	if r.check {
		validate(r.t, req, body, a)
	}
	return a
}

func (r *rig) get(target string, headers ...string) answer {
	r.t.Helper()
	return r.send("GET", target, "", headers...)
}

func (r *rig) post(target, body string, headers ...string) answer {
	r.t.Helper()
	return r.send("POST", target, body, headers...)
}

// document is openapi.yaml, read once.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background(), openapi3.IsOpenAPI31OrLater())
})

var router = sync.OnceValues(func() (routers.Router, error) {
	doc, err := document()
	if err != nil {
		return nil, err
	}
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.RegisteredBodyDecoder("text/plain"))
	openapi3filter.RegisterBodyDecoder("application/x-tar", openapi3filter.FileBodyDecoder)
	openapi3filter.RegisterBodyDecoder("application/openmetrics-text", openapi3filter.RegisteredBodyDecoder("text/plain"))
	return gorillamux.NewRouter(doc)
})

// validate holds a request that was answered well, and any answer, against openapi.yaml.
func validate(t testing.TB, req *http.Request, body string, a answer) {
	t.Helper()
	r, err := router()
	if err != nil {
		t.Fatal(err)
	}
	route, params, err := r.FindRoute(req)
	if err != nil {
		return // no such route or method: nothing is said about it
	}
	req.Body = io.NopCloser(strings.NewReader(body))
	input := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{MultiError: true}}
	if a.status < 400 && req.Header.Get("Content-Encoding") == "" {
		if err := openapi3filter.ValidateRequest(req.Context(), input); err != nil {
			t.Errorf("%s %s was answered %d, but the request is not as openapi.yaml has it: %v\n%.300s", req.Method, req.URL, a.status, err, body)
		}
	}
	err = openapi3filter.ValidateResponse(req.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		t.Errorf("%s %s: the answer is not as openapi.yaml has it: %v\n%d %.500s", req.Method, req.URL, err, a.status, a.body)
	}
}

func play(id string, more ...string) string {
	return `{"event_id":"` + id + `","type":"play","user_id":"u1","content_id":"c1","event_time":"2025-03-03T12:00:00Z"` + strings.Join(append([]string{""}, more...), ",") + `}`
}

func TestRoutesAreThoseOfOpenAPI(t *testing.T) {
	t.Parallel()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	var described, registered []string
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		for method := range doc.Paths.Value(path).Operations() {
			described = append(described, method+" "+path)
		}
	}
	for _, r := range newRig(t, Options{}).api.routes() {
		registered = append(registered, r.method+" "+strings.Replace(r.path, "{$}", "", 1))
	}
	slices.Sort(described)
	slices.Sort(registered)
	if !slices.Equal(described, registered) {
		t.Errorf("openapi.yaml describes\n%s\nbut the routes are\n%s", strings.Join(described, "\n"), strings.Join(registered, "\n"))
	}
}

func TestCodesAreThoseOfOpenAPI(t *testing.T) {
	t.Parallel()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	var described []freshet.Code
	for _, code := range doc.Components.Schemas["Code"].Value.Enum {
		described = append(described, freshet.Code(code.(string)))
	}
	for _, code := range described {
		if s := statusOf(code); (s == http.StatusInternalServerError) != (code == freshet.Internal) {
			t.Errorf("code %s is answered with status %d", code, s)
		}
	}
	if len(described) != 13 {
		t.Errorf("%d codes are described, expected the 13 of package freshet", len(described))
	}
}
