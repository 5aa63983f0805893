package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
)

// FuzzEvents sends any body as JSON and as lines. Whatever it is, the answer is one of those that openapi.yaml has, the counts
// add up to what reached the log, and what was accepted is known when it comes again.
func FuzzEvents(f *testing.F) {
	for _, seed := range []string{
		play("e1"), "[" + play("e1") + "," + play("e2") + "]", play("e1") + "\n" + play("e2"), "[]", "{}", "", "[{]", "{\"type\":1}",
		`{"type":"play","user_id":1,"content_id":"c","event_id":"x","type":"play"}`, strings.Repeat("[", 70), "\xff", `[{"a":"\ud800"}]`,
		`{"event_id":"e","type":"search","user_id":"u","sent_time":1,"event_time":2}`, "[5,null,[]," + play("e1") + "]",
	} {
		f.Add(seed)
	}
	base := newRig(f, Options{})
	base.check = false
	f.Fuzz(func(t *testing.T, body string) {
		r := *base
		r.t = t
		for _, contentType := range []string{"application/json", "application/x-ndjson"} {
			before := r.log.Stats().Appended
			a := r.post("/v1/events", body, "Content-Type", contentType)
			added := int(r.log.Stats().Appended - before)
			switch a.status {
			case 202:
				got := a.events(t)
				if got.Accepted != added {
					t.Errorf("%d accepted, %d reached the log: %q", got.Accepted, added, body)
				}
				if _, err := freshet.ParsePosition(got.Position); err != nil {
					t.Errorf("%v: %q", err, body)
				}
			case 400, 413, 422:
				if a.problem(t); added != 0 || !json.Valid(a.body) {
					t.Errorf("%d reached the log of a request that was answered %s: %q", added, a.body, body)
				}
			default:
				t.Errorf("answered %d %s: %q", a.status, a.body, body)
			}
		}
	})
}
