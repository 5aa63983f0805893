package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/outbox"
)

func TestDevicesAndPreferences(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"PUT", "/v1/users/u1/devices/phone", `{"channel":"apns","token":"abcd"}`, 204, ""},
		{"GET", "/v1/users/u1/devices", "", 200, `{"devices":[{"id":"phone","channel":"apns","registered_at":"2025-03-03T12:01:00.000Z"}]}`},
		{"PUT", "/v1/users/u1/devices/phone", `{"channel":"apns","token":"zz"}`, 400, `"field":"token"`},
		{"PUT", "/v1/users/u1/devices/phone", `{"channel":"fcm","token":"abcd"}`, 400, `"field":"channel"`},
		{"PUT", "/v1/users/u1/devices/" + strings.Repeat("x", 129), `{"channel":"apns","token":"abcd"}`, 400, `"field":"device"`},
		{"DELETE", "/v1/users/u1/devices/phone", "", 204, ""},
		{"GET", "/v1/users/u1/devices", "", 200, `{"devices":[]}`},
		{"GET", "/v1/users/u1/preferences", "", 200, `{"opt_out":{}}`},
		{"PUT", "/v1/users/u1/preferences", `{"opt_out":{"categories":["news"]},"quiet_hours":"22:00-07:00","timezone":"Europe/Berlin"}`, 200, `"timezone":"Europe/Berlin"`},
		{"GET", "/v1/users/u1/preferences", "", 200, `{"opt_out":{"categories":["news"]},"quiet_hours":"22:00-07:00","timezone":"Europe/Berlin"}`},
		{"PUT", "/v1/users/u1/devices/phone", `{"chanel":"apns","token":"abcd"}`, 400, `"detail":"chanel: unknown key; did you mean channel?"`},
		{"PUT", "/v1/users/u1/devices/phone", `{"x":"apns"}`, 400, `unknown key; there is channel, token"`},
		{"PUT", "/v1/users/u1/preferences", `{"opt_out":{"chanels":[]}}`, 400, `unknown key; did you mean channels?"`},
		{"POST", "/v1/users/u1/stream/ack", `{}`, 400, `"field":"id"`},
		{"POST", "/v1/users/u1/stream/ack", `{"id":-1}`, 400, `"field":"id"`},
		{"PUT", "/v1/users/u1/preferences", `{"timezone":"Berlin"}`, 400, `"field":"timezone"`},
		{"PUT", "/v1/users/u1/preferences", `{"quiet_hours":"22-7"}`, 400, `"field":"quiet_hours"`},
		{"PUT", "/v1/users/u1/preferences", `{"opt_out":{"channels":["pigeon"]}}`, 400, `"field":"opt_out.channels"`},
	} {
		status, body := ask(r, c.method, c.path, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %.60s %s: %d %s, want %d %s", c.method, c.path, c.body, status, body, c.status, c.want)
		}
	}
}

// ask sends one request past the check against openapi.yaml, which refuses what shall be refused here.
func ask(r *rig, method, path, body string) (int, string) {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	r.api.Handler().ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

// addMessage keeps a message of u1 that was shown in the app.
func addMessage(t *testing.T, r *rig, id freshet.JobID, expires freshet.Timestamp) {
	t.Helper()
	if _, err := r.people.Add(t.Context(), outbox.Message{ID: id, User: "u1", Pipeline: "today", Category: "today", CreatedAt: now, ExpiresAt: expires, DueAt: now}, now); err != nil {
		t.Fatal(err)
	}
	err := r.people.Decide(t.Context(), id, func(tx *outbox.Tx) (bool, error) {
		tx.Show(json.RawMessage(`{"id":"` + string(id) + `"}`))
		tx.Message.State, tx.Message.EndedAt = outbox.Shown, now
		return false, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.hub.Told("u1")
}

func TestDeliveriesAndOutcomes(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	addMessage(t, r, "today-3-1", now+1000)
	addMessage(t, r, "today-3-2", now+1000)
	for _, c := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/v1/deliveries?limit=1", 200, `"next":"today-3-1"`},
		{"GET", "/v1/deliveries?user_id=u1&after=today-3-1", 200, `{"deliveries":[{"id":"today-3-2"`},
		{"GET", "/v1/deliveries?user_id=u2", 200, `{"deliveries":[]}`},
		{"POST", "/v1/deliveries/today-3-1/opened", 204, ""},
		{"POST", "/v1/deliveries/today-3-1/opened", 204, ""},
		{"GET", "/v1/deliveries/today-3-1", 200, `"outcomes":{"opened":"2025-03-03T12:01:00.000Z"}`},
		{"POST", "/v1/deliveries/today-3-1/liked", 404, "expected opened"},
		{"POST", "/v1/deliveries/none/opened", 404, "no delivery"},
		{"GET", "/v1/deliveries/none", 404, "no delivery"},
	} {
		if status, body := ask(r, c.method, c.path, ""); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, status, body, c.status, c.want)
		}
	}
}

