package clients_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet/cli"
	"github.com/freshet-ml/freshet/client"
)

// TestMLflowRegistry fetches from a real MLflow server what its own client has logged: by alias, with the run's metrics; then the
// artifact is overwritten behind its back.
func TestMLflowRegistry(t *testing.T) {
	t.Parallel()
	python := pythonOf(t, modelEnvironment)
	files := t.TempDir()
	uri := startMLflow(t, python, files)
	pickled := t.TempDir()
	writeFile(t, filepath.Join(pickled, "MLmodel"), "flavors:\n  sklearn: {pickled_model: model.pkl}\n")
	writeFile(t, filepath.Join(pickled, "model.pkl"), "\x80\x04\x95")
	model := filepath.Join("..", "..", "examples", "calm", "calm-ranker")
	logged := exec.CommandContext(t.Context(), python, "mlflow_registry.py", uri, model, pickled)
	logged.Env = append(logged.Environ(), "MLFLOW_DISABLE_TELEMETRY=true", "PYTHONWARNINGS=ignore", "PYTHONDONTWRITEBYTECODE=1")
	var problems strings.Builder
	logged.Stderr = &problems
	out, err := logged.Output()
	if err != nil {
		t.Fatalf("mlflow_registry.py: %v\n%s", err, problems.String())
	}
	run := strings.TrimSpace(string(out))
	run = run[strings.LastIndexByte(run, '\n')+1:] // MLflow prints links before it

	server := serve(t, "freshet.yaml")
	publish := func(model string, more ...string) (code int, v client.Published, said string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code = cli.Main(cli.Options{
			Args:  append([]string{"publish", model, "--mlflow", uri, "--server", server, "--json"}, more...),
			Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		})
		if code == 0 {
			if err := json.Unmarshal(stdout.Bytes(), &v); err != nil {
				t.Fatalf("%v in %s", err, stdout.Bytes())
			}
		}
		return code, v, stderr.String()
	}
	code, v, said := publish("models:/ranker@champion")
	if code != 0 || v.Version != 1 || v.Known || v.Metrics["recall"] != 0.4 || v.Lineage.Source != "models:/ranker/1" || v.Lineage.Tracking != uri ||
		v.Lineage.RunID != run || len(v.Signature.Inputs) == 0 {
		t.Fatalf("published by alias: %d, %+v\n%s", code, v, said)
	}
	for _, same := range []string{"models:/ranker/1", "models:/ranker/latest", "runs:/" + run + "/model"} {
		code, again, said := publish(same, "--name", "ranker")
		if code != 0 || !again.Known || again.Version != 1 || again.Digest != v.Digest {
			t.Errorf("%s: %d, %+v\n%s", same, code, again, said)
		}
	}
	if code, _, said := publish("models:/pickled/1"); code == 0 || !strings.Contains(said, "serialization_format=\"skops\"") {
		t.Errorf("a pickle: %d\n%s", code, said)
	}
	if code, _, said := publish("models:/ranker/9"); code != 3 {
		t.Errorf("a version that is not there: %d\n%s", code, said)
	}
	overwrite(t, files, "serving_input_example.json")
	if code, _, said := publish("models:/ranker@champion"); code != 4 || !strings.Contains(said, "its bytes are others now") {
		t.Errorf("a version whose bytes have changed: %d\n%s", code, said)
	}
}

// startMLflow runs a tracking server that keeps artifacts in a folder, and returns its address.
func startMLflow(t *testing.T, python, files string) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(address)
	cmd := exec.CommandContext(t.Context(), python, "-m", "mlflow", "server", "--host", host, "--port", port, "--workers", "1",
		"--backend-store-uri", "sqlite:///"+filepath.Join(t.TempDir(), "mlflow.db"), "--artifacts-destination", files)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Env = append(cmd.Environ(), "MLFLOW_DISABLE_TELEMETRY=true", "PYTHONDONTWRITEBYTECODE=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that it ends its workers
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for poll := time.NewTicker(200 * time.Millisecond); ; {
		select {
		case err := <-ended:
			t.Fatalf("the MLflow server has ended: %v\n%s", err, said.String())
		case <-t.Context().Done():
			t.Fatal("the test has ended before the MLflow server answered")
		case <-poll.C:
		}
		res, err := http.Get("http://" + address + "/health")
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			poll.Stop()
			t.Cleanup(func() { <-ended })
			return "http://" + address
		}
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// overwrite adds a space to the files of that name below dir.
func overwrite(t *testing.T, dir, name string) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != name {
			return err
		}
		found++
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, append(b, ' '), 0o600)
	})
	if err != nil || found == 0 {
		t.Fatalf("%d files called %s, %v", found, name, err)
	}
}
