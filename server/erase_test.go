package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/server"
)

const eraseShop = `
project: test
entities: { user: { key: user_id }, item: { key: item_id } }
events:
  view: { keys: [user_id, item_id], fields: { price: float } }
views:
  seen:  { entity: user, from: view, window: lifetime, features: { n: count() } }
  trend: { entity: item, from: view, window: lifetime, features: { starts: count(), revenue: sum(price) } }
  fans:  { entity: item, from: view, window: lifetime, features: { last: "last(user_id, 40)", n: distinct(user_id) } }
tables:
  mood: { entity: user, push: true, columns: { stress: float } }
models:
  one: { path: one.json }
pipelines:
  risk: { from: view, entity: user, model: one, inputs: { n: seen.n } }
`

// TestErase: of somebody who is erased nothing is left, in the log, in the offline store, in what is served; other users
// and what others' features say stay; and it holds after a restart that replays (P1, P7).
func TestErase(t *testing.T) {
	t.Parallel()
	project, data := t.TempDir(), t.TempDir()
	write(t, filepath.Join(project, "freshet.yaml"), eraseShop)
	write(t, filepath.Join(project, "one.json"), `{"format":"freshet.linear/1","link":"identity","features":[{"name":"n"}],"coefficients":[[1]],"intercept":[0],"outputs":["risk"]}`)
	const gone, stays = "user-to-be-erased", "user-who-stays"
	spec := feature.EntitySpec{Kind: "user", KeyFields: []string{"user_id"}}
	traces := func() []string {
		t.Helper()
		found, err := server.Traces(t.Context(), data, "", spec, gone)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	// The log keeps events for a moment only, so that some are in the offline store.
	start := func(f func(c *client.Client)) {
		t.Helper()
		s, err := server.New(t.Context(), server.Options{
			Project: project, Data: data, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), LogRetention: 400 * time.Millisecond, CheckEvery: time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		defer func() {
			stop()
			if err := <-ended; err != nil {
				t.Errorf("the server: %v", err)
			}
		}()
		f(connect(t, "http://"+s.Addr()))
	}
	send := func(c *client.Client, from, to int) {
		t.Helper()
		var lines []string
		for i := from; i < to; i++ {
			for _, user := range []string{gone, stays} {
				lines = append(lines, fmt.Sprintf(`{"event_id":"%s%d","type":"view","user_id":%q,"item_id":"c1","price":2,"secret":"of %s"}`, user[5:7], i, user, user))
			}
		}
		answer, err := c.SendEvents(t.Context(), client.JSON, []byte("["+strings.Join(lines, ",")+"]"))
		if err != nil || answer.Accepted != len(lines) {
			t.Fatalf("%+v, %v", answer, err)
		}
		if _, err := c.GetPrediction(t.Context(), client.User(gone), "risk", &client.PredictionOptions{After: answer.Position, Wait: 20 * time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	feature := func(c *client.Client, view freshet.ViewName, kind freshet.EntityKind, key, name string) any {
		t.Helper()
		f, err := c.GetFeatures(t.Context(), view, map[string]string{string(kind) + "_id": key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return f.Features[name]
	}
	start(func(c *client.Client) {
		send(c, 0, 50)
		ask(t, c.URL()+"/push", fmt.Sprintf(`{"push_source_name":"mood","df":{"user_id":[%q],"event_timestamp":["2026-01-01"],"stress":[0.5]}}`, gone))
		// Until the first events are files.
		for n := 0; n < 100_000 && c.Ready(t.Context()) == nil; n++ {
			if files, _ := filepath.Glob(filepath.Join(data, "offline", "events", "*", "*.parquet")); len(files) >= 3 {
				break
			}
		}
		send(c, 50, 60)
	})
	if found := traces(); len(found) < 5 {
		t.Fatalf("before: %v", found)
	}
	start(func(c *client.Client) {
		x, err := c.Erase(t.Context(), client.User(gone))
		if err != nil || !x.Served {
			t.Fatalf("%+v, %v", x, err)
		}
		if n := feature(c, "seen", "user", gone, "n"); fmt.Sprint(n) != "0" {
			t.Errorf("n is %v at once", n)
		}
		if _, err := c.GetPrediction(t.Context(), client.User(gone), "risk", nil); freshet.CodeOf(err) != freshet.NotFound {
			t.Errorf("a prediction: %v", err)
		}
		for n := 0; x.State != "done" && n < 10_000; n++ {
			if x, err = c.GetErase(t.Context(), x.ID); err != nil {
				t.Fatal(err)
			}
		}
		if x.State != "done" || x.Events != 60 || x.Others != 60 {
			t.Errorf("%+v", x)
		}
		if _, err := c.GetErase(t.Context(), "er-none"); freshet.CodeOf(err) != freshet.NotFound {
			t.Errorf("an unknown id: %v", err)
		}
		if n := feature(c, "trend", "item", "c1", "starts"); fmt.Sprint(n) != "120" {
			t.Errorf("starts is %v", n)
		}
		// Who was there lately is told under another name, and live events go on from there.
		for n := range 3 {
			fans := fmt.Sprint(feature(c, "fans", "item", "c1", "last"))
			if k := feature(c, "fans", "item", "c1", "n"); strings.Contains(fans, gone) || strings.Count(fans, "erased-") != 10 || strings.Count(fans, stays) != 30 || fmt.Sprint(k) != "2" {
				t.Errorf("%v fans: %s", k, fans)
			}
			view := fmt.Sprintf(`{"event_id":"more%d","type":"view","user_id":%q,"item_id":"c1","price":0}`, n, stays)
			answer, err := c.SendEvents(t.Context(), client.JSON, []byte(view))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.GetFeatures(t.Context(), "fans", map[string]string{"item_id": "c1"}, &client.FeatureOptions{After: answer.Position, Wait: 20 * time.Second}); err != nil {
				t.Fatal(err)
			}
		}
	})
	if found := traces(); len(found) != 0 {
		t.Errorf("after: %v", found)
	}
	start(func(c *client.Client) { // the rows are what the changed log says
		for n := 0; n < 5000 && metric(t, c, "freshet_feature_checked_total") < 20; n++ {
			feature(c, "fans", "item", "c1", "last")
			feature(c, "trend", "item", "c1", "starts")
		}
		if checked, wrong := metric(t, c, "freshet_feature_checked_total"), metric(t, c, "freshet_feature_mismatch_total"); checked < 20 || wrong != 0 {
			t.Errorf("%v reads were checked, %v were not what the log says", checked, wrong)
		}
	})
	// A changed view is filled by a replay of everything: of the log and the files as they are now.
	text := strings.ReplaceAll(eraseShop, "n: count() }", "n: count(), m: count() }")
	text = strings.ReplaceAll(text, "starts: count(),", "starts: count(), again: count(),")
	start(func(c *client.Client) {
		_, rel, err := c.Deploy(t.Context(), client.DeployRequest{Project: text, Canary: "0"}, client.Decision{Actor: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		if rel = follow(t, c, rel.ID); rel.State != "live" {
			t.Fatalf("%s is %s: %s", rel.ID, rel.State, rel.Last().Reason)
		}
		for _, want := range []struct {
			view      freshet.ViewName
			kind      freshet.EntityKind
			key, name string
			n         string
		}{
			{"seen", "user", gone, "m", "0"}, {"seen", "user", stays, "m", "63"}, {"trend", "item", "c1", "again", "123"}, {"trend", "item", "c1", "revenue", "240"},
		} {
			if n := feature(c, want.view, want.kind, want.key, want.name); fmt.Sprint(n) != want.n {
				t.Errorf("%s of %s is %v, want %s", want.name, want.key, n, want.n)
			}
		}
		// Who comes back is somebody new.
		send(c, 100, 101)
		if n := feature(c, "seen", "user", gone, "n"); fmt.Sprint(n) != "1" {
			t.Errorf("n is %v after coming back", n)
		}
	})
	if found := traces(); len(found) == 0 {
		t.Error("nothing of somebody who has come back")
	}
}

// TestEraseBeforeARollback: a push table that only the former release has comes back with it, without who was erased meanwhile.
func TestEraseBeforeARollback(t *testing.T) {
	t.Parallel()
	project, data := t.TempDir(), t.TempDir()
	write(t, filepath.Join(project, "freshet.yaml"), eraseShop)
	write(t, filepath.Join(project, "one.json"), `{"format":"freshet.linear/1","link":"identity","features":[{"name":"n"}],"coefficients":[[1]],"intercept":[0],"outputs":["risk"]}`)
	without := strings.Replace(eraseShop, "tables:\n  mood: { entity: user, push: true, columns: { stress: float } }\n", "", 1)
	serve(t, project, data, func(url string) {
		c := connect(t, url)
		for _, user := range []string{"gone", "stays"} {
			ask(t, url+"/push", fmt.Sprintf(`{"push_source_name":"mood","df":{"user_id":[%q],"event_timestamp":["2026-03-01T12:00:00"],"stress":[0.5]}}`, user))
		}
		_, rel, err := c.Deploy(t.Context(), client.DeployRequest{Project: without, Canary: "0"}, client.Decision{Actor: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		if rel = follow(t, c, rel.ID); rel.State != "live" {
			t.Fatalf("%s is %s: %s", rel.ID, rel.State, rel.Last().Reason)
		}
		if _, err := c.Erase(t.Context(), client.User("gone")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Rollback(t.Context(), client.Decision{Actor: "ada"}); err != nil {
			t.Fatal(err)
		}
		got := ask(t, url+"/get-online-features", `{"entities":{"user_id":["gone","stays"]},"features":["mood:stress"]}`)
		if !strings.Contains(got, `"values":[null,0.5]`) {
			t.Errorf("after the rollback: %s", got)
		}
	})
}

// metric reads a metric without labels.
func metric(t *testing.T, c *client.Client, name string) (value float64) {
	t.Helper()
	res, err := http.Get(c.URL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n"+name+" ")
	if _, err := fmt.Sscan(rest, &value); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return value
}
