package api

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-ml/freshet"
)

type wireFeatures struct {
	View      string
	Entity    map[string]string
	At        string
	Features  map[string]any
	EventTime *string `json:"event_time"`
	Offset    *int
	Release   string
	Stale     bool
}

func TestFeaturesOfOneEntity(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.post("/v1/events", "["+play("e1")+","+strings.Replace(play("e2"), "c1", "c2", 1)+"]").events(t)

	got := decodeAnswer[wireFeatures](t, r.get("/v1/features/session?user_id=u1"))
	if got.View != "session" || got.Entity["user_id"] != "u1" || got.Release != "r1" || got.At != now.String() || got.Stale ||
		fmt.Sprint(got.Features) != "map[plays:2 recent:[c2 c1]]" || got.EventTime == nil || got.Offset == nil || *got.Offset != 2 {
		t.Errorf("got %+v", got)
	}

	nobody := decodeAnswer[wireFeatures](t, r.get("/v1/features/session?user_id=nobody"))
	if fmt.Sprint(nobody.Features) != "map[plays:0 recent:[]]" || nobody.EventTime != nil || nobody.Offset != nil {
		t.Errorf("an unknown entity: %+v", nobody)
	}

	for _, at := range []string{"2025-03-03T11:59:59Z", "1741003199999", "2025-03-03T12:59:59.999%2B01:00", "2025-03-03T12:59:59+01:00"} {
		if got := decodeAnswer[wireFeatures](t, r.get("/v1/features/session?as_of=event&user_id=u1&at="+at)); got.Features["plays"] != 0.0 || !strings.HasPrefix(got.At, "2025-03-03T11:59:59") {
			t.Errorf("at %s: %+v, expected no plays", at, got)
		}
	}
	if got := decodeAnswer[wireFeatures](t, r.get("/v1/features/session?user_id=u1&at=9999-01-01T00:00:00Z")); got.Features["plays"] != 2.0 {
		t.Errorf("in the future: %+v", got)
	}
}

func TestFeaturesOfACompositeKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.post("/v1/events", `{"event_id":"s1","type":"taken","hall":"a,b","row":7,"user_id":"u1","price":2.5}`).events(t)
	got := decodeAnswer[wireFeatures](t, r.get("/v1/features/seats?row=7&hall="+url.QueryEscape("a,b")))
	if fmt.Sprint(got.Entity) != "map[hall:a,b row:7]" || got.Features["revenue"] != 2.5 {
		t.Errorf("got %+v", got)
	}
}

func TestFeatureRequestsThatAreWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	for _, test := range []struct {
		target, field, words string
		status               int
	}{
		{"/v1/features/sesion?user_id=u1", "view", "session", 404},
		{"/v1/features/session", "user_id", "missing", 400},
		{"/v1/features/session?user_id=", "user_id", "1 to 256", 400},
		{"/v1/features/session?user_id=" + strings.Repeat("x", 257), "user_id", "257", 400},
		{"/v1/features/session?user_id=u1&user_id=u2", "user_id", "2 times", 400},
		{"/v1/features/session?userid=u1", "userid", "user_id", 400},
		{"/v1/features/session?user_id=u1&content_id=c1", "content_id", "unknown parameter", 400},
		{"/v1/features/session?user_id=u1&at=yesterday", "at", "RFC 3339", 400},
		{"/v1/features/session?user_id=u1&at=", "at", "RFC 3339", 400},
		{"/v1/features/session?user_id=u1&at=2025-03-03T12:00:00", "at", "zone", 400},
		{"/v1/features/session?user_id=u1&at=-1", "at", "1970", 400},
		{"/v1/features/session?user_id=u1&at=99999999999999999", "at", "1970", 400},
		{"/v1/features/session?user_id=u1&as_of=later", "as_of", "known", 400},
		{"/v1/features/session?user_id=u1&wait=5s", "wait", "after", 400},
		{"/v1/features/session?user_id=u1&after=!", "after", "position", 400},
		{"/v1/features/session?user_id=u1&after=&wait=31s", "wait", "30s", 400},
		{"/v1/features/session?user_id=u1&after=&wait=-1s", "wait", "30s", 400},
		{"/v1/features/session?user_id=u1&after=&wait=5", "wait", "500ms", 400},
		{"/v1/features/session?user_id=%zz", "", "query", 400},
		{"/v1/features/seats?hall=a", "row", "hall and row", 400},
	} {
		a := r.get(test.target)
		if p := a.problem(t); a.status != test.status || p.Field != test.field || !strings.Contains(p.Detail, test.words) {
			t.Errorf("%s: got %s, expected %d, field %q, %q", test.target, a.body, test.status, test.field, test.words)
		}
	}
}

