package cli

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"freshet": func() { os.Exit(Main(Options{Version: "v1.2.3"})) },
	})
}

// TestScripts runs testdata/script: each script has a fake server of its own, whose address is in FRESHET_SERVER.
// UPDATE=1 rewrites the expected outputs.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			f := newFakeServer()
			env.Defer(f.http.Close)
			env.Setenv("FRESHET_SERVER", f.http.URL)
			env.Values[fakeKey{}] = f
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"sent":    sent,
			"busy":    busy,
			"uploads": uploads,
		},
	})
}

type fakeKey struct{}

func fakeOf(ts *testscript.TestScript) *fakeServer { return ts.Value(fakeKey{}).(*fakeServer) }

// exits CODE COMMAND... runs a command and checks its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if want := args[0]; strconv.Itoa(got) != want {
		ts.Fatalf("exit code %d, want %s", got, want)
	}
}

// sent prints the events that the fake server got, one a line, an empty line after each request.
func sent(ts *testscript.TestScript, neg bool, args []string) {
	for _, body := range fakeOf(ts).bodies() {
		fmt.Fprintln(ts.Stdout(), body)
	}
}

// busy STATUS N makes the fake server answer the next N requests with a status.
func busy(ts *testscript.TestScript, neg bool, args []string) {
	status, err1 := strconv.Atoi(args[0])
	n, err2 := strconv.Atoi(args[1])
	if err1 != nil || err2 != nil {
		ts.Fatalf("usage: busy STATUS N")
	}
	fakeOf(ts).refuse(status, n)
}
