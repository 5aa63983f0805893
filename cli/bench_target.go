package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

// benchTarget is the server under test: a child process that serves the bench's app from a temporary folder, or a server
// that runs already.
type benchTarget struct {
	profiles string   // where the server answers profiles; "" for nowhere
	url      string   // once it is started
	addr     string   // host:port of url
	folder   string   // temporary; "" for a server that runs already
	args     []string // of serve, beside those of every benchmark
	child    *benchChild
}

func newBenchTarget(o benching, app benchProject) (*benchTarget, error) {
	if o.Server != "" {
		u, err := url.Parse(o.Server)
		if err != nil || u.Scheme != "http" || u.Port() == "" || strings.Trim(u.Path, "/") != "" {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, "server", "--server %q: expected a URL such as http://127.0.0.1:8787", o.Server)
		}
		return &benchTarget{url: "http://" + u.Host, addr: u.Host}, nil
	}
	folder, err := os.MkdirTemp(o.Dir, "freshet-bench-")
	if err != nil {
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, "dir", "no temporary folder for the bench: %w", err)
	}
	if err := app.write(folder, o.Seed); err != nil {
		return nil, errors.Join(freshet.Errorf(freshet.Internal, "write the bench's app: %w", err), os.RemoveAll(folder))
	}
	return &benchTarget{folder: folder, profiles: o.Profiles, args: app.args}, nil
}

// start starts the server, if it is ours, and waits until it is ready.
func (t *benchTarget) start(ctx context.Context) error {
	if t.folder != "" {
		child, err := startBenchChild(ctx, append([]string{"serve", "--project", t.folder, "--data", filepath.Join(t.folder, "data"),
			"--listen", "127.0.0.1:0", "--log-level", "warn", "--profiles", t.profiles}, t.args...)...)
		if err != nil {
			return err
		}
		t.child, t.url, t.addr = child, child.url, strings.TrimPrefix(child.url, "http://")
	}
	cl, err := client.New(t.url, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		err := cl.Ready(ctx)
		if err == nil {
			return nil
		}
		if !waitFor(ctx, 5*time.Millisecond) || t.folder == "" {
			return err
		}
	}
}

// readyTimeout is long: a benchmark may have the server rebuild all its rows.
const readyTimeout = 10 * time.Minute

// restart kills the server, which is ours, and starts another on its data.
func (t *benchTarget) restart(ctx context.Context) error {
	t.child.stop()
	t.child = nil
	return t.start(ctx)
}

// stop ends the server, if it is ours, and removes its folder.
func (t *benchTarget) stop() {
	if t.child != nil {
		t.child.stop()
	}
	if t.folder != "" {
		os.RemoveAll(t.folder)
	}
}

// usage is what the server has used so far.
type benchUsage struct {
	cpu float64 // seconds
	rss float64 // bytes
}

func usageOf(m scraped) benchUsage {
	return benchUsage{cpu: m["process_cpu_seconds_total"], rss: m["process_resident_memory_bytes"]}
}

// benchChild is a process of this binary that says on its stdout where it listens.
type benchChild struct {
	url    string
	cmd    *exec.Cmd
	errors lastBytes
	exited chan struct{}
}

func startBenchChild(ctx context.Context, args ...string) (*benchChild, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, freshet.Errorf(freshet.Internal, "cannot find this program's own file: %w", err)
	}
	c := &benchChild{cmd: exec.Command(binary, args...), exited: make(chan struct{})}
	c.cmd.Args[0] = "freshet" // what a list of processes shows, whatever the file is called
	// Flags of the bench given by the environment are not the server's.
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "FRESHET_") {
			c.cmd.Env = append(c.cmd.Env, v)
		}
	}
	c.cmd.Stderr = &c.errors
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, freshet.Errorf(freshet.Internal, "start %s: %w", filepath.Base(binary), err)
	}
	lines := make(chan string, 1)
	go func() { // ends with the process, whose output it reads
		in := bufio.NewReader(out)
		line, _ := in.ReadString('\n')
		lines <- line
		io.Copy(io.Discard, in)
		c.cmd.Wait()
		close(c.exited)
	}()
	select {
	case line := <-lines:
		if _, c.url, _ = strings.Cut(strings.TrimSpace(line), "http://"); c.url != "" {
			c.url = "http://" + c.url
			return c, nil
		}
		<-c.exited
		return nil, freshet.Errorf(freshet.Internal, "the server under test did not start: %s", c.errors.String())
	case <-ctx.Done():
		c.stop()
		return nil, freshet.Errorf(freshet.Unavailable, "stopped before the server under test had started")
	}
}

// stop kills the process: nothing of it is kept, so it need not put anything in order.
func (c *benchChild) stop() {
	c.cmd.Process.Kill() // fails only if it has ended by itself
	<-c.exited
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct {
	mu   sync.Mutex
	kept []byte
}

const keptBytes = 4 << 10

func (l *lastBytes) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, b...)
	l.kept = l.kept[max(len(l.kept)-keptBytes, 0):]
	return len(b), nil
}

func (l *lastBytes) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.kept))
}
