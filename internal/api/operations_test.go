package api

import (
	"context"
	"io"
	"io/fs"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

func TestOperationsPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	for target, words := range map[string][]string{
		"/healthz":    {`"ok"`},
		"/readyz":     {`"ready"`},
		"/v1/streams": {`"partition":3`, `"lag":2`, `"checkpoint_age_seconds":1`},
		"/v1/status": {`"project":"calm"`, `"serving":"r1"`, `"roles":["api"]`, `"events":2`, `"ready":true`, `"last_errors":[]`,
			`{"view":"session","entity":"user","rows":4,"bytes":1242,"bytes_per_row":310.5,"counted_at":"2025-03-03T12:01:00.000Z"}`},
		"/v1/dead-letters": {`{"dead_letters":[]}`},
		"/openapi.yaml":    {"openapi: 3.1.0"},
		"/":                {"project calm, release r1", "/v1/events"},
		"/metrics":         {"freshet_events_accepted_total 0", `freshet_events_rejected_total{code="invalid_argument"} 0`, "go_goroutines"},
	} {
		a := r.get(target)
		for _, word := range words {
			if a.status != 200 || !strings.Contains(string(a.body), word) {
				t.Errorf("%s: %d without %q in %.2000s", target, a.status, word, a.body)
			}
		}
	}
}

func TestNotReadySaysWhy(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.back.set(func(b *behind) { b.degraded = []string{"push.apns.key: missing"} })
	r.wantBody(r.get("/readyz"), 200, `{"status":"ready","degraded":["push.apns.key: missing"]}`)
	r.back.set(func(b *behind) { b.notReady = []string{"3 partitions recover", "no release"} })
	a := r.get("/readyz")
	if p := a.problem(t); a.status != 503 || !strings.Contains(p.Detail, "3 partitions recover; no release") {
		t.Errorf("got %s", a.body)
	}
	if a := r.get("/healthz"); a.status != 200 {
		t.Errorf("the process lives, but: %s", a.body)
	}
}

func TestWhereThereIsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	for _, target := range []string{"/v3", "/v1/events/", "/v1/users/u1/nothing", "/v1//events", "/v1/../v1/events", "/v1/users//predictions", "/v1/entities/user/u1/predictions/", "/index.html"} {
		if a := r.get(target); a.status != 404 || a.problem(t).Code != freshet.NotFound {
			t.Errorf("%s: got %d %s", target, a.status, a.body)
		}
	}
	for _, test := range []struct{ method, target, allow string }{
		{"GET", "/v1/events", "POST"},
		{"DELETE", "/v1/features/session", "GET, HEAD"},
		{"PUT", "/", "GET, HEAD"},
		{"POST", "/metrics", "GET, HEAD"},
	} {
		a := r.send(test.method, test.target, "")
		if p := a.problem(t); a.status != 405 || a.header.Get("Allow") != test.allow || p.Code != freshet.InvalidArgument {
			t.Errorf("%s %s: got %d, Allow %q, %s", test.method, test.target, a.status, a.header.Get("Allow"), a.body)
		}
	}
	if a := r.get("/v1/status?" + strings.Repeat("x", 20_000)); a.status != 414 || a.problem(t).Code != freshet.InvalidArgument {
		t.Errorf("a long query: %d %s", a.status, a.body)
	}
	if a := r.get("/v1/status?verbose=true"); a.problem(t).Field != "verbose" {
		t.Errorf("an unknown parameter: %s", a.body)
	}
	if a := r.send("HEAD", "/healthz", ""); a.status != 200 {
		t.Errorf("HEAD: %d", a.status)
	}
}

