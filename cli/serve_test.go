package cli

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/freshet-ml/freshet/client"
)

const smallProject = `project: small
entities:
  user: { key: user_id }
events:
  play: { keys: [user_id], fields: { seconds: float } }
views:
  session: { entity: user, from: play, window: session 30m, features: { plays: count() } }
`

// TestServeUntilSignal starts the real binary, sends it an event and stops it as an operator would.
func TestServeUntilSignal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "freshet.yaml"), []byte(smallProject), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := exec.Command("freshet", "serve", "--project", dir, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")
	var logged bytes.Buffer
	serve.Stderr = &logged
	out, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer serve.Process.Kill() // does nothing once it has ended
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "freshet listens on ")
	if err != nil || !ok {
		t.Fatalf("stdout %q, %v; stderr %s", line, err, logged.String())
	}

	c, err := client.New(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := c.Send(t.Context(), map[string]any{"event_id": "e1", "type": "play", "user_id": "u1", "seconds": 5})
	if err != nil || sent.Accepted != 1 {
		t.Fatalf("sent %+v, %v", sent, err)
	}
	got, err := exec.Command("freshet", "get", "features", "session", "u1", "--after", sent.Position, "--server", url).Output()
	if err != nil || !strings.Contains(string(got), "plays  1") {
		t.Errorf("get features: %v\n%s", err, got)
	}

	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, lines); err != nil {
		t.Error(err)
	}
	if err := serve.Wait(); err != nil {
		t.Errorf("a server that is asked to stop exits with 0; got %v, stderr %s", err, logged.String())
	}
}
