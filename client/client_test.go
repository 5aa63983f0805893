package client_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

// seen is the last request that a fake server got.
type seen struct {
	method, uri, body string
	header            http.Header
}

// setup starts a server that gives one answer to everything.
func setup(t *testing.T, status int, contentType, answer string) (*client.Client, *seen) {
	t.Helper()
	s := &seen{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Errorf("the body is no gzip: %v", err)
				return
			}
			body = z
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Errorf("reading the body: %v", err)
		}
		*s = seen{method: r.Method, uri: r.RequestURI, body: string(b), header: r.Header.Clone()}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Request-Id", "req-1")
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "2")
		}
		w.WriteHeader(status)
		io.WriteString(w, answer)
	}))
	t.Cleanup(srv.Close)
	c, err := client.New(srv.URL, &client.Options{Key: "k1", UserAgent: "tests"})
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

func TestNewRefusesWhatIsNoServer(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "127.0.0.1:8787", "localhost", "ftp://x", "http://", "http://x?q=1", "http://x y/"} {
		_, err := client.New(bad, nil)
		if freshet.CodeOf(err) != freshet.InvalidArgument || freshet.FieldOf(err) != "server" {
			t.Errorf("New(%q) = %v; want invalid_argument of field server", bad, err)
		}
	}
	c, err := client.New("https://host/prefix/", nil)
	if err != nil || c.URL() != "https://host/prefix" {
		t.Errorf("URL = %q, %v", c.URL(), err)
	}
}

func TestSendEvents(t *testing.T) {
	t.Parallel()
	c, s := setup(t, 202, "application/json", `{"accepted":98,"duplicates":1,"rejected":[{"index":7,"event_id":"e7",
		"code":"invalid_argument","field":"seconds","detail":"seconds: expected a float"}],"position":"AwU"}`)
	got, err := c.SendEvents(t.Context(), client.NDJSON, []byte("{}\n{}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := client.EventsResult{Accepted: 98, Duplicates: 1, Position: "AwU", Rejected: []client.Rejection{
		{Index: 7, EventID: "e7", Code: freshet.InvalidArgument, Field: "seconds", Detail: "seconds: expected a float"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if s.method != "POST" || s.uri != "/v1/events" || s.body != "{}\n{}\n" {
		t.Errorf("sent %s %s %q", s.method, s.uri, s.body)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/x-ndjson", "Authorization": "Bearer k1", "User-Agent": "tests",
	} {
		if s.header.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, s.header.Get(name), value)
		}
	}
}

func TestSendWritesOneObjectALine(t *testing.T) {
	t.Parallel()
	c, s := setup(t, 202, "application/json", `{"accepted":2}`)
	type play struct {
		Type string `json:"type"`
	}
	if _, err := c.Send(t.Context(), play{"play"}, map[string]any{"type": "search"}); err != nil {
		t.Fatal(err)
	}
	if s.body != "{\"type\":\"play\"}\n{\"type\":\"search\"}\n" {
		t.Errorf("sent %q", s.body)
	}
	if _, err := c.Send(t.Context(), func() {}); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Errorf("an event that is no JSON: %v", err)
	}
}

func TestLargeBodiesGoCompressed(t *testing.T) {
	t.Parallel()
	c, s := setup(t, 202, "application/json", `{"accepted":1}`)
	for range 2 { // the second time with a used writer
		body := strings.Repeat(`{"type":"play"}`+"\n", 10_000)
		if _, err := c.SendEvents(t.Context(), client.NDJSON, []byte(body)); err != nil {
			t.Fatal(err)
		}
		if s.header.Get("Content-Encoding") != "gzip" || s.body != body {
			t.Errorf("sent %d bytes with encoding %q", len(s.body), s.header.Get("Content-Encoding"))
		}
	}
}