func TestKeysOfDotsAreNoPaths(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.check = false
	p := userPrediction("today")
	p.Entity.Key, p.Cause.Partition = "..", freshet.PartitionOf("..")
	r.keep(p)
	if a := r.get("/v1/users/%2E%2E/predictions/today"); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestPagesOfOtherSitesMayNotSend(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.check = false // the headers are the browser's, not the API's
	body := `{"type":"play","user_id":"u1","content_id":"c1"}`
	for header, want := range map[[2]string]int{
		{"Sec-Fetch-Site", "cross-site"}:     403,
		{"Origin", "https://elsewhere.test"}: 403,
		{"Sec-Fetch-Site", "same-origin"}:    202,
		{"User-Agent", "no browser at all"}:  202,
	} {
		if a := r.post("/v1/events", body, header[0], header[1]); a.status != want {
			t.Errorf("%s: %s: got %d %s, want %d", header[0], header[1], a.status, a.body, want)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	seen := map[string]bool{}
	for _, test := range []struct {
		sent  string
		taken bool
	}{
		{"abc-DEF_123.4:5/6", true}, {strings.Repeat("x", 128), true},
		{"", false}, {strings.Repeat("x", 129), false}, {"a b", false}, {`a"b`, false}, {"ä", false}, {"a\x7f", false},
	} {
		got := r.get("/healthz", "X-Request-Id", test.sent).header.Get("X-Request-Id")
		if (got == test.sent) != test.taken || got == "" {
			t.Errorf("%q was sent, %q came back", test.sent, got)
		}
		if seen[got] {
			t.Errorf("%q came back twice", got)
		}
		seen[got] = true
	}
}

func TestDeadLettersAreListedInPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	ctx := context.Background()
	var jobs []freshet.Job
	for offset := freshet.Offset(1); offset <= 5; offset++ {
		cause := freshet.Place{Partition: freshet.PartitionOf("u1"), Offset: offset}
		jobs = append(jobs, freshet.Job{ID: freshet.MakeJobID("today", cause), Pipeline: "today", Entity: freshet.Entity{Kind: "user", Key: "u1"}, EventID: "e", EventTime: now, Cause: cause})
	}
	if err := r.jobs.Enqueue(ctx, jobs[0].Cause.Partition, 1, 5, jobs); err != nil {
		t.Fatal(err)
	}
	leases, err := r.jobs.Lease(ctx, 5)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		if err := r.jobs.Fail(ctx, l, "r1", freshet.Errorf(freshet.NotFound, "gone")); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	for target := "/v1/dead-letters?limit=2"; ; {
		page := decodeAnswer[struct {
			DeadLetters []struct{ ID, Reason string } `json:"dead_letters"`
			Next        string
		}](t, r.get(target))
		for _, l := range page.DeadLetters {
			seen = append(seen, l.ID)
		}
		if page.Next == "" {
			break
		}
		target = "/v1/dead-letters?limit=2&after=" + page.Next
	}
	if len(seen) != 5 || !slices.IsSorted(seen) {
		t.Errorf("got %v, expected five in order", seen)
	}
	for _, limit := range []string{"0", "1001", "x", "-1"} {
		if a := r.get("/v1/dead-letters?limit=" + limit); a.problem(t).Field != "limit" {
			t.Errorf("limit %s: %s", limit, a.body)
		}
	}
}

// brokenJobs panics where it is asked for dead letters.
type brokenJobs struct{ *jobqueue.Queue }

func (brokenJobs) DeadLetters(context.Context, freshet.JobID, int) ([]jobqueue.DeadLetter, error) {
	panic(fs.ErrClosed)
}

func TestAPanicHarmsOneRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.api.deps.Jobs = brokenJobs{r.jobs}
	if a := r.get("/v1/dead-letters"); a.status != 500 || a.problem(t).Code != freshet.Internal || strings.Contains(string(a.body), "closed") {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if a := r.get("/healthz"); a.status != 200 {
		t.Errorf("afterwards: %d", a.status)
	}
}

func TestMetricsCountEventsAndRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.post("/v1/events", "["+play("e1")+","+play("e1")+","+play("e2", `"seconds":true`)+`,{"event_id":"e3","type":"search","user_id":"u1","event_time":"2099-01-01T00:00:00Z"}]`).events(t)
	r.get("/v1/users/secret-user/predictions")
	r.get("/nowhere")
	w := httptest.NewRecorder()
	r.api.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"freshet_events_accepted_total 2",
		"freshet_events_duplicate_total 1",
		"freshet_events_clamped_total 1",
		`freshet_events_rejected_total{code="invalid_argument"} 1`,
		`freshet_http_requests_total{route="POST /v1/events",status="202"} 1`,
		`freshet_http_requests_total{route="GET /v1/users/{user}/predictions",status="200"} 1`,
		`freshet_http_requests_total{route="other",status="404"} 1`,
		`freshet_http_request_seconds_count{route="POST /v1/events"} 1`,
	} {
		if !strings.Contains(string(body), line+"\n") {
			t.Errorf("no line %q in the scrape", line)
		}
	}
	if strings.Contains(string(body), "secret-user") {
		t.Error("a user id is a label")
	}
}

