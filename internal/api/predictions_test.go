package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-ml/freshet"
)

type wirePrediction struct {
	Pipeline string
	Entity   map[string]string
	Items    []struct {
		ID     string
		Score  *float64
		Inputs map[string]*float64
	}
	Outputs   map[string]*float64
	Release   string
	Model     string
	EventID   string `json:"event_id"`
	Offset    *freshet.Place
	EventTime *string `json:"event_time"`
	CreatedAt string  `json:"created_at"`
	ExpiresAt *string `json:"expires_at"`
	Fallback  *bool
	Stale     bool
	Stored    *bool
}

type wirePredictions struct {
	Predictions map[string]wirePrediction
	Unknown     []string
	Stale       bool
}

func userPrediction(pipeline freshet.PipelineName) freshet.Prediction {
	return freshet.Prediction{
		Pipeline: pipeline, Entity: freshet.Entity{Kind: "user", Key: "u1"},
		Items: []freshet.Item{{ID: "c2", Score: 0.83}, {ID: "c1", Score: math.NaN()}}, Outputs: map[string]float64{"b": 1, "a": math.Inf(1)},
		Release: "r1", Model: "ranker@7", EventID: "e1", Cause: freshet.Place{Partition: freshet.PartitionOf("u1"), Offset: 12},
		EventTime: now - 60_000, CreatedAt: now - 50_000, ExpiresAt: now + 1,
		Explanation: &freshet.Explanation{Names: []string{"minutes", "plays"}, Inputs: [][]float64{{10, math.NaN()}, {20, 3}}},
	}
}

func (r *rig) keep(p freshet.Prediction) {
	r.t.Helper()
	if _, err := r.predictions.Put(context.Background(), p); err != nil {
		r.t.Fatal(err)
	}
}

func TestStoredPrediction(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.keep(userPrediction("today"))
	for _, target := range []string{"/v1/users/u1/predictions/today", "/v1/entities/user/u1/predictions/today", "/v1/users/%75%31/predictions/today"} {
		a := r.get(target)
		const want = `{"pipeline":"today","entity":{"user_id":"u1"},"items":[{"id":"c2","score":0.83},{"id":"c1","score":null}],` +
			`"outputs":{"a":null,"b":1},"release":"r1","model":"ranker@7","event_id":"e1","offset":{"partition":%d,"offset":12},` +
			`"event_time":"2025-03-03T12:00:00.000Z","created_at":"2025-03-03T12:00:10.000Z","expires_at":"2025-03-03T12:01:00.001Z","fallback":false}`
		if got := string(a.body); got != fmt.Sprintf(want, freshet.PartitionOf("u1")) {
			t.Errorf("%s: got %d %s", target, a.status, got)
		}
	}
	explained := decodeAnswer[wirePrediction](t, r.get("/v1/users/u1/predictions/today?explain=true"))
	if in := explained.Items[0].Inputs; len(in) != 2 || *in["minutes"] != 10 || in["plays"] != nil {
		t.Errorf("inputs of the first item: %v", in)
	}
	if a := r.get("/v1/users/u2/predictions/today"); a.status != 404 || a.problem(t).Code != freshet.NotFound {
		t.Errorf("somebody without one: %s", a.body)
	}
}

func TestPredictionsByFlag(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.keep(userPrediction("today"))
	for _, test := range []struct{ query, predictions, unknown string }{
		{"", "today", "[]"},
		{"?flags=today", "today", "[]"},
		{"?flags=home,today_tab,mood,nothing,hall,home", "home today_tab", "[nothing hall]"},
	} {
		got := decodeAnswer[wirePredictions](t, r.get("/v1/users/u1/predictions"+test.query))
		if len(got.Predictions) != len(strings.Fields(test.predictions)) || fmt.Sprint(got.Unknown) != test.unknown || got.Unknown == nil {
			t.Errorf("%s: got %+v", test.query, got)
		}
		for _, name := range strings.Fields(test.predictions) {
			if got.Predictions[name].Pipeline != "today" {
				t.Errorf("%s: %s is %+v", test.query, name, got.Predictions[name])
			}
		}
	}
	if got := decodeAnswer[wirePredictions](t, r.get("/v1/users/nobody/predictions?flags=today")); len(got.Predictions) != 0 || len(got.Unknown) != 0 {
		t.Errorf("nobody: %+v", got)
	}
}

func TestFallbackForWhomNothingIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.back.set(func(b *behind) { b.fallback = "today" })
	const plain = `{"pipeline":"today","entity":{"user_id":"u2"},"items":[{"id":"c1","score":9}],"release":"r1","model":"",` +
		`"created_at":"2025-03-03T12:01:00.000Z","fallback":true,"fallback_cause":"no_prediction"`
	a := r.get("/v1/users/u2/predictions/today")
	if want := plain + "}"; want != string(a.body) {
		t.Errorf("got %d %s", a.status, a.body)
	}
	a = r.get("/v1/users/u2/predictions/today?explain=true")
	const explained = `,"fallback_reason":"nothing there","texts":{"recent":[],"user":["u2"]}}`
	if want := strings.Replace(plain, `"score":9}`, `"score":9,"inputs":{}}`, 1) + explained; want != string(a.body) {
		t.Errorf("got %d %s, want %s", a.status, a.body, want)
	}
	both := r.get("/v1/users/u2/predictions?flags=today,mood,today_tab")
	if want := fmt.Sprintf(`{"predictions":{"today":%s},"today_tab":%[1]s}},"unknown":[]}`, plain); want != string(both.body) {
		t.Errorf("got %d %s", both.status, both.body)
	}
	r.keep(userPrediction("today"))
	if got := decodeAnswer[wirePrediction](t, r.get("/v1/users/u1/predictions/today")); *got.Fallback {
		t.Errorf("a fallback although something is stored: %+v", got)
	}
}

func TestPredictionOfACompositeKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	p := userPrediction("hall")
	p.Entity = freshet.Entity{Kind: "seat", Key: freshet.JoinKey("a,b", "7/8")}
	p.Cause.Partition = freshet.PartitionOf(p.Entity.Key)
	r.keep(p)
	r.check = false // the router of the validator splits at the escaped slash
	got := decodeAnswer[wirePrediction](t, r.get("/v1/entities/seat/a%2Cb,7%2F8/predictions/hall"))
	if fmt.Sprint(got.Entity) != "map[hall:a,b row:7/8]" {
		t.Errorf("got %+v", got)
	}
	if all := decodeAnswer[wirePredictions](t, r.get("/v1/entities/seat/a%2Cb,7%2F8/predictions")); len(all.Predictions) != 1 {
		t.Errorf("got %+v", all)
	}
}

func TestPredictionRequestsThatAreWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	for _, test := range []struct {
		target, field, words string
		status               int
	}{
		{"/v1/users/u1/predictions/tody", "pipeline", "today", 404},
		{"/v1/users/u1/predictions/hall", "pipeline", "seat", 404},
		{"/v1/entities/usr/u1/predictions/today", "kind", "user", 404},
		{"/v1/entities/seat/a/predictions", "key", "hall, row", 400},
		{"/v1/entities/seat/a,/predictions", "row", "1 to 256", 400},
		{"/v1/users/" + strings.Repeat("x", 257) + "/predictions", "user_id", "257", 400},
		{"/v1/users/u1/predictions?flag=today", "flag", "flags", 400},
		{"/v1/users/u1/predictions?flags=", "flags", "empty", 400},
		{"/v1/users/u1/predictions?flags=" + strings.Repeat("x,", 100) + "x", "flags", "100", 400},
		{"/v1/users/u1/predictions?explain=true", "explain", "unknown", 400},
		{"/v1/users/u1/predictions/today?explain=yes", "explain", "true or false", 400},
		{"/v1/users/u1/predictions/today?wait=1s", "wait", "after", 400},
	} {
		a := r.get(test.target)
		if p := a.problem(t); a.status != test.status || p.Field != test.field || !strings.Contains(p.Detail, test.words) {
			t.Errorf("%.80s: got %s, expected %d, field %q, %q", test.target, a.body, test.status, test.field, test.words)
		}
	}
}

