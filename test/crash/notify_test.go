package crash_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const notifyProject = `
project: notify
entities: { user: { key: user_id } }
events:
  pay: { keys: [user_id], fields: { amount: float } }
views:
  total: { entity: user, from: pay, window: lifetime, features: { n: count(), amount: sum(amount), cents: sum(amount) } }
models:
  risk: { path: risk.json }
pipelines:
  risk:
    from: pay
    entity: user
    model: risk
    push: { title: "Score {{ (index .Items 0).Score }}", expires: 1h }
push:
  webhook: { url: "%s", secret: "${NOTIFY_SECRET}" }
`

// hooks is a receiver that dedupes by webhook-id, as receivers of Standard Webhooks do.
type hooks struct {
	mu     sync.Mutex
	copies map[string]int    // by webhook-id
	ids    map[string]string // delivery → webhook-id
	other  []string          // deliveries that came under two ids: seen twice by a person
	killAt int
	kill   chan struct{}
}

func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var sent struct {
		Data struct {
			Prediction struct {
				Delivery string `json:"delivery"`
			} `json:"prediction"`
		} `json:"data"`
	}
	text, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(text, &sent) != nil {
		return // cut off by the kill
	}
	id, delivery := r.Header.Get("webhook-id"), sent.Data.Prediction.Delivery
	h.mu.Lock()
	defer h.mu.Unlock()
	h.copies[id]++
	if first, ok := h.ids[delivery]; ok && first != id {
		h.other = append(h.other, delivery)
	}
	h.ids[delivery] = id
	if h.killAt--; h.killAt == 0 {
		close(h.kill)
	}
	w.WriteHeader(http.StatusNoContent)
}

// TestKillWhileNotifying kills the real binary in the middle of 5,000 messages, three times. Afterwards each cause has notified its user, under one id:
// whatever came twice is the same message to the receiver.
func TestKillWhileNotifying(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary and kills it")
	}
	t.Parallel()
	h := &hooks{copies: map[string]int{}, ids: map[string]string{}}
	receiver := httptest.NewServer(h)
	t.Cleanup(receiver.Close)
	project, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	for name, text := range map[string]string{"freshet.yaml": fmt.Sprintf(notifyProject, receiver.URL), "risk.json": riskModel} {
		if err := os.WriteFile(filepath.Join(project, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const causes = 5000
	for round := range 4 {
		h.mu.Lock()
		h.killAt, h.kill = 900, make(chan struct{})
		kill := h.kill
		h.mu.Unlock()
		p := launchAs(t, "env", "NOTIFY_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", binary.Path(t), "serve", "--project", project, "--data", data, "--listen", "127.0.0.1:0", "--visibility", "1s", "--push-private")
		p.await(t)
		if round == 0 {
			pay(t, p.URL, causes)
		}
		if round < 3 {
			killAfter(t, p, kill)
			continue
		}
		p.Poll(t, "all notified", func() error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if n := len(h.ids); n < causes {
				return fmt.Errorf("%d of %d causes have notified", n, causes)
			}
			return nil
		})
		p.Kill(t)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	again := 0
	for _, n := range h.copies {
		again += n - 1
	}
	t.Logf("%d causes, %d copies that a receiver drops by their id", len(h.ids), again)
	if len(h.ids) != causes || len(h.copies) != causes || len(h.other) > 0 {
		t.Errorf("%d causes under %d ids; %d under two", len(h.ids), len(h.copies), len(h.other))
	}
}

// pay sends one event of each of users, and has it taken: each is a cause.
func pay(t *testing.T, url string, users int) {
	t.Helper()
	var body strings.Builder
	for i := range users {
		fmt.Fprintf(&body, `{"type":"pay","user_id":"u%d","event_id":"e%d","amount":1}`+"\n", i, i)
	}
	res, err := http.Post(url+"/v1/events", "application/x-ndjson", strings.NewReader(body.String()))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		t.Fatalf("status %d", res.StatusCode)
	}
}

// killAfter kills a server once so much has been sent that enough is closed.
func killAfter(t *testing.T, p *process, enough <-chan struct{}) {
	t.Helper()
	select {
	case <-enough:
	case <-time.After(2 * time.Minute):
		t.Fatalf("nothing more is sent:\n%s", p.Log())
	}
	p.Kill(t)
}
