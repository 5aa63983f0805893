package binarytest

import (
	"bufio"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Process is a running server.
type Process struct {
	URL    string // after Await
	cmd    *exec.Cmd
	output *bufio.Scanner // what it prints; the first line says where it listens
	log    logged
}

// logged is what a process says on its standard error, which may be read while it still talks.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// Launch starts a server by a command line and does not wait for it. It is killed when the test ends.
func Launch(t *testing.T, command string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(command, args...)}
	p.cmd.Stderr = &p.log
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

// Await waits until the server is ready.
func (p *Process) Await(t *testing.T) {
	t.Helper()
	p.output.Scan()
	_, url, found := strings.Cut(p.output.Text(), "listens on ")
	if !found {
		err := p.cmd.Wait()
		t.Fatalf("the server did not start: %q, %v\n%s", p.output.Text(), err, p.Log())
	}
	p.URL = url
	p.Poll(t, "ready", func() error {
		answer, err := http.Get(url + "/readyz")
		if err != nil {
			return err
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", answer.StatusCode)
		}
		return nil
	})
}

// Log is what the server has said so far.
func (p *Process) Log() string {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return p.log.text.String()
}

// Kill ends the process as the kernel does when memory is out, and fails the test if it has said that something is wrong.
func (p *Process) Kill(t *testing.T) {
	if err := p.cmd.Process.Kill(); err != nil {
		t.Errorf("kill: %v", err)
	}
	_ = p.cmd.Wait() // it says that it was killed
	for _, bad := range []string{"panic", "level=ERROR", "disk failed"} {
		if log := p.Log(); strings.Contains(log, bad) {
			t.Errorf("the server has said:\n%s", log)
			return
		}
	}
}

// Wait waits until the process has ended by itself, and gives its exit code.
func (p *Process) Wait() int {
	_ = p.cmd.Wait() // the exit code says it
	return p.cmd.ProcessState.ExitCode()
}

// Poll asks again and again, for two minutes at most: another process tells in no other way when it is as far as ask wants.
func (p *Process) Poll(t *testing.T, what string, ask func() error) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the server is not %s: %v\n%s", what, err, p.Log())
		}
	}
}
