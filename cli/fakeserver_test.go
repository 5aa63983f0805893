package cli

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	"github.com/freshet-ml/freshet"
)

// fakeServer answers like a Freshet server whose project is the calm app, from fixed texts.
type fakeServer struct {
	http *httptest.Server

	mu      sync.Mutex
	got     []string
	known   map[string]bool
	refusal int // status of the next refused requests
	refused int
	uploads []string      // that were not shown yet
	asked   chan struct{} // gets a value for each request, if there is room
}

func newFakeServer() *fakeServer {
	f := &fakeServer{known: map[string]bool{}, asked: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/events", f.events)
	mux.HandleFunc("GET /v1/features/{view}", f.features)
	mux.HandleFunc("GET /v1/entities/{kind}/{key}/predictions/{pipeline}", f.prediction)
	mux.HandleFunc("GET /v1/status", f.status)
	mux.HandleFunc("GET /v1/jobs", f.jobs)
	mux.HandleFunc("GET /v1/deliveries", f.deliveries)
	mux.HandleFunc("GET /v1/deliveries/{id}", f.delivery)
	mux.HandleFunc("DELETE /v1/entities/{kind}/{key}", f.erase)
	mux.HandleFunc("GET /v1/erases/{id}", f.erase)
	mux.HandleFunc("GET /v1/entities/{kind}/{key}/trace", f.trace)
	mux.HandleFunc("GET /v1/jobs/{id}", f.job)
	mux.HandleFunc("GET /v1/dead-letters", f.refusedEvents)
	mux.HandleFunc("POST /v1/dead-letters/redrive", f.letters)
	mux.HandleFunc("DELETE /v1/dead-letters", f.letters)
	mux.HandleFunc("POST /v1/models/{name}/versions", f.publish)
	mux.HandleFunc("GET /v1/models/{name}/versions/{version}", f.version)
	mux.HandleFunc("GET /v1/models/{name}/versions/{version}/artifact", f.artifact)
	mux.HandleFunc("POST /v1/models/{name}/versions/{version}/metrics", f.metrics)
	mux.HandleFunc("GET /v1/models", f.models)
	mux.HandleFunc("GET /v1/models/{name}", f.model)
	mux.HandleFunc("PUT /v1/models/{name}/aliases/{alias}", f.alias)
	mux.HandleFunc("DELETE /v1/models/{name}/aliases/{alias}", f.alias)
	f.http = httptest.NewServer(mux)
	return f
}

func (f *fakeServer) bodies() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

func (f *fakeServer) refuse(status, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusal, f.refused = status, n
}

func problem(w http.ResponseWriter, status int, code freshet.Code, field, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"status": status, "code": code, "field": field, "detail": detail, "request_id": "req-7"})
}

// events rejects an event of type "bad" and what is no JSON, and knows ids it has seen.
func (f *fakeServer) events(w http.ResponseWriter, r *http.Request) {
	select {
	case f.asked <- struct{}{}:
	default:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused > 0 {
		f.refused--
		problem(w, f.refusal, "", "", "the server is behind")
		return
	}
	in := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			problem(w, 400, freshet.InvalidArgument, "", err.Error())
			return
		}
		in = z
	}
	body, err := io.ReadAll(in)
	if err != nil {
		problem(w, 400, freshet.InvalidArgument, "", err.Error())
		return
	}
	f.got = append(f.got, string(body))
	accepted, duplicates, rejected := 0, 0, []map[string]any{}
	for i, line := range strings.Split(strings.TrimSuffix(string(body), "\n"), "\n") {
		var e struct {
			ID   string `json:"event_id"`
			Type string `json:"type"`
		}
		switch err := json.Unmarshal([]byte(line), &e); {
		case err != nil:
			rejected = append(rejected, map[string]any{"index": i, "code": "invalid_argument", "detail": "the line is no JSON object"})
		case e.Type == "bad":
			rejected = append(rejected, map[string]any{"index": i, "event_id": e.ID, "code": "invalid_argument", "field": "type",
				"detail": `type: there is no event type "bad"; expected play or search`})
		case f.known[e.ID]:
			duplicates++
		default:
			f.known[e.ID] = true
			accepted++
		}
	}
	answer := map[string]any{"accepted": accepted, "duplicates": duplicates, "rejected": rejected}
	w.Header().Set("Content-Type", "application/json")
	if accepted+duplicates == 0 {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		answer = map[string]any{"code": "unprocessable", "detail": "no event was accepted", "errors": rejected}
	} else {
		var p freshet.Position
		p.Cover(freshet.Place{Partition: 3, Offset: freshet.Offset(len(f.known))})
		answer["position"] = p.String()
	}
	json.NewEncoder(w).Encode(answer)
}