// TestJobPages: jobs of each state, one job with its attempts, and what can be done with dead letters.
func TestJobPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	ctx := t.Context()
	var jobs []freshet.Job
	p := freshet.PartitionOf("u9")
	for o := range freshet.Offset(4) {
		cause := freshet.Place{Partition: p, Offset: o + 1}
		jobs = append(jobs, freshet.Job{ID: freshet.MakeJobID("today", cause), Pipeline: "today", Entity: freshet.Entity{Kind: "user", Key: "u9"}, EventID: "e", EventTime: now, Cause: cause})
	}
	jobs[3].Priority, jobs[0].First = freshet.LowPriority, 1
	if err := r.jobs.Enqueue(ctx, p, 1, 4, jobs); err != nil {
		t.Fatal(err)
	}
	l, err := r.jobs.Lease(ctx, 3)
	if err != nil || len(l) != 3 {
		t.Fatal(l, err)
	}
	if err := r.jobs.Ack(ctx, l[0], "r1"); err != nil {
		t.Fatal(err)
	}
	if err := r.jobs.Fail(ctx, l[1], "r1", freshet.Errorf(freshet.NotFound, "gone")); err != nil {
		t.Fatal(err)
	}
	for state, want := range map[string]string{"queued": string(jobs[3].ID), "leased": string(jobs[2].ID), "done": string(jobs[0].ID), "dead": string(jobs[1].ID)} {
		page := decodeAnswer[struct {
			Jobs []struct{ ID, State string }
		}](t, r.get("/v1/jobs?state="+state))
		if len(page.Jobs) != 1 || page.Jobs[0].ID != want || page.Jobs[0].State != state {
			t.Errorf("%s: %+v, want %s", state, page.Jobs, want)
		}
		if a := r.get("/v1/jobs/" + want); a.status != 200 || !strings.Contains(string(a.body), `"state":"`+state+`"`) {
			t.Errorf("%s: %s", want, a.body)
		}
	}
	if a := r.get("/v1/jobs/" + string(jobs[1].ID)); !strings.Contains(string(a.body), `"error":"gone"}]`) {
		t.Errorf("a dead letter: %s", a.body)
	}
	if a := r.get("/v1/jobs/today-1-1"); a.problem(t).Code != freshet.NotFound {
		t.Errorf("no such job: %s", a.body)
	}
	if a := r.get("/v1/jobs?state=some"); a.problem(t).Field != "state" {
		t.Errorf("no such state: %s", a.body)
	}
	for body, field := range map[string]string{`{}`: "ids", `{"ids":[],"all":true}`: "ids"} {
		if a := r.post("/v1/dead-letters/redrive", body); a.problem(t).Field != field {
			t.Errorf("%s: %s", body, a.body)
		}
	}
	if a := r.post("/v1/dead-letters/redrive", `{"all":true}`); string(a.body) != "{\"redriven\":1}\n" && string(a.body) != `{"redriven":1}` {
		t.Errorf("redrive: %s", a.body)
	}
	if a := r.send("DELETE", "/v1/dead-letters", `{"ids":["x"]}`); a.status != 200 || !strings.Contains(string(a.body), `"dropped":0`) {
		t.Errorf("drop: %s", a.body)
	}
}