// readEvents reads the events of a stream until there are n with data; comments and retry are left out.
func readEvents(t *testing.T, lines *bufio.Scanner, n int) (events []string) {
	t.Helper()
	var one []string
	for len(events) < n && lines.Scan() {
		switch line := lines.Text(); {
		case line == "" && len(one) > 0:
			if len(one) > 1 { // an id alone is no event
				events = append(events, strings.Join(one, "|"))
			}
			one = nil
		case strings.HasPrefix(line, "id:"), strings.HasPrefix(line, "event:"), strings.HasPrefix(line, "data:"):
			one = append(one, line)
		}
	}
	return events
}

func openStream(t *testing.T, url, last string) (*bufio.Scanner, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", url+"/v1/users/u1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	return bufio.NewScanner(res.Body), cancel
}

// A stream gives what lies in the outbox, then what comes, and resumes where the client was.
func TestStream(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	s := httptest.NewServer(r.api.Handler())
	t.Cleanup(s.Close)
	addMessage(t, r, "today-3-1", now+1000)
	addMessage(t, r, "today-3-2", now) // expired
	lines, stop := openStream(t, s.URL, "")
	if got := readEvents(t, lines, 1); len(got) != 1 || got[0] != `id: 1|event: message|data: {"id":"today-3-1"}` {
		t.Fatalf("got %q", got)
	}
	addMessage(t, r, "today-3-3", now+1000)
	r.hub.Changed(freshet.Prediction{Pipeline: "today", Entity: freshet.Entity{Kind: "user", Key: "u1"}, Items: []freshet.Item{{ID: "c1", Score: 1}}})
	got := strings.Join(readEvents(t, lines, 2), "\n")
	if !strings.Contains(got, `id: 3|event: message|data: {"id":"today-3-3"}`) || !strings.Contains(got, `event: prediction|data: {"pipeline":"today"`) {
		t.Fatalf("got %s", got)
	}
	stop()
	for last, want := range map[string]string{"1": "today-3-3", "999": "today-3-1"} { // 999: from before an erasure
		lines, stop := openStream(t, s.URL, last)
		if got := readEvents(t, lines, 1); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("after %s: %q, want %s", last, got, want)
		}
		stop()
	}
	// Who comes back, also before the first message, gets the predictions that were stored meanwhile, the newest of each pipeline.
	for i, p := range []freshet.PipelineName{"today", "next", "today"} {
		made := freshet.Prediction{Pipeline: p, Entity: freshet.Entity{Kind: "user", Key: "u1"}, Cause: freshet.Place{Offset: freshet.Offset(i + 1)}, CreatedAt: now + freshet.Timestamp(i), Items: []freshet.Item{{ID: freshet.Key(fmt.Sprint("c", i))}}}
		if _, err := r.predictions.Put(t.Context(), made); err != nil {
			t.Fatal(err)
		}
	}
	lines, stop = openStream(t, s.URL, "0")
	if lines.Scan(); lines.Text() != "retry: 2000" {
		t.Errorf("it begins with %q", lines.Text())
	}
	if lines.Scan(); lines.Text() != "id: 0" { // what a client says that comes back before the first event
		t.Errorf("it goes on with %q", lines.Text())
	}
	got = strings.Join(readEvents(t, lines, 3), "\n")
	stop()
	var order []int
	for _, want := range []string{`id: 0|event: prediction|data: {"pipeline":"next"`, `id: 0|event: prediction|data: {"pipeline":"today"`, `"id":"c2"`, `id: 1|event: message`} {
		order = append(order, strings.Index(got, want))
	}
	if !slices.IsSorted(order) || order[0] != 0 || strings.Contains(got, `"id":"c0"`) {
		t.Errorf("after a reconnect, at %v of\n%s", order, got)
	}
	if status, body := ask(r, "POST", "/v1/users/u1/stream/ack", `{"id":1}`); status != 204 {
		t.Errorf("ack: %d %s", status, body)
	}
	lines, _ = openStream(t, s.URL, "")
	if got := readEvents(t, lines, 1); len(got) != 1 || !strings.Contains(got[0], "today-3-3") {
		t.Errorf("after the ack: %q", got)
	}
	if status, _ := ask(r, "GET", "/v1/users/u1/stream?last_event_id=x", ""); status != 400 {
		t.Errorf("a bad id: %d", status)
	}
}