// status is of a server that recovers while jobs wait.
func (f *fakeServer) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"project":"calm","version":"v1.2.3","roles":["api","receiver"],"started_at":"2025-03-03T10:00:00.000Z",`+
		`"now":"2025-03-03T12:30:05.000Z","ready":false,"reasons":["recovering: 3 partitions"],"release":{"requested":"r7","serving":"r7"},`+
		`"backlog":{"events":12,"jobs_queued":3,"jobs_leased":1,"dead_letters":0,"oldest_job_age_seconds":2.5},`+
		`"views":[{"view":"session","entity":"user","rows":1200000,"bytes":372600000,"bytes_per_row":310.5,"counted_at":"2025-03-03T12:29:05.000Z"},`+
		`{"view":"popularity","entity":"content","rows":0,"bytes":0,"bytes_per_row":0,"counted_at":null}],`+
		`"last_errors":[{"at":"2025-03-03T11:00:00.000Z","route":"GET /v1/x","request_id":"req-9"}]}`)
}

func (f *fakeServer) features(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.PathValue("view") == "popularity" {
		problem(w, 400, freshet.InvalidArgument, "user_id", "user_id: unknown parameter; expected content_id, at, as_of, after, wait")
		return
	}
	if r.PathValue("view") != "session" {
		problem(w, 404, freshet.NotFound, "view", fmt.Sprintf("there is no view %q; did you mean session?", r.PathValue("view")))
		return
	}
	if !q.Has("user_id") {
		problem(w, 400, freshet.InvalidArgument, "user_id", "user_id is missing: session is about user")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"view":"session","entity":{"user_id":%q},"at":"2025-03-03T12:00:00.000Z","features":{"plays":3,`+
		`"sleep_bounce_rate":0.5,"recent":["c1","c<2>"],"note":null,"big":9007199254740992},`+
		`"event_time":"2025-03-03T11:59:00.000Z","offset":17,"release":"r1"}`, q.Get("user_id"))
}

func (f *fakeServer) prediction(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("key") {
	case "nobody":
		problem(w, 404, freshet.NotFound, "", `there is no prediction of today for user "nobody"`)
		return
	case "locked":
		problem(w, 403, freshet.PermissionDenied, "", "this key may not read predictions")
		return
	case "broken":
		problem(w, 500, freshet.Internal, "", "internal error")
		return
	}
	inputs := [2]string{}
	if r.URL.Query().Get("explain") == "true" {
		inputs = [2]string{`,"inputs":{"minutes":10,"starts_24h":null}`, `,"inputs":{"minutes":5.5,"starts_24h":2}`}
	}
	stale := ""
	if r.URL.Query().Has("after") {
		stale = `,"stale":true`
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"pipeline":"today","entity":{"user_id":%q},"items":[{"id":"c17","score":0.83%s},{"id":"c2","score":0.1%s}],`+
		`"release":"r12","model":"ranker@7","event_id":"e1","offset":{"partition":3,"offset":9120},`+
		`"event_time":"2025-03-03T12:00:00.000Z","created_at":"2025-03-03T12:00:00.002Z",`+
		`"expires_at":"2025-03-04T12:00:00.000Z","fallback":false%s}`, r.PathValue("key"), inputs[0], inputs[1], stale)
}

const fakeJob = `{"id":"today-3-9120","state":"dead","pipeline":"today","entity":{"kind":"user","key":"u1"},"event_id":"e1",
"event_time":"2025-03-03T12:00:00.000Z","offset":{"partition":3,"offset":9120},"first_offset":9100,"priority":"high","enqueued_at":"2025-03-03T12:00:01.000Z",
"attempts":2,"errors":[{"at":"2025-03-03T12:00:02.000Z","error":"no model"},{"at":"2025-03-03T12:00:03.000Z","release":"r7","error":"still none"}],"error":"still none","ended_at":"2025-03-03T12:00:03.000Z"}`

// jobs has two pages of dead ones.
func (f *fakeServer) jobs(w http.ResponseWriter, r *http.Request) {
	switch q := r.URL.Query(); {
	case q.Get("state") != "dead":
		fmt.Fprint(w, `{"jobs":[]}`)
	case q.Get("after") == "":
		fmt.Fprintf(w, `{"jobs":[%s],"next":"x"}`, fakeJob)
	default:
		fmt.Fprintf(w, `{"jobs":[%s]}`, strings.ReplaceAll(fakeJob, "9120", "9121"))
	}
}

func (f *fakeServer) job(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("id") != "today-3-9120" {
		problem(w, 404, freshet.NotFound, "", "job: none is outstanding or a dead letter")
		return
	}
	fmt.Fprint(w, fakeJob)
}

// fakeDeliveries are one that was opened, one that is held out, and one that waits.
var fakeDeliveries = []string{
	`{"id":"next-3-1","user_id":"u1","pipeline":"next","category":"suggestions","event_id":"e1","release":"r7","title":"Up next","body":"Rain, and wind","state":"sent",
"channel":"apns","device":"phone","provider_id":"p1","attempts":2,"created_at":"2025-03-03T12:00:00.000Z","expires_at":"2025-03-03T12:15:00.000Z",
"ended_at":"2025-03-03T12:00:02.000Z","devices":[{"device":"phone","state":"sent","provider_id":"p1","attempts":1},{"device":"tablet","state":"failed","reason":"Unregistered","attempts":1}],"outcomes":{"opened":"2025-03-03T12:01:00.000Z"}}`,
	`{"id":"next-3-2","user_id":"u2","pipeline":"next","category":"suggestions","event_id":"e2","release":"r7","title":"Up next","body":"Rain","state":"suppressed","reason":"holdout",
"channel":"apns","attempts":0,"created_at":"2025-03-03T12:00:00.000Z","expires_at":"2025-03-03T12:15:00.000Z","ended_at":"2025-03-03T12:00:01.000Z"}`,
	`{"id":"other-3-1","user_id":"u1","pipeline":"other","category":"news","title":"News","state":"waiting","attempts":0,"created_at":"2025-03-03T12:00:00.000Z",
"expires_at":"2025-03-03T12:15:00.000Z","due_at":"2025-03-03T12:00:05.000Z"}`,
}

// deliveries answers one at a time: the command turns the pages.
func (f *fakeServer) deliveries(w http.ResponseWriter, r *http.Request) {
	at, next := 0, ""
	if after := r.URL.Query().Get("after"); after != "" {
		at = slices.IndexFunc(fakeDeliveries, func(d string) bool { return strings.Contains(d, after) }) + 1
	}
	if r.URL.Query().Get("user_id") == "nobody" {
		fmt.Fprint(w, `{"deliveries":[]}`)
		return
	}
	if at < len(fakeDeliveries)-1 {
		next = `,"next":"` + fakeDeliveries[at][len(`{"id":"`):strings.Index(fakeDeliveries[at], `","user_id`)] + `"`
	}
	fmt.Fprintf(w, `{"deliveries":[%s]%s}`, fakeDeliveries[at], next)
}

