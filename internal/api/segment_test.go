package api

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/refused"
)

// segmentProject is testProject with what the Segment door needs.
func segmentProject() string {
	return strings.Replace(testProject, "views:\n", `  page: { keys: [user_id], fields: { name: string, category: string, url: string, timezone: string } }
  member: { keys: [user_id], fields: { group_id: string, plan: string } }
  alias: { keys: [user_id], fields: { previous_id: string } }
segment:
  track:
    Play Finished: { type: play, fields: { Content: content_id, length.seconds: seconds } }
    Looked For: search
  page: { fields: { context.timezone: timezone, context.page.url: url } }
  identify: { table: mood_now, fields: { stress_level: stress } }
  group: member
  fields: { q: query }
views:
`, 1)
}

func newSegmentRig(t *testing.T) *rig { return newRigOf(t, segmentProject(), Options{}) }

// taken sends a message or batch that is answered with success.
func (r *rig) taken(path, body string, headers ...string) {
	r.t.Helper()
	if a := r.post(path, body, headers...); a.status != 200 || string(a.body) != `{"success":true}` {
		r.t.Fatalf("%s: %d %s", path, a.status, a.body)
	}
}

// logged are the events about a user, as type, event time and payload.
func (r *rig) logged(user freshet.Key) (list []string) {
	r.t.Helper()
	records, err := r.log.Read(r.t.Context(), nil, freshet.PartitionOf(user), 1, 10_000)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, rec := range records {
		if rec.Entity == (freshet.Entity{Kind: "user", Key: user}) {
			list = append(list, string(rec.Event.Type)+" "+rec.Event.EventTime.String()+" "+string(rec.Event.Payload))
		}
	}
	return list
}

func (r *rig) refusedEvents() (list []refused.Event) {
	r.t.Helper()
	return decodeAnswer[struct {
		Refused []refused.Event `json:"refused_events"`
	}](r.t, r.get("/v1/dead-letters")).Refused
}

