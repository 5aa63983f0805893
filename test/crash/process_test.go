package crash_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet/client"
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
	cmd    *exec.Cmd
	output *bufio.Scanner // what it prints; the first line says where it listens
	errors *strings.Builder
	url    string
	c      *client.Client
	ready  time.Duration // from its start until it served
}

// launch starts a server and does not wait for it.
func launch(t *testing.T, project, data string) *process {
	t.Helper()
	return launchAs(t, binary.Path(t), "serve", "--project", project, "--data", data, "--listen", "127.0.0.1:0", "--visibility", "1s")
}

// launchAs starts a server by a command line.
func launchAs(t *testing.T, command string, args ...string) *process {
	t.Helper()
	p := &process{errors: &strings.Builder{}}
	p.cmd = exec.Command(command, args...)
	p.cmd.Stderr = p.errors
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.output = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil { // the test has failed before it ended
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	return p
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
	p.output.Scan()
	_, url, found := strings.Cut(p.output.Text(), "listens on ")
	if !found {
		err := p.cmd.Wait()
		t.Fatalf("the server did not start: %q, %v\n%s", p.output.Text(), err, p.errors)
	}
	p.url = url
	var err error
	if p.c, err = client.New(url, nil); err != nil {
		t.Fatal(err)
	}
	p.poll(t, "ready", func() error { return p.c.Ready(t.Context()) })
}

// kill ends the process as the kernel does when memory is out.
func (p *process) kill(t *testing.T) {
	if err := p.cmd.Process.Kill(); err != nil {
		t.Errorf("kill: %v", err)
	}
	_ = p.cmd.Wait() // it says that it was killed
	for _, bad := range []string{"panic", "level=ERROR", "disk failed"} {
		if strings.Contains(p.errors.String(), bad) {
			t.Errorf("the server has said:\n%s", p.errors)
			return
		}
	}
}

// awaitIdle waits until all events are in the rows and all jobs have ended, none of them as a dead letter.
func (p *process) awaitIdle(t *testing.T) {
	t.Helper()
	p.poll(t, "idle", func() error {
		text, err := p.c.Status(t.Context())
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

// poll asks again and again: another process tells when it is ready in no other way.
func (p *process) poll(t *testing.T, what string, ask func() error) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the server is not %s: %v\n%s", what, err, p.errors)
		}
	}
}
