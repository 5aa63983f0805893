// Package clients_test lets the official SDKs of other systems talk to a running server: what our own requests prove about a
// foreign protocol is only that we have understood ourselves.
package clients_test

import (
	"bytes"
	"context"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/freshet-ml/freshet/server"
)

func TestFeast(t *testing.T) {
	t.Parallel()
	run(t, environment, "feast_client.py")
}

func TestSageMaker(t *testing.T) {
	t.Parallel()
	run(t, environment, "sagemaker_client.py")
}

func TestTriton(t *testing.T) {
	t.Parallel()
	run(t, modelEnvironment, "triton_client.py")
}

func TestMLflow(t *testing.T) {
	t.Parallel()
	run(t, modelEnvironment, "mlflow_client.py")
}

// run starts a server and has a Python script, which fails if it does not like an answer, talk to it.
func run(t *testing.T, environment func() (string, error), script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), pythonOf(t, environment), script, serve(t, "freshet.yaml"))
	cmd.Env = append(cmd.Environ(), "FEAST_USAGE=False", "PYTHONWARNINGS=ignore", "PYTHONDONTWRITEBYTECODE=1",
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "ok\n") {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
}

// pythonOf is the Python of an environment; without one the test is skipped.
func pythonOf(t *testing.T, environment func() (string, error)) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Python and its packages")
	}
	python, err := environment()
	if err != nil {
		t.Skipf("no Python environment for the clients (test/clients/venv.sh makes it): %v", err)
	}
	return python
}

// environment is the Python that has the clients of features, modelEnvironment the one that has those of models.
var (
	environment      = sync.OnceValues(func() (string, error) { return python("requirements.txt") })
	modelEnvironment = sync.OnceValues(func() (string, error) { return python("requirements-models.txt") })
)

func python(requirements string) (string, error) { return output("sh", "venv.sh", requirements) }

// output is the one line that a command prints.
func output(name string, arguments ...string) (string, error) {
	var problems strings.Builder
	cmd := exec.Command(name, arguments...)
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return "", &environmentError{err, problems.String()}
	}
	return string(bytes.TrimSpace(out)), nil
}

type environmentError struct {
	err    error
	output string
}

func (e *environmentError) Error() string { return e.err.Error() + ": " + e.output }

// serve runs a server on embedded storage and returns its address.
func serve(t *testing.T, project string) (url string) {
	t.Helper()
	s, err := server.New(t.Context(), server.Options{
		Project: project, Data: t.TempDir(), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	return "http://" + s.Addr()
}