// What a release has predicted that was taken back is told to nobody: the stream gets what a pull would, made by the release that serves, or the fallback where that cannot answer.
func TestStreamOfAReleaseThatWasTakenBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	s := httptest.NewServer(r.api.Handler())
	t.Cleanup(s.Close)
	bad := freshet.Prediction{Pipeline: "today", Entity: freshet.Entity{Kind: "user", Key: "u1"}, Release: "r2", Cause: freshet.Place{Offset: 1}, CreatedAt: now,
		Items: []freshet.Item{{ID: "bad", Score: 1}}}
	if _, err := r.predictions.Put(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	if err := r.live.Update(func(roles release.Roles) (release.Roles, error) {
		roles.Withdrawn = map[freshet.ReleaseID]bool{"r2": true}
		return roles, nil
	}); err != nil {
		t.Fatal(err)
	}
	lines, stop := openStream(t, s.URL, "0")
	defer stop()
	gone := bad
	gone.Pipeline = "nobody_has_it"
	r.hub.Changed(gone)
	r.hub.Changed(bad)
	for range 2 { // what was stored meanwhile, and what is stored now
		if got := readEvents(t, lines, 1); len(got) != 1 || strings.Contains(got[0], "bad") || !strings.Contains(got[0], `"pipeline":"today"`) || !strings.Contains(got[0], `"release":"r1"`) {
			t.Errorf("got %q", got)
		}
	}
}

// A reader that does not keep up is disconnected, and so is everybody when the server drains.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	sub, err := r.hub.Subscribe("u1")
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		r.hub.Changed(freshet.Prediction{Entity: freshet.Entity{Kind: "user", Key: "u1"}})
	}
	n := 0
	for range sub.Predictions { // it ends
		n++
	}
	if n == 0 || r.hub.Stats().Slow != 1 {
		t.Errorf("%d predictions, %+v", n, r.hub.Stats())
	}
	sub.Close()
	sub.Close()
	s := httptest.NewServer(r.api.Handler())
	t.Cleanup(s.Close)
	for range 8 {
		openStream(t, s.URL, "")
	}
	if status, body := ask(r, "GET", "/v1/users/u1/stream", ""); status != 429 || !strings.Contains(body, "too many streams") {
		t.Errorf("a ninth: %d %s", status, body)
	}
	r.api.drain()
	for deadline := time.NewTimer(20 * time.Second); r.hub.Stats().Open > 0; {
		select {
		case <-deadline.C:
			t.Fatalf("still %+v", r.hub.Stats())
		default:
		}
	}
}