func (f *fakeServer) delivery(w http.ResponseWriter, r *http.Request) {
	for _, d := range fakeDeliveries {
		if strings.Contains(d, `"id":"`+r.PathValue("id")+`"`) {
			fmt.Fprint(w, d)
			return
		}
	}
	problem(w, 404, freshet.NotFound, "", "there is no delivery")
}

// refusedEvents answers a page of dead letters with the refused events only: the letters are asked for as jobs.
func (f *fakeServer) refusedEvents(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, `{"dead_letters":[],"refused_events":[{"id":"refused-7","at":"2025-03-03T12:00:04.000Z","door":"segment","event_id":"m1","cause":"unknown_type",
"code":"invalid_argument","field":"event","reason":"event: the project has no event type Paly","message":"{}"}]}`)
}

func (f *fakeServer) letters(w http.ResponseWriter, r *http.Request) {
	var chosen struct {
		IDs []string
		All bool
	}
	json.NewDecoder(r.Body).Decode(&chosen)
	n := len(chosen.IDs)
	if chosen.All {
		n = 7
	}
	fmt.Fprintf(w, `{"redriven":%d,"dropped":%d}`, n, n)
}

func (f *fakeServer) trace(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("event_id") != "e1" {
		problem(w, 404, freshet.NotFound, "event_id", "the log has no event")
		return
	}
	fmt.Fprintf(w, `{"event_id":"e1","type":"play","offset":{"partition":3,"offset":9120},"event_time":"2025-03-03T12:00:00.000Z","ingest_time":"2025-03-03T12:00:01.000Z",
"features":{"applied":true,"views":["session","activity"]},"pipelines":[{"pipeline":"today","triggered":true,"prediction":{"release":"r7","model":"ranker@1"}},
{"pipeline":"next","triggered":true,"job":%s},{"pipeline":"old","triggered":true,"replaced_by":{"event_id":"e2"}},{"pipeline":"none","triggered":false}],
"deliveries":[],"timeline":[{"at":"2025-03-03T12:00:00.000Z","what":"happened"},{"at":"2025-03-03T12:00:01.000Z","what":"accepted"}]}`, fakeJob)
}

// erase is done when it is looked at.
func (f *fakeServer) erase(w http.ResponseWriter, r *http.Request) {
	state := "running"
	if r.Method == http.MethodGet {
		state = "done"
	}
	fmt.Fprintf(w, `{"id":"er-1","kind":"user","state":%q,"at":"2025-03-03T12:00:00.000Z","served":true,"events":60,"others":58,"jobs":2,"rows":1}`, state)
}
