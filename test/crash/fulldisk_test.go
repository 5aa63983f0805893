package crash_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet/client"
)

// TestFullDisk lets the real binary run out of disk: it says so, ends with exit code 1, and the request that did not fit is
// not acknowledged. The disk is a small one in memory, in a mount namespace of its own.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	t.Parallel()
	if out, err := exec.Command("unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "none", t.TempDir()).CombinedOutput(); err != nil {
		t.Skipf("no small disk can be mounted here: %v %s", err, bytes.TrimSpace(out))
	}
	project, data := writeProject(t), filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	const script = `mount -t tmpfs -o size=16m none "$0" && exec "$@"`
	p := launchAs(t, "unshare", "-rm", "sh", "-c", script, data, binary.Path(t), "serve", "--project", project, "--data", data, "--listen", "127.0.0.1:0")
	p.await(t)
	padding := strings.Repeat("x", 4000)
	sent := 0
	for sent < 100_000 {
		var body bytes.Buffer
		for range 100 {
			sent++
			fmt.Fprintf(&body, `{"event_id":"e%d","type":"pay","user_id":"u1","amount":1,"note":%q}`+"\n", sent, padding)
		}
		result, err := p.Client.SendEvents(t.Context(), client.NDJSON, body.Bytes())
		if err != nil {
			break
		}
		if result.Accepted != 100 {
			t.Fatalf("%+v", result)
		}
	}
	if sent == 100_000 {
		t.Fatal("the disk does not get full")
	}
	if code := p.Wait(); code != 1 || !strings.Contains(p.Log(), "the disk failed") {
		t.Errorf("exit code %d; the server has said:\n%s", code, p.Log())
	}
	t.Logf("at event %d: %s", sent, strings.TrimSpace(p.Log()))
}