func TestPredictionsWaitForTheirJobs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.check = false
		ctx := context.Background()
		u1 := freshet.Entity{Kind: "user", Key: "u1"}
		position := r.post("/v1/events", play("e1")).events(t).Position
		cause := freshet.Place{Partition: freshet.PartitionOf("u1"), Offset: r.log.Head(freshet.PartitionOf("u1"))}
		old := userPrediction("today")
		old.Cause.Offset = 0
		old.Cause.Partition = 0
		r.keep(old)

		start := time.Now()
		got := decodeAnswer[wirePrediction](t, r.get("/v1/users/u1/predictions/today?wait=500ms&after="+position))
		if !got.Stale || time.Since(start) != 500*time.Millisecond {
			t.Errorf("nothing happens: %+v after %v, expected the old one, stale", got, time.Since(start))
		}
		// A job that comes, is worked on, and ends well.
		start = time.Now()
		jobs := []freshet.Job{{ID: freshet.MakeJobID("today", cause), Pipeline: "today", Entity: u1, EventID: "e1", EventTime: now, Cause: cause}}
		time.AfterFunc(time.Second, func() {
			if err := r.jobs.Enqueue(ctx, cause.Partition, 1, cause.Offset, jobs); err != nil {
				t.Error(err)
			}
		})
		time.AfterFunc(2*time.Second, func() {
			leases, err := r.jobs.Lease(ctx, 1)
			if err != nil {
				t.Error(err)
				return
			}
			done := userPrediction("today")
			done.Cause = cause
			r.keep(done)
			if err := r.jobs.Ack(ctx, leases[0], "r1"); err != nil {
				t.Error(err)
			}
		})
		got = decodeAnswer[wirePrediction](t, r.get("/v1/users/u1/predictions/today?wait=5s&after="+position))
		if got.Stale || got.EventID != "e1" || time.Since(start) != 2*time.Second {
			t.Errorf("made after two seconds: %+v after %v", got, time.Since(start))
		}
		// No job was due for the other pipeline.
		all := decodeAnswer[wirePredictions](t, r.get("/v1/users/u1/predictions?flags=today_tab,mood&wait=5s&after="+position))
		if all.Stale || len(all.Predictions) != 1 {
			t.Errorf("both: %+v", all)
		}
		// A job that becomes a dead letter.
		next := freshet.Place{Partition: cause.Partition, Offset: cause.Offset + 1}
		var later freshet.Position
		later.Cover(next)
		failing := []freshet.Job{{ID: freshet.MakeJobID("today", next), Pipeline: "today", Entity: u1, EventID: "e2", EventTime: now, Cause: next}}
		if err := r.jobs.Enqueue(ctx, next.Partition, 1, next.Offset, failing); err != nil {
			t.Fatal(err)
		}
		leases, err := r.jobs.Lease(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.jobs.Fail(ctx, leases[0], "r1", freshet.Errorf(freshet.InvalidArgument, "no such column")); err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		all = decodeAnswer[wirePredictions](t, r.get("/v1/users/u1/predictions?wait=5s&after="+later.String()))
		if !all.Stale || !all.Predictions["today"].Stale || time.Since(start) != 0 {
			t.Errorf("a dead letter: %+v after %v, expected the one before, stale, at once", all, time.Since(start))
		}
		letters := r.get("/v1/dead-letters")
		if !strings.Contains(string(letters.body), "no such column") || !strings.Contains(string(letters.body), `"event_id":"e2"`) {
			t.Errorf("dead letters: %s", letters.body)
		}
	})
}

func TestPredictNow(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	got := decodeAnswer[wirePrediction](t, r.post("/v1/predict/today?explain=true",
		`{"entity":{"user_id":42},"context":{"hour":7,"mood":"calm","new":true,"none":null},"candidates":["c1",2,{"content_id":"new","minutes":5}],"top":3,"store":true}`))
	if got.Pipeline != "today" || got.Entity["user_id"] != "42" || len(got.Items) != 1 || *got.Items[0].Inputs["minutes"] != 10 ||
		got.Stored == nil || !*got.Stored || got.Offset != nil || got.EventTime != nil {
		t.Errorf("got %+v", got)
	}
	req := r.back.last
	if req.Pipeline != "today" || req.Entity != (freshet.Entity{Kind: "user", Key: "42"}) || req.Top != 3 || !req.Explain || len(req.Context) != 4 ||
		len(req.Candidates) != 3 || req.Candidates[1].Key != "2" || string(req.Candidates[2].Row) != `{"content_id":"new","minutes":5}` {
		t.Errorf("the predictor was asked %+v", req)
	}
	if a := r.get("/v1/users/42/predictions/today"); a.status != 200 {
		t.Errorf("not stored: %s", a.body)
	}
	plain := decodeAnswer[wirePrediction](t, r.post("/v1/predict/mood", `{"entity":{"user_id":"u1"}}`))
	if plain.Stored != nil || plain.Items[0].Inputs != nil || r.back.last.Candidates != nil || r.back.last.Top != 0 {
		t.Errorf("got %+v, asked %+v", plain, r.back.last)
	}
	if a := r.get("/v1/users/u1/predictions/mood"); a.status != 404 {
		t.Errorf("stored without being asked: %s", a.body)
	}
}

func TestPredictRequestsThatAreWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	for _, test := range []struct {
		target, body, field, words string
		status                     int
	}{
		{"tody", `{}`, "pipeline", "today", 404},
		{"today", `{}`, "entity", "user_id", 400},
		{"today", `{"entity":{}}`, "user_id", "missing", 400},
		{"today", `{"entity":{"user_id":"u1","content_id":"c1"}}`, "content_id", "user_id", 400},
		{"today", `{"entity":{"user_id":["u1"]}}`, "user_id", "integer", 400},
		{"today", `{"entity":"u1"}`, "entity", "object", 400},
		{"today", `{"entity":{"user_id":"u1"},"tops":3}`, "tops", "unknown", 400},
		{"today", `{"entity":{"user_id":"u1"},"top":0}`, "top", "1", 400},
		{"today", `{"entity":{"user_id":"u1"},"top":1.5}`, "top", "whole number", 400},
		{"today", `{"entity":{"user_id":"u1"},"context":{"x":[1]}}`, "context.x", "number", 400},
		{"today", `{"entity":{"user_id":"u1"},"candidates":[true]}`, "candidates", "candidates[0]", 400},
		{"today", `{"entity":{"user_id":"u1"},"candidates":[null]}`, "candidates", "candidates[0]", 400},
		{"today", `{"entity":{"user_id":"u1"},"candidates":["` + strings.Repeat(`","`, 10_000) + `"]}`, "candidates", "10000", 413},
		{"mood", `{"entity":{"user_id":"u1"},"candidates":["c1"]}`, "candidates", "table", 400},
		{"today?explain=1", `{}`, "explain", "true or false", 400},
	} {
		a := r.post("/v1/predict/"+test.target, test.body)
		if p := a.problem(t); a.status != test.status || p.Field != test.field || !strings.Contains(p.Detail, test.words) {
			t.Errorf("%s %.80s: got %s, expected %d, field %q, %q", test.target, test.body, a.body, test.status, test.field, test.words)
		}
	}
}

func TestFaultsShowNoDetail(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.back.set(func(b *behind) { b.fail = errors.New("secret table is corrupt") })
	a := r.post("/v1/predict/mood", `{"entity":{"user_id":"u1"}}`, "X-Request-Id", "my-request")
	if p := a.problem(t); a.status != 500 || p.Code != freshet.Internal || strings.Contains(string(a.body), "secret") || p.RequestID != "my-request" {
		t.Errorf("got %s", a.body)
	}
	if status := r.get("/v1/status"); !strings.Contains(string(status.body), `"request_id":"my-request"`) {
		t.Errorf("the status does not name the request: %s", status.body)
	}
	r.back.set(func(b *behind) { b.fail = context.DeadlineExceeded })
	if a := r.post("/v1/predict/mood", `{"entity":{"user_id":"u1"}}`); a.status != 504 || a.problem(t).Code != freshet.DeadlineExceeded {
		t.Errorf("got %s", a.body)
	}
}

// TestEveryDoorNamesTheRelease (promise P3): what is served says which release it is of, whatever the protocol.
func TestEveryDoorNamesTheRelease(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.post("/v1/events", play("e1")).events(t)
	for _, c := range []struct{ path, body string }{
		{"/get-online-features", `{"entities":{"user_id":["u1"]},"features":["session:plays"]}`},
		{"/BatchGetRecord", `{"Identifiers":[{"FeatureGroupName":"session","RecordIdentifiersValueAsString":["u1"]}]}`},
		{"/invocations", `{"inputs":[[1,2]]}`},
		{"/v2/models/ranker/infer", `{"inputs":[{"name":"x","datatype":"FP64","shape":[1,2],"data":[1,2]}]}`},
		{"/v1/predict/today", `{"entity":{"user_id":"u1"}}`},
		{"/v1/features", `{"features":["session.plays"],"entities":[{"user_id":"u1"}]}`},
	} {
		a := r.post(c.path, c.body)
		if a.status != 200 || a.header.Get(releaseHeader) != "r1" && !strings.Contains(string(a.body), `"release":"r1"`) {
			t.Errorf("%s: %d %v %s", c.path, a.status, a.header, a.body)
		}
	}
	for _, path := range []string{"/FeatureGroup/session?RecordIdentifierValueAsString=u1", "/v1/features/session?user_id=u1"} {
		a := r.get(path)
		if a.status != 200 || a.header.Get(releaseHeader) != "r1" && !strings.Contains(string(a.body), `"release":"r1"`) {
			t.Errorf("%s: %d %v %s", path, a.status, a.header, a.body)
		}
	}
}
