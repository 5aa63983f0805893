package crash_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/binarytest"
)

const projectFile = `
project: crash
entities: { user: { key: user_id } }
events:
  pay: { keys: [user_id], fields: { ref: string, amount: float, cents: int } }
lateness: 2d
views:
  total:  { entity: user, from: pay, window: lifetime,    features: { n: count(), amount: sum(amount), cents: sum(cents) } }
  newest: { entity: user, from: pay, window: last 3,      features: { ref: last(ref), refs: "last(ref, 3)" } }
  visit:  { entity: user, from: pay, window: session 30m, features: { visit_n: count(), visit_cents: sum(cents) } }
models:
  risk: { path: risk.json }
pipelines:
  risk: { from: pay, entity: user, model: risk, pull: { expires: 24h } }
`

// riskModel answers n + 2·amount + 4·cents.
const riskModel = `{"format": "freshet.linear/1", "link": "identity", "features": [{"name": "n"}, {"name": "amount"}, {"name": "cents"}],
  "coefficients": [[1, 2, 4]], "intercept": [0], "outputs": ["risk"]}`

func writeProject(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"freshet.yaml": projectFile, "risk.json": riskModel} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// process is a running server.
type process struct {
	*binarytest.Process
	Client *client.Client // after await
	ready  time.Duration  // from its start until it served
}

// launch starts a server and does not wait for it.
func launch(t *testing.T, project, data string) *process {
	t.Helper()
	return launchAs(t, binary.Path(t), "serve", "--project", project, "--data", data, "--listen", "127.0.0.1:0", "--visibility", "1s")
}

// launchAs starts a server by a command line.
func launchAs(t *testing.T, command string, args ...string) *process {
	t.Helper()
	return &process{Process: binarytest.Launch(t, command, args...)}
}

// start starts a server and waits until it is ready.
func start(t *testing.T, project, data string) *process {
	t.Helper()
	began := time.Now()
	p := launch(t, project, data)
	p.await(t)
	p.ready = time.Since(began)
	return p
}

// await waits until a server that was launched is ready.
func (p *process) await(t *testing.T) {
	t.Helper()
	p.Await(t)
	var err error
	if p.Client, err = client.New(p.URL, nil); err != nil {
		t.Fatal(err)
	}
}

// awaitIdle waits until all events are in the rows and all jobs have ended, none of them as a dead letter.
func (p *process) awaitIdle(t *testing.T) {
	t.Helper()
	p.Poll(t, "idle", func() error {
		text, err := p.Client.Status(t.Context())
		if err != nil {
			return err
		}
		var status struct {
			Backlog struct {
				Events      uint64 `json:"events"`
				JobsQueued  int    `json:"jobs_queued"`
				JobsLeased  int    `json:"jobs_leased"`
				DeadLetters int    `json:"dead_letters"`
			} `json:"backlog"`
		}
		if err := json.Unmarshal(text, &status); err != nil {
			return err
		}
		if status.Backlog.DeadLetters > 0 {
			t.Fatalf("%d dead letters", status.Backlog.DeadLetters)
		}
		if b := status.Backlog; b.Events > 0 || b.JobsQueued > 0 || b.JobsLeased > 0 {
			return fmt.Errorf("%+v", b)
		}
		return nil
	})
}
