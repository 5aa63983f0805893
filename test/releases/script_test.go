package releases_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/freshet-ml/freshet/internal/binarytest"
)

// TestScripts runs testdata/script with the real binary: each script has a server of its own, of the project in its folder app.
func TestScripts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the binary and deploys with it")
	}
	freshet := binary.Path(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(freshet)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("FRESHET_ACTOR", "ada")
			server := binarytest.Launch(t, freshet, "serve", "--project", filepath.Join(env.WorkDir, "app"), "--data", filepath.Join(env.WorkDir, "data"), "--listen", "127.0.0.1:0")
			server.Await(t)
			env.Setenv("FRESHET_SERVER", server.URL)
			env.Defer(func() { server.Kill(t) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits CODE COMMAND... runs a command and checks its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ...")
	}
	got := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if want := args[0]; strconv.Itoa(got) != want {
		ts.Fatalf("exit code %d, want %s", got, want)
	}
}