func TestNothingAccepted(t *testing.T) {
	t.Parallel()
	c, _ := setup(t, 422, "application/problem+json", `{"type":"about:blank","title":"x","status":422,
		"detail":"none of 2 events was accepted","code":"unprocessable","errors":[
		{"index":0,"code":"invalid_argument","field":"type","detail":"type: unknown"},{"index":1,"code":"invalid_argument","detail":"no JSON"}]}`)
	got, err := c.SendEvents(t.Context(), client.NDJSON, []byte("x\ny\n"))
	if freshet.CodeOf(err) != freshet.Unprocessable || len(got.Rejected) != 2 || got.Rejected[0].Field != "type" {
		t.Errorf("got %+v, %v", got, err)
	}

	c, _ = setup(t, 422, "application/problem+json", `{"detail":"seconds: expected a float","code":"unprocessable","field":"seconds"}`)
	got, err = c.SendEvents(t.Context(), client.JSON, []byte("{}"))
	if freshet.FieldOf(err) != "seconds" || len(got.Rejected) != 1 || got.Rejected[0].Field != "seconds" {
		t.Errorf("a single event: got %+v, %v", got, err)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	const problem = "application/problem+json"
	for _, tt := range []struct {
		name, contentType, answer string
		status                    int
		code                      freshet.Code
		field, message            string
	}{
		{"document", problem, `{"detail":"view: no such view \"sesion\"","code":"not_found","field":"view"}`, 404,
			freshet.NotFound, "view", `view: no such view "sesion"`},
		{"title only", problem, `{"title":"Conflict"}`, 409, freshet.Conflict, "", "Conflict"},
		{"new code", problem, `{"detail":"d","code":"teapot"}`, 412, freshet.PreconditionFailed, "", "d"},
		{"server's fault", problem, `{"detail":"internal error","code":"internal","request_id":"r9"}`, 500,
			freshet.Internal, "", "internal error (request r9)"},
		{"a proxy", "text/html", `<h1>Bad Gateway</h1>`, 502, freshet.Unavailable, "", "502 Bad Gateway"},
		{"another server", "text/plain", `404 page not found`, 404, freshet.NotFound, "", "is a Freshet server"},
		{"broken document", problem, `{"detail":`, 400, freshet.InvalidArgument, "", "400 Bad Request"},
		{"no key", problem, `{"detail":"d"}`, 401, freshet.Unauthenticated, "", "d"},
		{"wrong method", problem, `{"detail":"d"}`, 405, freshet.InvalidArgument, "", "d"},
		{"behind", problem, `{"detail":"d","code":"resource_exhausted"}`, 429, freshet.ResourceExhausted, "", "d"},
		{"late", problem, `{"detail":"d"}`, 504, freshet.DeadlineExceeded, "", "d"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, _ := setup(t, tt.status, tt.contentType, tt.answer)
			_, err := c.GetFeatures(t.Context(), "session", map[string]string{"user_id": "u1"}, nil)
			if err == nil {
				t.Fatal("no error")
			}
			if freshet.CodeOf(err) != tt.code || freshet.FieldOf(err) != tt.field || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("got %s of %q: %v", freshet.CodeOf(err), freshet.FieldOf(err), err)
			}
			p, ok := errors.AsType[*client.Problem](err)
			if !ok || p.Status != tt.status {
				t.Fatalf("problem %+v", p)
			}
			if tt.status == 429 && p.After != 2*time.Second {
				t.Errorf("After = %v", p.After)
			}
		})
	}
}

func TestRedirectIsAnErrorThatNamesTheTarget(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.RedirectHandler("https://elsewhere.test/", http.StatusMovedPermanently))
	defer srv.Close()
	c, err := client.New(srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "https://elsewhere.test/") {
		t.Errorf("got %v", err)
	}
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	c, err := client.New(srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Ready(t.Context())
	if freshet.CodeOf(err) != freshet.Unavailable || !strings.Contains(err.Error(), srv.URL) ||
		!strings.Contains(err.Error(), "freshet serve") {
		t.Errorf("got %s: %v", freshet.CodeOf(err), err)
	}
}

