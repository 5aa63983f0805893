package docs_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limit is the longest that a command, or the wait for its output, may take.
const limit = 60 * time.Second

// session is a reader at a terminal in a checkout, who types the commands of one document in turn. The folder is one of
// links to the repository's files, so that what the commands write beside them goes nowhere else; /tmp is a folder of the
// test, and port 8787 a free one.
type session struct {
	t    *testing.T
	dir  string
	temp string
	port string
	env  []string
	jobs []*exec.Cmd
}

func newSession(t *testing.T, binary string) *session {
	t.Helper()
	s := &session{t: t, dir: t.TempDir(), temp: t.TempDir(), port: freePort(t)}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "freshet" { // a binary that somebody built: the session has its own
			continue
		}
		if err := os.Symlink(filepath.Join(here, e.Name()), filepath.Join(s.dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "FRESHET_") {
			s.env = append(s.env, v)
		}
	}
	s.env = append(s.env,
		"PATH="+filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"),
		"HOME="+s.temp, "TMPDIR="+s.temp, "NO_COLOR=1", "FRESHET_ACTOR=ada",
		"FRESHET_LISTEN=127.0.0.1:"+s.port, "FRESHET_SERVER=http://127.0.0.1:"+s.port, "FRESHET_DEMO_LISTEN=127.0.0.1:0")
	t.Cleanup(s.end)
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// build is how documents make the binary. The test has built it once: building it again would show nothing new.
var build = regexp.MustCompile(`^(CGO_ENABLED=0 )?go build .*-o freshet \./cmd/freshet$`)

// do does what the reader does at one prompt.
func (s *session) do(c command) error {
	c.text = strings.ReplaceAll(c.text, "/tmp/", s.temp+"/")
	c.text = strings.ReplaceAll(c.text, "8787", s.port)
	switch {
	case build.MatchString(c.text):
		c.text = "ln -sf $(command -v freshet) freshet"
	case c.text == "kill %1; wait":
		return s.stop()
	case c.background():
		return s.start(c)
	}
	return s.await(c)
}

// await runs a command in the foreground. A server answers at once and works on: what only reads is tried again until
// it shows what the document shows, as a reader would who types slower than it works.
func (s *session) await(c command) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out, err := s.run(c.text)
		if err == nil && c.matches(out) {
			return nil
		}
		if c.reads() && time.Now().Before(deadline) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return fmt.Errorf("it printed\n%s\nthe document shows\n%s", out, strings.Join(c.output, "\n"))
	}
}

func (c command) reads() bool { return strings.Contains(c.text, "freshet get ") }

func (s *session) run(text string) (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-ec", text)
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// start runs a server in the background until the session's end, and waits until it is ready.
func (s *session) start(c command) error {
	log, err := os.CreateTemp(s.temp, "background-")
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command("sh", "-ec", "exec "+strings.TrimSuffix(c.text, " &"))
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.jobs = append(s.jobs, cmd)
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		ready := s.ready()
		out, err := os.ReadFile(log.Name())
		if err != nil {
			return err
		}
		if ready && c.matches(strings.ReplaceAll(string(out), s.port, "8787")) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("ready: %t; it printed\n%s\nthe document shows\n%s", ready, out, strings.Join(c.output, "\n"))
		}
	}
}

func (s *session) ready() bool {
	answer, err := http.Get("http://127.0.0.1:" + s.port + "/readyz")
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// stop ends the job in the background as a reader does, and waits for its end.
func (s *session) stop() error {
	if len(s.jobs) == 0 {
		return fmt.Errorf("there is no job to end")
	}
	job := s.jobs[0]
	s.jobs = s.jobs[1:]
	if err := job.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return job.Wait()
}

// end kills what still runs: it may have a minute of work before it, which nobody will read.
func (s *session) end() {
	for _, job := range s.jobs {
		_ = job.Process.Kill()
		_ = job.Wait()
	}
}
