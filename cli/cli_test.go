package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/freshet-ml/freshet"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for code, want := range map[freshet.Code]int{
		freshet.InvalidArgument:    2,
		freshet.Unauthenticated:    4,
		freshet.PermissionDenied:   4,
		freshet.NotFound:           3,
		freshet.Conflict:           4,
		freshet.PreconditionFailed: 4,
		freshet.TooLarge:           1,
		freshet.Unsupported:        1,
		freshet.Unprocessable:      1,
		freshet.ResourceExhausted:  5,
		freshet.Internal:           1,
		freshet.Unavailable:        5,
		freshet.DeadlineExceeded:   5,
	} {
		if got := exitOf(freshet.Errorf(code, "x")); got != want {
			t.Errorf("%s: exit code %d, want %d", code, got, want)
		}
	}
	if exitOf(nil) != 0 || exitOf(errors.New("x")) != 1 {
		t.Error("no error should be 0, an error without a code 1")
	}
}

// TestEveryCommandHasHelp holds the tree to the rules of the command line: help for all, a group for each command, an
// environment variable for each flag.
func TestEveryCommandHasHelp(t *testing.T) {
	t.Parallel()
	sh := &shell{out: io.Discard, err: io.Discard}
	k, err := newParser(&tree{}, sh, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range k.Model.Leaves(false) {
		if leaf.Help == "" || leaf.ClosestGroup() == nil {
			t.Errorf("%s: no help text or no group", leaf.Path())
		}
		for _, p := range leaf.Positional {
			if p.Help == "" {
				t.Errorf("%s: %s has no help text", leaf.Path(), p.Name)
			}
		}
		for _, level := range leaf.AllFlags(false) {
			for _, f := range level {
				env := f.Name == "help" || (len(f.Envs) == 1 && strings.HasPrefix(f.Envs[0], "FRESHET_"))
				if f.Help == "" || !env {
					t.Errorf("%s: --%s has no help text or no FRESHET_ variable (%v)", leaf.Path(), f.Name, f.Envs)
				}
			}
		}
	}
}

func TestCompletionNamesEverything(t *testing.T) {
	t.Parallel()
	sh := &shell{out: io.Discard, err: io.Discard}
	k, err := newParser(&tree{}, sh, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, shellName := range []string{"bash", "zsh", "fish"} {
		var script bytes.Buffer
		if err := (&completionCommand{Shell: shellName}).Run(&shell{out: &script}, k); err != nil {
			t.Fatal(err)
		}
		err := kong.Visit(k.Model, func(n kong.Visitable, next kong.Next) error {
			switch n := n.(type) {
			case *kong.Node:
				if n.Type == kong.CommandNode && !n.Hidden && !strings.Contains(script.String(), n.Name) {
					t.Errorf("%s: command %s is missing", shellName, n.Path())
				}
			case *kong.Flag:
				if !strings.Contains(script.String(), n.Name) {
					t.Errorf("%s: flag --%s is missing", shellName, n.Name)
				}
			}
			return next(nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		checkSyntax(t, shellName, script.String())
	}
}

// checkSyntax has the shell read the script, where that shell is installed.
func checkSyntax(t *testing.T, shellName, script string) {
	t.Helper()
	path, err := exec.LookPath(shellName)
	if err != nil {
		t.Logf("%s is not installed: its script is not tried", shellName)
		return
	}
	c := exec.Command(path, "-n")
	c.Stdin = strings.NewReader(script)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%s -n: %v\n%s", shellName, err, out)
	}
}

func TestInterruptedCommandExits130(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	code := run(ctx, Options{Args: []string{"get", "features", "session", "u1"}, Stdout: &out, Stderr: &errs})
	if code != exitInterrupted || !strings.HasPrefix(errs.String(), "freshet: interrupted") {
		t.Errorf("exit code %d, stderr %q", code, errs.String())
	}
}

// TestSignal interrupts a real process that waits between two events.
func TestSignal(t *testing.T) {
	t.Parallel()
	f := newFakeServer()
	defer f.http.Close()
	events := `{"event_id":"e1","type":"play","event_time":1000}` + "\n" +
		`{"event_id":"e2","type":"play","event_time":86401000}` + "\n"
	c := exec.Command("freshet", "send", "-", "--server", f.http.URL, "--speed", "1x")
	c.Stdin = strings.NewReader(events)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-f.asked // the first event is out; the second would go tomorrow
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := c.Wait()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != exitInterrupted {
		t.Errorf("got %v, stderr %q", err, errs.String())
	}
	if !strings.Contains(out.String(), "accepted") {
		t.Errorf("the summary of what went out is missing: %q", out.String())
	}
}