// TestSegmentMapping: the event that each message becomes.
func TestSegmentMapping(t *testing.T) {
	t.Parallel()
	const at = `"timestamp":"2025-03-03T12:00:00.250Z"`
	for name, c := range map[string]struct{ path, message, want string }{
		"snake case": {"track", `{"messageId":"m1","userId":"u1","event":"Search","properties":{"Query":"rain","extra":{"a":[1]}},` + at + `}`,
			`search 2025-03-03T12:00:00.250Z {"event_id":"m1","type":"search","event_time":1741003200250,"user_id":"u1","event":"Search","query":"rain","extra":{"a":[1]}}`},
		"renamed": {"t", `{"messageId":"m1","userId":"u1","event":"Play Finished","properties":{"Content":"c1","length":{"seconds":3.5},"type":"x"},` + at + `}`,
			`play 2025-03-03T12:00:00.250Z {"event_id":"m1","type":"play","event_time":1741003200250,"content_id":"c1","seconds":3.5,"user_id":"u1","event":"Play Finished","length":{"seconds":3.5}}`},
		"renamed for all": {"track", `{"messageId":"m1","userId":"u1","event":"Looked For","properties":{"q":"🌧\u0000"},` + at + `}`,
			`search 2025-03-03T12:00:00.250Z {"event_id":"m1","type":"search","event_time":1741003200250,"query":"🌧\u0000","user_id":"u1","event":"Looked For"}`},
		"the user is the message's": {"track", `{"messageId":"m1","userId":"u1","anonymousId":7,"event":"search","properties":{"user_id":"u2"},` + at + `}`,
			`search 2025-03-03T12:00:00.250Z {"event_id":"m1","type":"search","event_time":1741003200250,"user_id":"u1","anonymous_id":"7","event":"search"}`},
		"anonymous": {"track", `{"messageId":"m1","userId":null,"anonymousId":"u1","event":"search"}`,
			`search 2025-03-03T12:01:00.000Z {"event_id":"m1","type":"search","user_id":"u1","anonymous_id":"u1","event":"search"}`},
		"page": {"page", `{"messageId":"m1","userId":"u1","name":"Home","category":"Tabs","properties":{"name":"other"},"context":{"timezone":"Europe/Paris","page":{"url":"https://x/y"}},` + at + `}`,
			`page 2025-03-03T12:00:00.250Z {"event_id":"m1","type":"page","event_time":1741003200250,"url":"https://x/y","timezone":"Europe/Paris","user_id":"u1","name":"Home","category":"Tabs"}`},
		"group": {"group", `{"messageId":"m1","userId":"u1","groupId":12,"traits":{"plan":"plus"},` + at + `}`,
			`member 2025-03-03T12:00:00.250Z {"event_id":"m1","type":"member","event_time":1741003200250,"user_id":"u1","group_id":"12","plan":"plus"}`},
		"alias": {"a", `{"messageId":"m1","userId":"u1","previousId":"u0",` + at + `}`,
			`alias 2025-03-03T12:00:00.250Z {"event_id":"m1","type":"alias","event_time":1741003200250,"user_id":"u1","previous_id":"u0"}`},
		// The client's clock is 5 minutes fast: sent at our 12:01:00, a minute after it happened.
		"fast clock": {"track", `{"messageId":"m1","userId":"u1","event":"search","timestamp":"2025-03-03T12:05:00Z","sentAt":"2025-03-03T13:06:00+01:00"}`,
			`search 2025-03-03T12:00:00.000Z {"event_id":"m1","type":"search","event_time":1741003500000,"sent_time":1741003560000,"user_id":"u1","event":"search"}`},
		"happened after it was sent": {"track", `{"messageId":"m1","userId":"u1","event":"search","timestamp":"2025-03-03T12:05:00Z","sentAt":"2025-03-03T12:04:00Z"}`,
			`search 2025-03-03T12:01:00.000Z {"event_id":"m1","type":"search","event_time":1741003500000,"sent_time":1741003440000,"user_id":"u1","event":"search"}`},
		"only sent": {"track", `{"messageId":"m1","userId":"u1","event":"search","sentAt":"2025-03-03T12:04:00Z"}`,
			`search 2025-03-03T12:01:00.000Z {"event_id":"m1","type":"search","user_id":"u1","event":"search"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newSegmentRig(t)
			r.taken("/v1/"+c.path, c.message, "Content-Type", "text/plain", "Authorization", "Basic YWJjMTIzOg==")
			if got := r.logged("u1"); len(got) != 1 || got[0] != c.want {
				t.Errorf("got  %s\nwant %s\nrefused %+v", got, c.want, r.refusedEvents())
			}
		})
	}
}

func TestSegmentBatch(t *testing.T) {
	t.Parallel()
	r := newSegmentRig(t)
	r.check = false // Python writes NaN, which openapi.yaml does not know
	batch := func(sent string) string {
		return `{"batch":[
			{"type":"track","event":"search","userId":"u1","messageId":"m1","timestamp":"2025-03-03T12:00:00Z"},
			{"type":"page","userId":"u1","messageId":"m2","timestamp":"2025-03-03T12:00:30Z","sentAt":"2025-03-03T12:01:00Z","context":{"page":{"url":"u"}}},
			{"type":"track","event":"play","userId":"u1","messageId":"m3","properties":{"content_id":"c1","seconds":"long"}},
			{"type":"track","event":"search","userId":"u1","messageId":"m4","properties":{"query":NaN}}
		],"sentAt":"` + sent + `","context":{"timezone":"UTC","page":{"url":"below"}},"writeKey":"k"}`
	}
	r.taken("/v1/batch", batch("2025-03-03T12:00:40Z"))
	want := []string{
		`search 2025-03-03T12:00:20.000Z {"event_id":"m1","type":"search","event_time":1741003200000,"sent_time":1741003240000,"user_id":"u1","event":"search"}`,
		`page 2025-03-03T12:00:30.000Z {"event_id":"m2","type":"page","event_time":1741003230000,"sent_time":1741003260000,"url":"u","timezone":"UTC","user_id":"u1"}`,
		`search 2025-03-03T12:01:00.000Z {"event_id":"m4","type":"search","user_id":"u1","event":"search","query":"NaN"}`,
	}
	if got := r.logged("u1"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// The same batch again, sent later: nothing is there twice, and the first time stays.
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(batch("2025-03-03T12:00:59Z"))); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	r.taken("/v1/b", packed.String(), "Content-Encoding", "gzip")
	if got := r.logged("u1"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("sent again: got %s", got)
	}
	refused := r.refusedEvents()
	if len(refused) != 2 || refused[0].EventID != "m3" || refused[0].Cause != string(causeInvalid) || refused[0].Field != "seconds" || refused[0].Door != "segment" {
		t.Errorf("refused %+v", refused)
	}
}

// TestSegmentRefused: what is answered with success and cannot be taken is listed and counted by its cause.
func TestSegmentRefused(t *testing.T) {
	t.Parallel()
	r := newSegmentRig(t)
	r.check = false
	long := strings.Repeat("x", maxSegmentMessage)
	for _, c := range []struct {
		message string
		cause   refusalCause
		words   string
	}{
		{`7`, causeMalformed, "no JSON object"},
		{`{"type":"track","userId":"u1","event":"search","userId":"u2"}`, causeMalformed, "duplicate"},
		{`{"type":"trak","userId":"u1"}`, causeMalformed, "no kind of message"},
		{`{"userId":"u1"}`, causeMalformed, "no kind of message"},
		{`{"type":"track","userId":"u1"}`, causeMalformed, "event: missing"},
		{`{"type":"track","userId":"u1","event":"search","properties":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, causeMalformed, "nested deeper"},
		{`{"type":"track","userId":"u1","event":"search","properties":{"query":"` + long + `"}}`, causeTooLarge, "at most 32768"},
		{`{"type":"track","event":"search"}`, causeNoID, "anonymousId"},
		{`{"type":"track","userId":"","event":"search"}`, causeNoID, "anonymousId"},
		{`{"type":"group","userId":"u1"}`, causeNoID, "groupId"},
		{`{"type":"alias","userId":"u1"}`, causeNoID, "previousId"},
		{`{"type":"track","userId":"u1","event":"Serach"}`, causeUnknownType, "did you mean search?"},
		{`{"type":"screen","userId":"u1"}`, causeUnknownType, "no event type screen"},
		{`{"type":"track","userId":["u1"],"event":"search"}`, causeInvalid, "userId"},
		{`{"type":"track","userId":"u1","event":"search","properties":[]}`, causeInvalid, "expected an object"},
		{`{"type":"track","userId":"u1","event":"search","timestamp":1741003200000}`, causeInvalid, "ISO 8601"},
		{`{"type":"track","userId":"u1","event":"search","timestamp":"noon"}`, causeInvalid, "timestamp"},
		{`{"type":"track","userId":"u1","event":"search","timestamp":"1970-01-01T00:00:00Z","sentAt":"2030-01-01T00:00:00Z"}`, causeInvalid, "outside 1970"},
		{`{"type":"track","userId":"u1","event":"play"}`, causeInvalid, "content_id"},
		{`{"type":"track","userId":"` + strings.Repeat("u", 300) + `","event":"search"}`, causeInvalid, "user_id"},
		{`{"type":"track","userId":"u1","event":"search","messageId":"` + strings.Repeat("m", 200) + `"}`, causeInvalid, "event_id"},
		{`{"type":"identify","userId":"u1","traits":{"level":"high"}}`, causeInvalid, "level"},
	} {
		r.taken("/v1/batch", `{"batch":[`+c.message+`,{"type":"track","userId":"good","event":"search"}]}`)
		got := r.refusedEvents()[0]
		if got.Cause != string(c.cause) || !strings.Contains(got.Reason, c.words) || got.Message != clip(c.message, maxSegmentMessage) {
			t.Errorf("%.100s: refused as %s: %s", c.message, got.Cause, got.Reason)
		}
	}
	if got := r.logged("u1"); len(got) > 0 {
		t.Errorf("taken: %s", got)
	}
	if got := r.logged("good"); len(got) != 22 {
		t.Errorf("%d good events were taken beside the others", len(got))
	}
	body := string(r.get("/metrics").body)
	for _, want := range []string{`cause="malformed"} 6`, `cause="too_large"} 1`, `cause="no_id"} 4`, `cause="unknown_type"} 2`, `cause="invalid"} 9`} {
		if !strings.Contains(body, "freshet_segment_refused_total{"+want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// TestSegmentBodies: what can never be read is 400, what may be sent again 429 or 503, and the limits.
func TestSegmentBodies(t *testing.T) {
	t.Parallel()
	r := newSegmentRig(t)
	r.check = false
	sized := func(size int, head, tail string) string {
		return head + strings.Repeat("x", size-len(head)-len(tail)) + tail
	}
	message := func(size int) string { return sized(size, `{"userId":"u1","event":"search","x":"`, `"}`) }
	batch := func(size int) string { return sized(size, `{"batch":[],"x":"`, `"}`) }
	many := func(n int) string { return `{"batch":[` + strings.TrimSuffix(strings.Repeat("7,", n), ",") + `]}` }
	for _, c := range []struct {
		name, path, body string
		status           int
	}{
		{"no body", "track", " ", 400},
		{"no JSON", "track", `{"userId"`, 400},
		{"more", "track", `{} {}`, 400},
		{"a list", "track", `[]`, 400},
		{"a batch that is a list", "batch", `[]`, 400},
		{"no batch", "batch", `{"userId":"u1"}`, 400},
		{"a batch of nothing", "batch", `{"batch":{}}`, 400},
		{"an empty batch", "import", `{"batch":[]}`, 200},
		{"a message of 32 KiB", "track", message(maxSegmentMessage), 200},
		{"a message over 32 KiB", "track", message(maxSegmentMessage + 1), 400},
		{"a batch of 500 KiB", "batch", batch(maxSegmentBody), 200},
		{"a batch over 500 KiB", "batch", batch(maxSegmentBody + 1), 400},
		{"2,500 messages", "batch", many(2500), 200},
		{"2,501 messages", "batch", many(2501), 400},
	} {
		a := r.post("/v1/"+c.path, c.body)
		if want := `{"success":` + strconv.FormatBool(c.status == 200); a.status != c.status || !strings.HasPrefix(string(a.body), want) {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
	}
	r.check = true
	r.back.set(func(b *behind) { b.backlogged = "too much" })
	a := r.post("/v1/batch", `{"batch":[]}`)
	if a.status != 429 || a.header.Get("Retry-After") == "" || !strings.HasPrefix(string(a.body), `{"success":false,"code":"resource_exhausted","message":`) {
		t.Errorf("behind: %d %v %s", a.status, a.header, a.body)
	}
}

// TestSegmentTraits: traits are laid over the row that is there, and the newest stay.
func TestSegmentTraits(t *testing.T) {
	t.Parallel()
	r := newSegmentRig(t)
	identify := func(second int, traits string) string {
		return fmt.Sprintf(`{"type":"identify","userId":"u1","traits":%s,"timestamp":"2025-03-03T12:00:%02d.000Z"}`, traits, second)
	}
	row := func() string {
		return string(r.post("/v1/features", `{"features":["mood_now.stress","mood_now.level","mood_now.note","mood_now.tags"],"entities":[{"user_id":"u1"}]}`).body)
	}
	for _, step := range []struct{ path, body, want string }{
		{"identify", identify(10, `{"stress_level":0.5,"Level":3,"unknown":{}}`), `[[0.5],[3],[null],[null]]`},
		{"batch", `{"batch":[` + identify(12, `{"note":"a","tags":["x"]}`) + "," + identify(13, `{"level":4}`) + `]}`, `[[0.5],[4],["a"],[["x"]]]`},
		{"i", identify(11, `{"note":"old"}`), `[[0.5],[4],["a"],[["x"]]]`},
		{"i", identify(13, `{"note":null}`), `[[0.5],[4],[null],[["x"]]]`},
	} {
		r.taken("/v1/"+step.path, step.body)
		if got := row(); !strings.Contains(got, `"columns":`+step.want) {
			t.Errorf("after %s: %s, want %s", step.body, got, step.want)
		}
	}
	if refused := r.refusedEvents(); len(refused) > 0 {
		t.Errorf("refused %+v", refused)
	}
	if got := r.logged("u1"); len(got) > 0 { // there is no event type identify
		t.Errorf("events: %s", got)
	}
}

func TestSnakeCase(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"play": "play", "Play Finished": "play_finished", "playFinished": "play_finished", "contentID": "content_id", "HTTPServer": "http_server",
		"Product 2 Viewed": "product_2_viewed", "A/B  Test": "a_b_test", "already_snake": "already_snake", "$set": "set", "page.title": "page_title",
		"Übung Ende": "übung_ende", "": "", "—": "", "utf8Name": "utf8_name",
	} {
		if got := snakeCase(name); got != want {
			t.Errorf("snakeCase(%q) = %q, want %q", name, got, want)
		}
	}
}

// FuzzSegment: whatever is sent, an answer that openapi.yaml knows, and no event that decoding refuses.
func FuzzSegment(f *testing.F) {
	f.Add(`{"batch":[{"type":"track","event":"Play Finished","userId":"u1","properties":{"Content":"c","length":{"seconds":1}}}],"sentAt":"2025-03-03T12:00:00Z"}`)
	f.Add(`{"batch":[{"type":"identify","userId":1,"traits":{"level":1,"Level":2}},7,null,[],{}]}`)
	f.Add(`{"batch":[{"type":"page","anonymousId":"a","context":{"page":{"url":null}},"properties":{"":1,"event_id":2,"_":3}}]}`)
	r := newRigOf(f, segmentProject(), Options{})
	r.check = false
	f.Fuzz(func(t *testing.T, body string) {
		r := *r
		r.t = t
		if a := r.post("/v1/batch", body); a.status != 200 && a.status != 400 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}
