package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet/server"
)

const pushShop = `
project: push
entities: { user: { key: user_id }, item: { key: item_id } }
events: { view: { keys: [user_id, item_id] } }
views: { seen: { entity: user, from: view, window: lifetime, features: { n: count() } } }
tables:
  items: { entity: item, file: items.csv, columns: { weight: float } }
  mood:  { entity: user, push: true, columns: { tags: strings, stress: float } }
  stock: { entity: item, push: true, columns: { left: int } }
models: { rank: { path: rank.json } }
pipelines:
  next:
    from: view
    entity: user
    candidates: items
    keep: stock.left > 0 and not coalesce("x" in mood.tags, false)
    model: rank
    inputs: { stress: mood.stress, left: stock.left }
`

// TestPushedRowsReachThePipelines: what a client pushes is an input of the next prediction, of the entity and of each candidate,
// and is there after a restart.
func TestPushedRowsReachThePipelines(t *testing.T) {
	t.Parallel()
	project, data := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"freshet.yaml": pushShop,
		"items.csv":    "item_id,weight\na,1\nb,2\nc,3\n",
		"rank.json": `{"format":"freshet.linear/1","link":"identity","features":[{"name":"stress","missing":0.25},{"name":"left"}],` +
			`"coefficients":[[100,1]],"intercept":[0],"outputs":["score"]}`,
	} {
		if err := os.WriteFile(filepath.Join(project, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	push := func(url, table, frame string) {
		t.Helper()
		ask(t, url+"/push", fmt.Sprintf(`{"push_source_name":%q,"df":%s}`, table, frame))
	}
	predict := func(url string) string {
		t.Helper()
		var p struct {
			Items []struct {
				ID    string
				Score float64
			}
		}
		if err := json.Unmarshal([]byte(ask(t, url+"/v1/predict/next", `{"entity":{"user_id":"u1"}}`)), &p); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(p.Items)
	}
	serve(t, project, data, func(url string) {
		if got := predict(url); got != "[]" {
			t.Errorf("without stock the items are %s", got)
		}
		push(url, "stock", `{"item_id":["a","b","c"],"event_timestamp":["2026-01-01","2026-01-01","2026-01-01"],"left":[3,7,0]}`)
		if got := predict(url); got != "[{b 32} {a 28}]" { // 0.25 for a stress that nobody knows
			t.Errorf("with stock the items are %s", got)
		}
		push(url, "mood", `{"user_id":["u1"],"event_timestamp":["2026-01-01"],"stress":[0.5],"tags":[["y"]]}`)
		push(url, "stock", `{"item_id":["c"],"event_timestamp":["2026-01-02"],"left":[9]}`)
	})
	serve(t, project, data, func(url string) {
		if got := predict(url); got != "[{c 59} {b 57} {a 53}]" {
			t.Errorf("after a restart the items are %s", got)
		}
		push(url, "mood", `{"user_id":["u1"],"event_timestamp":["2026-01-02"],"stress":[0.5],"tags":[["y","x"]]}`)
		if got := predict(url); got != "[]" {
			t.Errorf("with tag x the items are %s", got)
		}
	})
}

// serve runs a server while f talks to it.
func serve(t *testing.T, project, data string, f func(url string)) {
	t.Helper()
	s, err := server.New(t.Context(), server.Options{Project: project, Data: data, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
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
	f("http://" + s.Addr())
}

// ask posts a JSON body and returns the answer, which must be a good one.
func ask(t *testing.T, url, body string) string {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s (%v)", url, res.StatusCode, b, err)
	}
	return string(b)
}