func TestContextEndsACall(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer srv.Close()
	c, err := client.New(srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := c.Ready(late); freshet.CodeOf(err) != freshet.DeadlineExceeded {
		t.Errorf("deadline: %s %v", freshet.CodeOf(err), err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Ready(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		block := make([]byte, 1<<20)
		for range 80 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	c, err := client.New(srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); freshet.CodeOf(err) != freshet.TooLarge {
		t.Errorf("got %v", err)
	}
}

func TestAnswerThatIsNoJSON(t *testing.T) {
	t.Parallel()
	c, _ := setup(t, 200, "text/html", "<html>")
	if _, err := c.Status(t.Context()); freshet.CodeOf(err) != freshet.Internal || !strings.Contains(err.Error(), "Freshet server") {
		t.Errorf("got %v", err)
	}
}

func TestGetFeatures(t *testing.T) {
	t.Parallel()
	c, s := setup(t, 200, "application/json", `{"view":"session","entity":{"user_id":"u1"},"at":"2025-03-03T12:00:00.000Z",
		"features":{"plays":3,"rate":null,"recent":["c1"]},"event_time":null,"offset":17,"release":"r1"}`)
	got, err := c.GetFeatures(t.Context(), "session", map[string]string{"user_id": "u 1"}, &client.FeatureOptions{
		At: time.UnixMilli(1741003200123).UTC(), AsOf: client.AsOfKnown, After: "AwU", Wait: 500 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := client.Features{View: "session", Entity: map[string]string{"user_id": "u1"}, At: 1741003200000,
		Features: map[string]any{"plays": 3.0, "rate": nil, "recent": []any{"c1"}}, Offset: 17, Release: "r1"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if s.uri != "/v1/features/session?after=AwU&as_of=known&at=2025-03-03T12%3A00%3A00.123Z&user_id=u+1&wait=500ms" {
		t.Errorf("asked %s", s.uri)
	}
}

func TestBatchFeatures(t *testing.T) {
	t.Parallel()
	c, s := setup(t, 200, "application/json",
		`{"names":["session.plays","p.days"],"columns":[[3,0],[null,7]],"at":"2025-03-03T12:00:00.000Z","release":"r1"}`)
	got, err := c.BatchFeatures(t.Context(), client.FeatureBatch{
		Features:       []string{"session.plays", "p"},
		Entities:       []map[string]string{{"user_id": "u1"}, {"user_id": "u2"}},
		FeatureOptions: client.FeatureOptions{At: time.UnixMilli(0).UTC(), Wait: time.Second, After: "AwU"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Names) != 2 || !reflect.DeepEqual(got.Columns, [][]any{{3.0, 0.0}, {nil, 7.0}}) || got.Release != "r1" {
		t.Errorf("got %+v", got)
	}
	want := `{"features":["session.plays","p"],"entities":[{"user_id":"u1"},{"user_id":"u2"}],"at":"1970-01-01T00:00:00.000Z"}`
	if s.uri != "/v1/features?after=AwU&wait=1s" || s.body != want {
		t.Errorf("asked %s %s", s.uri, s.body)
	}
}

const prediction = `{"pipeline":"today","entity":{"user_id":"u1"},"items":[{"id":"c17","score":0.83}],"release":"r12",
	"model":"ranker@7","event_id":"e1","offset":{"partition":3,"offset":9120},"event_time":"2025-03-03T12:00:00.000Z",
	"created_at":"2025-03-03T12:00:00.002Z","expires_at":"2025-03-04T12:00:00.000Z","fallback":false,"stale":true}`

func TestGetPrediction(t *testing.T) {
	t.Parallel()
	c, s := setup(t, 200, "application/json", prediction)
	for _, tt := range []struct {
		entity client.Entity
		uri    string
	}{
		{client.User("u1"), "/v1/entities/user/u1/predictions/today"},
		{client.User("a/b,c%"), "/v1/entities/user/a%2Fb%2Cc%25/predictions/today"},
		{client.User(".."), "/v1/entities/user/%2E%2E/predictions/today"},
		{client.Entity{Kind: "pair", Key: []string{"u,1", "c 2"}}, "/v1/entities/pair/u%2C1,c%202/predictions/today"},
	} {
		got, err := c.GetPrediction(t.Context(), tt.entity, "today", nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.uri != tt.uri {
			t.Errorf("%v: asked %s, want %s", tt.entity, s.uri, tt.uri)
		}
		if got.Items[0].ID != "c17" || got.Offset.Offset != 9120 || !got.Stale || got.CreatedAt.Sub(*got.EventTime) != 2*time.Millisecond {
			t.Errorf("got %+v", got)
		}
	}
	if _, err := c.GetPrediction(t.Context(), client.User("u1"), "today",
		&client.PredictionOptions{After: "AwU", Wait: 5 * time.Second, Explain: true}); err != nil {
		t.Fatal(err)
	}
	if s.uri != "/v1/entities/user/u1/predictions/today?after=AwU&explain=true&wait=5s" {
		t.Errorf("asked %s", s.uri)
	}
	for _, e := range []client.Entity{{}, client.User(""), {Kind: "user"}} {
		if _, err := c.GetPrediction(t.Context(), e, "today", nil); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%v: %v", e, err)
		}
	}
}

func TestListPredictions(t *testing.T) {
	t.Parallel()
	c, s := setup(t, 200, "application/json", `{"predictions":{"today_tab":`+prediction+`},"unknown":["nope"]}`)
	got, err := c.ListPredictions(t.Context(), client.User("u1"), []string{"today_tab", "nope"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Predictions["today_tab"].Release != "r12" || len(got.Unknown) != 1 {
		t.Errorf("got %+v", got)
	}
	if s.uri != "/v1/entities/user/u1/predictions?flags=today_tab%2Cnope" {
		t.Errorf("asked %s", s.uri)
	}
}

func TestPredict(t *testing.T) {
	t.Parallel()
	c, s := setup(t, 200, "application/json", prediction)
	got, err := c.Predict(t.Context(), "today", client.PredictRequest{
		Entity: map[string]string{"user_id": "u1"}, Candidates: []any{"c1", map[string]any{"minutes": 5}}, Top: 3, Explain: true,
	})
	if err != nil || got.Pipeline != "today" {
		t.Fatalf("got %+v, %v", got, err)
	}
	want := `{"entity":{"user_id":"u1"},"candidates":["c1",{"minutes":5}],"top":3}`
	if s.uri != "/v1/predict/today?explain=true" || s.body != want {
		t.Errorf("asked %s %s", s.uri, s.body)
	}
}

func TestStatusAndStreams(t *testing.T) {
	t.Parallel()
	c, s := setup(t, 200, "application/json", `{"roles":["api"]}`)
	for path, read := range map[string]func(context.Context) (json.RawMessage, error){
		"/v1/status": c.Status, "/v1/streams": c.Streams,
	} {
		got, err := read(t.Context())
		if err != nil || string(got) != `{"roles":["api"]}` || s.uri != path {
			t.Errorf("%s: got %s, %v; asked %s", path, got, err, s.uri)
		}
	}
}
