package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/internal/sharedtest"
)

func TestEventsAreAppended(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, contentType, body string
	}{
		{"one object", "application/json", play("e1")},
		{"with spaces", "application/json; charset=utf-8", "\n " + play("e1") + " \n"},
		{"an array", "application/json", "[ " + play("e1") + "\n]"},
		{"a line", "application/x-ndjson", play("e1")},
		{"lines", "application/x-ndjson", "\r\n" + play("e1") + "\r\n\n"},
		{"json of some kind", "application/cloudevents+json", play("e1")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Options{})
			r.check = test.contentType != "application/cloudevents+json"
			got := r.post("/v1/events", test.body, "Content-Type", test.contentType).events(t)
			if got.Accepted != 1 || got.Duplicates != 0 || len(got.Rejected) != 0 {
				t.Errorf("got %+v, expected one accepted", got)
			}
			// For the user and for the content: views of both listen to it.
			for _, e := range []freshet.Entity{{Kind: "user", Key: "u1"}, {Kind: "content", Key: "c1"}} {
				record := lastRecord(t, r.log, e.Key)
				if record.Entity != e || record.Event.ID != "e1" || record.Event.Type != "play" || record.Event.IngestTime != now ||
					string(record.Event.Payload) != play("e1") {
					t.Errorf("record %+v of %v, payload %s", record, e, record.Event.Payload)
				}
				position, err := freshet.ParsePosition(got.Position)
				if p := freshet.PartitionOf(e.Key); err != nil || position.Through(p) != record.Offset {
					t.Errorf("position covers %d of partition %d, expected %d: %v", position.Through(p), p, record.Offset, err)
				}
			}
		})
	}
}

func lastRecord(t *testing.T, log *eventlog.Log, key freshet.Key) eventlog.Record {
	t.Helper()
	p := freshet.PartitionOf(key)
	records, err := log.Read(context.Background(), nil, p, log.Head(p), 1)
	if err != nil || len(records) != 1 {
		t.Fatalf("no record in partition %d: %v", p, err)
	}
	return records[0]
}

func TestGoodEventsSurviveBadOnes(t *testing.T) {
	t.Parallel()
	bad := play("bad", `"seconds":"12"`)
	for _, test := range []struct{ name, contentType, body string }{
		{"array", "application/json", "[" + strings.Join([]string{play("e0"), bad, play("e2"), "5", play("e0"), play("e5")}, ",") + "]"},
		{"lines", "application/x-ndjson", strings.Join([]string{play("e0"), bad, play("e2"), "{nonsense", play("e0"), play("e5")}, "\n")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Options{})
			got := r.post("/v1/events", test.body, "Content-Type", test.contentType).events(t)
			if got.Accepted != 3 || got.Duplicates != 1 || len(got.Rejected) != 2 {
				t.Fatalf("got %+v, expected 3 accepted, 1 duplicate, 2 rejected", got)
			}
			first, second := got.Rejected[0], got.Rejected[1]
			if first.Index != 1 || first.EventID != "bad" || first.Field != "seconds" || first.Code != freshet.InvalidArgument || !strings.Contains(first.Detail, "seconds") {
				t.Errorf("first rejected is %+v", first)
			}
			if second.Index != 3 || second.Code != freshet.InvalidArgument {
				t.Errorf("second rejected is %+v", second)
			}
			if got := r.log.Stats().Appended; got != 3 {
				t.Errorf("%d events are in the log, expected 3", got)
			}
			// Sent again, all good ones are known, and the position covers them.
			again := r.post("/v1/events", test.body, "Content-Type", test.contentType).events(t)
			if again.Accepted != 0 || again.Duplicates != 4 || again.Position != got.Position {
				t.Errorf("sent again: %+v after %+v", again, got)
			}
		})
	}
}

func TestNothingAcceptedIsUnprocessable(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	single := r.post("/v1/events", play("e1", `"seconds":true`))
	p := single.problem(t)
	if single.status != 422 || p.Code != freshet.Unprocessable || p.Field != "seconds" || !strings.Contains(p.Detail, "seconds") || len(p.Errors) != 1 {
		t.Errorf("got %s", single.body)
	}
	several := r.post("/v1/events", "["+play("e1", `"seconds":true`)+","+play("e2", `"level":1.5`)+"]")
	p = several.problem(t)
	if several.status != 422 || p.Field != "" || len(p.Errors) != 2 || p.Errors[1].Field != "level" || p.Errors[1].Index != 1 {
		t.Errorf("got %s", several.body)
	}
	if got := r.log.Stats().Appended; got != 0 {
		t.Errorf("%d events are in the log, expected none", got)
	}
}

func TestEventBodiesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, test := range []struct {
		name, contentType, body string
		status                  int
		words                   string
	}{
		{"empty", "application/json", " ", 400, "empty"},
		{"no body at all", "", "", 400, "empty"},
		{"a number", "application/json", "5", 400, "object or an array"},
		{"cut object", "application/json", `{"type":"play"`, 400, "at byte 14"},
		{"two objects", "application/json", play("e1") + play("e2"), 400, "at byte"},
		{"cut array", "application/json", "[" + play("e1") + ",", 400, "at byte"},
		{"array with nonsense", "application/json", "[" + play("e1") + ",nonsense]", 400, "at byte"},
		{"something after the array", "application/json", "[" + play("e1") + "] 5", 400, "at byte"},
		{"NaN", "application/json", play("e1", `"seconds":NaN`), 400, "at byte"},
		{"deep object", "application/json", play("e1", `"x":`+nested(64)), 400, "64"},
		{"deep array", "application/json", "[" + play("e1") + "," + play("e2", `"x":`+nested(63)) + "]", 400, "64"},
		{"10,000 brackets", "application/json", nested(10_000), 400, "64"},
		{"a million open brackets", "application/json", strings.Repeat("[", 1_000_000), 400, "at byte"},
		{"a million open brackets in an object", "application/json", `{"x":` + strings.Repeat("[", 1_000_000), 400, "64"},
		{"text", "text/plain", play("e1"), 415, "text/plain"},
		{"form", "application/x-www-form-urlencoded", play("e1"), 415, "application/x-ndjson"},
		{"json-seq", "application/json-seq", play("e1"), 415, "json-seq"},
		{"latin 1", "application/json; charset=latin1", play("e1"), 415, "UTF-8"},
		{"too many", "application/json", "[" + strings.Repeat("{},", 10_000) + "{}]", 413, "10000"},
		{"too many lines", "application/x-ndjson", strings.Repeat("{}\n", 10_001), 413, "10000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Options{})
			a := r.post("/v1/events", test.body, "Content-Type", test.contentType)
			if p := a.problem(t); a.status != test.status || !strings.Contains(p.Detail, test.words) {
				t.Errorf("got %s, expected %d with %q", a.body, test.status, test.words)
			}
			if got := r.log.Stats().Appended; got != 0 {
				t.Errorf("%d events are in the log, expected none", got)
			}
		})
	}
}

func TestNestingAtTheLimitIsTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	deep := play("e1", `"x":`+strings.Repeat("[", 62)+`"{[{["`+strings.Repeat("]", 62))
	r.post("/v1/events", deep).events(t)
	r.post("/v1/events", "["+strings.Replace(deep, "e1", "e2", 1)+"]").events(t)
	// Many brackets are not deep ones.
	r.post("/v1/events", play("e3", `"x":[`+strings.Repeat("[],", 200)+"[]]")).events(t)
}

func TestEventsWithoutIDGetOneEach(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	body := `{"type":"search","user_id":"u1","query":"rain"}`
	for range 2 {
		if got := r.post("/v1/events", body).events(t); got.Accepted != 1 {
			t.Errorf("got %+v, expected one accepted", got)
		}
	}
	record := lastRecord(t, r.log, "u1")
	if id := record.Event.ID; len(id) != 36 || id[14] != '7' || record.Event.EventTime != now {
		t.Errorf("event %+v, expected a UUID of version 7 and the ingest time", record.Event)
	}
}

func TestCompositeKeysAreJoined(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	long := strings.Repeat("ä", 128)
	for i, hall := range []string{"a,b", long} {
		body := fmt.Sprintf(`{"event_id":"s%d","type":"taken","hall":%q,"row":7,"user_id":"u1"}`, i, hall)
		if got := r.post("/v1/events", body).events(t); got.Accepted != 1 {
			t.Errorf("got %+v, expected one accepted", got)
		}
		key := freshet.JoinKey(hall, "7")
		if record := lastRecord(t, r.log, key); record.Entity != (freshet.Entity{Kind: "seat", Key: key}) {
			t.Errorf("record of %v, expected %q", record.Entity, key)
		}
	}
}

func TestBacklogRefusesWithoutReading(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.back.set(func(b *behind) { b.backlogged = "5 events wait" })
	a := r.post("/v1/events", play("e1"))
	if p := a.problem(t); a.status != 429 || p.Code != freshet.ResourceExhausted || a.header.Get("Retry-After") != "1" || !strings.Contains(p.Detail, "5 events wait") {
		t.Errorf("got %d %v %s", a.status, a.header, a.body)
	}
	r.back.set(func(b *behind) { b.backlogged = "" })
	r.post("/v1/events", play("e1")).events(t)
}

func TestNoReleaseIsUnavailable(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.live.Store(nil)
	for _, a := range []answer{r.post("/v1/events", play("e1")), r.get("/v1/features/session?user_id=u1"), r.get("/v1/users/u1/predictions")} {
		if p := a.problem(t); a.status != 503 || p.Code != freshet.Unavailable {
			t.Errorf("got %s", a.body)
		}
	}
	for _, target := range []string{"/v1/status", "/healthz", "/"} {
		if a := r.get(target); a.status != 200 {
			t.Errorf("%s without a release: %s", target, a.body)
		}
	}
}

func TestRejectedListIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	var lines strings.Builder
	lines.WriteString(play("good") + "\n")
	for range 9_999 {
		lines.WriteString(`{"type":"play","event_id":"` + strings.Repeat("x", 120) + `","user_id":5.5}` + "\n")
	}
	a := r.post("/v1/events", lines.String(), "Content-Type", "application/x-ndjson")
	got := a.events(t)
	if got.Accepted != 1 || len(got.Rejected)+got.Omitted != 9_999 || got.Omitted == 0 || len(a.body) > maxRejected+1000 {
		t.Errorf("accepted %d, listed %d, omitted %d in %d bytes", got.Accepted, len(got.Rejected), got.Omitted, len(a.body))
	}
}

// TestContractOfEvents sends every case of the shared list of what must be refused, and its neighbours.
func TestContractOfEvents(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(sharedtest.Path(t, "cases/features/errors.json"))
	if err != nil {
		t.Fatal(err)
	}
	type sent struct {
		Name, Field, Raw string
		Event            json.RawMessage
	}
	var cases struct {
		Events struct {
			Project            json.RawMessage
			Rejected, Accepted []sent
		}
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	text := func(s sent) string {
		if s.Raw != "" {
			return s.Raw
		}
		var b strings.Builder
		for line := range strings.Lines(string(s.Event)) {
			b.WriteString(strings.TrimSpace(line))
		}
		return b.String()
	}
	r := newRigOf(t, string(cases.Events.Project), Options{})
	r.check = false
	for i, s := range cases.Events.Rejected {
		t.Run("rejected "+s.Name, func(t *testing.T) {
			a := r.post("/v1/events", text(s))
			p := a.problem(t)
			if a.status != 422 && (s.Raw == "" || a.status != 400) {
				t.Errorf("got %d %s, expected 422", a.status, a.body)
			}
			if a.status == 422 && p.Field != s.Field {
				t.Errorf("got field %q, expected %q: %s", p.Field, s.Field, p.Detail)
			}
			// Among good ones it is the only one that is refused.
			good := func(n int) string {
				return fmt.Sprintf(`{"event_id":"g%d-%d","type":"search","user_id":"u1"}`, i, n)
			}
			mixed := r.post("/v1/events", good(0)+"\n"+text(s)+"\n"+good(1), "Content-Type", "application/x-ndjson").events(t)
			if mixed.Accepted != 2 || len(mixed.Rejected) != 1 || mixed.Rejected[0].Index != 1 {
				t.Errorf("among good ones: %+v", mixed)
			}
		})
	}
	for _, s := range cases.Events.Accepted {
		t.Run("accepted "+s.Name, func(t *testing.T) {
			if a := r.post("/v1/events", text(s)); a.status != http.StatusAccepted {
				t.Errorf("got %d %s", a.status, a.body)
			}
		})
	}
}

// TestConcurrentRequestsKeepTheirOwnBytes looks for a buffer that is used again too early: what the log holds must be what
// each sender sent.
func TestConcurrentRequestsKeepTheirOwnBytes(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	const senders, rounds, each = 8, 20, 5
	event := func(sender, round, i int) string {
		return fmt.Sprintf(`{"event_id":"%d-%d-%d","type":"search","user_id":"user %d","query":"%s"}`, sender, round, i, sender, strings.Repeat("x", sender*10+i))
	}
	var group sync.WaitGroup
	for sender := range senders {
		group.Go(func() {
			for round := range rounds {
				lines := make([]string, each)
				for i := range lines {
					lines[i] = event(sender, round, i)
				}
				w := httptest.NewRecorder()
				req := httptest.NewRequest("POST", "/v1/events", strings.NewReader(strings.Join(lines, "\n")))
				req.Header.Set("Content-Type", "application/x-ndjson")
				r.api.Handler().ServeHTTP(w, req)
				if w.Code != http.StatusAccepted {
					t.Errorf("got %d %s", w.Code, w.Body)
				}
			}
		})
	}
	group.Wait()
	seen := 0
	for p := range freshet.Partition(freshet.Partitions) {
		records, err := r.log.Read(context.Background(), nil, p, 1, senders*rounds*each)
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range records {
			var sender, round, i int
			if _, err := fmt.Sscanf(string(record.Event.ID), "%d-%d-%d", &sender, &round, &i); err != nil {
				t.Fatal(err)
			}
			if got := string(record.Event.Payload); got != event(sender, round, i) || record.Entity.Key != freshet.Key(fmt.Sprintf("user %d", sender)) {
				t.Errorf("event %s of %v says %s", record.Event.ID, record.Entity, got)
			}
			seen++
		}
	}
	if seen != senders*rounds*each {
		t.Errorf("%d events are in the log, expected %d", seen, senders*rounds*each)
	}
}