type wireColumns struct {
	Names   []string
	Columns [][]any
	At      string
	Release string
	Stale   bool
}

func TestFeatureColumns(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.post("/v1/events", "["+play("e1")+","+play("e2")+"]").events(t)
	got := decodeAnswer[wireColumns](t, r.post("/v1/features",
		`{"features":["profile.tenure_days","session","popularity.starts","session.plays"],"entities":[{"user_id":"u1","content_id":"c1"},{"user_id":5,"content_id":"c9"}]}`))
	if want := "[profile.tenure_days session.plays session.recent popularity.starts session.plays]"; fmt.Sprint(got.Names) != want {
		t.Errorf("names %v, expected %s", got.Names, want)
	}
	if want := "[[7 <nil>] [2 0] [[c1 c1] []] [2 0] [2 0]]"; fmt.Sprint(got.Columns) != want {
		t.Errorf("columns %v, expected %s", got.Columns, want)
	}
	if got.At != now.String() || got.Release != "r1" {
		t.Errorf("got %+v", got)
	}
	// Keys that are numbers are read as they may be sent.
	for i, key := range []string{"70e-1", "12345678901234567890123"} {
		r.post("/v1/events", fmt.Sprintf(`{"event_id":"n%d","type":"play","user_id":%s,"content_id":"c1"}`, i, key)).events(t)
	}
	numbers := decodeAnswer[wireColumns](t, r.post("/v1/features", `{"features":["session.plays"],"entities":[{"user_id":7.0},{"user_id":"7"},{"user_id":12345678901234567890123}]}`))
	if fmt.Sprint(numbers.Columns) != "[[1 1 1]]" {
		t.Errorf("keys that are numbers: %+v", numbers)
	}
	early := decodeAnswer[wireColumns](t, r.post("/v1/features?as_of=known", `{"features":["session.plays"],"entities":[{"user_id":"u1"}],"at":"2025-03-03T11:00:00Z"}`))
	if fmt.Sprint(early.Columns) != "[[0]]" || early.At != "2025-03-03T11:00:00.000Z" {
		t.Errorf("before all events: %+v", early)
	}
	if none := decodeAnswer[wireColumns](t, r.post("/v1/features", `{"features":["session.plays"],"entities":[],"at":1741003200000}`)); fmt.Sprint(none.Columns) != "[[]]" {
		t.Errorf("of nobody: %+v", none)
	}
}

func TestFeatureColumnRequestsThatAreWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	entities := func(n int) string { return "[" + strings.Repeat(`{"user_id":"u1"},`, n-1) + `{"user_id":"u1"}]` }
	for _, test := range []struct {
		body, field, words string
		status             int
	}{
		{`{}`, "features", "missing", 400},
		{`{"features":["session"]}`, "entities", "missing", 400},
		{`{"features":"session","entities":[]}`, "features", "list", 400},
		{`{"features":["sesion"],"entities":[]}`, "features", "session", 404},
		{`{"features":["session.play"],"entities":[]}`, "features", "plays", 404},
		{`{"features":["profile"],"entities":[]}`, "features", "column", 404},
		{`{"features":["profile.tenure"],"entities":[]}`, "features", "tenure_days", 404},
		{`{"features":["session"],"entities":[{}]}`, "user_id", "entities[0]", 400},
		{`{"features":["session"],"entities":[{"user_id":"u1","x":1}]}`, "x", "entities[0]", 400},
		{`{"features":["session"],"entities":[{"user_id":1.5}]}`, "user_id", "integer", 400},
		{`{"features":["session"],"entities":[{"user_id":null}]}`, "user_id", "integer", 400},
		{`{"features":["session"],"entities":[],"when":1}`, "when", "unknown", 400},
		{`{"features":["session"],"entities":[],"at":true}`, "at", "RFC 3339", 400},
		{`{"features":["session"],"entities":[],"wait":"5s"}`, "wait", "after", 400},
		{`{"features":["session"],"entities":` + entities(1001) + `}`, "entities", "1000", 413},
		{`{"features":["session"` + strings.Repeat(`,"session"`, 100) + `],"entities":` + entities(1000) + `}`, "entities", "100000", 413},
		{`{"features":["session"` + strings.Repeat(`,"session"`, 999) + `],"entities":[]}`, "features", "1000", 413},
		{`[]`, "", "object", 400},
		{`{"features":["session"],"entities":[]}{}`, "", "something follows", 400},
		{`{"features":["session"],"entities":[],"entities":[]}`, "", "duplicate", 400},
		{`{"features":["session"],"entities":[{"user_id":"` + "\xff" + `"}]}`, "", "UTF-8", 400},
		{`{"features":["session"`, "", "JSON", 400},
		{`{"features":` + strings.Repeat("[", 100) + `}`, "", "64", 400},
	} {
		a := r.post("/v1/features", test.body)
		if p := a.problem(t); a.status != test.status || p.Field != test.field || !strings.Contains(p.Detail, test.words) {
			t.Errorf("%.100s: got %s, expected %d, field %q, %q", test.body, a.body, test.status, test.field, test.words)
		}
	}
	if a := r.post("/v1/features?at=0", `{"features":["session"],"entities":[],"at":0}`); a.problem(t).Field != "at" {
		t.Errorf("at given twice: %s", a.body)
	}
	if a := r.post("/v1/features", "{}", "Content-Type", "application/x-ndjson"); a.status != 415 {
		t.Errorf("NDJSON: %s", a.body)
	}
}

func TestFeaturesWaitForTheirRows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		r.check = false // reads the document under a lock
		position := r.post("/v1/events", play("e1")).events(t).Position
		at := "/v1/features/session?user_id=u1&after=" + position

		start := time.Now()
		if got := decodeAnswer[wireFeatures](t, r.get(at)); !got.Stale || time.Since(start) != 0 {
			t.Errorf("without wait: %+v after %v, expected stale at once", got, time.Since(start))
		}
		if got := decodeAnswer[wireFeatures](t, r.get(at+"&wait=500ms")); !got.Stale || time.Since(start) != 500*time.Millisecond {
			t.Errorf("nothing happens: %+v after %v, expected stale after 500ms", got, time.Since(start))
		}
		start = time.Now()
		time.AfterFunc(time.Second, func() { r.apply("u1") })
		if got := decodeAnswer[wireFeatures](t, r.get(at+"&wait=5s")); got.Stale || time.Since(start) != time.Second {
			t.Errorf("applied after a second: %+v after %v", got, time.Since(start))
		}
		if got := decodeAnswer[wireFeatures](t, r.get(at)); got.Stale {
			t.Errorf("applied already: %+v", got)
		}
		// Another user's rows need not be there.
		if got := decodeAnswer[wireFeatures](t, r.get("/v1/features/session?user_id=somebody&after="+position)); got.Stale {
			t.Errorf("another partition: %+v", got)
		}
		body := `{"features":["session"],"entities":[{"user_id":"u1"}],"after":"` + position + `","wait":"1s"}`
		if got := decodeAnswer[wireColumns](t, r.post("/v1/features", body)); got.Stale {
			t.Errorf("batch: %+v", got)
		}
	})
}

// apply makes the rows of key's partition visible through the head of the log.
func (r *rig) apply(key freshet.Key) {
	p := freshet.PartitionOf(key)
	owner, err := r.rows.Acquire(context.Background(), p, nil)
	if err == nil {
		err = r.rows.Apply(context.Background(), p, owner.Epoch, r.log.Head(p), nil)
	}
	if err != nil {
		r.t.Error(err)
	}
}
