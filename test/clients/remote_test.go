package clients_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A server whose models are those of another, by each protocol, answers what the other answers.
func TestRemoteModelsOfAnotherServer(t *testing.T) {
	t.Setenv("FRESHET_ENDPOINT_ID", "test")
	t.Setenv("FRESHET_ENDPOINT_KEY", "test")
	there := serve(t, "freshet.yaml")
	files := map[string]string{
		"oip":    `"protocol":"oip","model":"scorer"`,
		"binary": `"protocol":"oip","model":"scorer","binary":true`,
		"tensor": `"protocol":"oip","model":"scorer","tensor":{"name":"rows","datatype":"FP64"},"binary":true`,
		"mlflow": `"protocol":"mlflow","model":"scorer"`,
		"aws":    `"protocol":"sagemaker","model":"scorer","aws":{"region":"us-east-1","key_id_env":"FRESHET_ENDPOINT_ID","secret_env":"FRESHET_ENDPOINT_KEY"}`,
	}
	here := serve(t, remoteProject(t, there, files))
	for name := range files {
		wantScores(t, here, name)
	}
}

// MLflow's own server is asked.
func TestRemoteModelOfMLflow(t *testing.T) {
	t.Parallel()
	python := pythonOf(t, modelEnvironment)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var said strings.Builder
	cmd := exec.Command(python, "mlflow_server.py", t.TempDir(), address[strings.LastIndex(address, ":")+1:])
	cmd.Env = append(cmd.Environ(), "PATH="+filepath.Dir(python)+":"+os.Getenv("PATH"), "MLFLOW_DISABLE_TELEMETRY=true", "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		cmd.Process.Signal(os.Interrupt)
		<-ended
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if res, err := http.Get("http://" + address + "/ping"); err == nil {
			res.Body.Close()
			break
		}
		select {
		case err := <-ended:
			ended <- nil
			t.Fatalf("mlflow models serve: %v\n%s", err, said.String())
		case <-ctx.Done():
			t.Fatal("mlflow models serve did not answer in time")
		case <-tick.C:
		}
	}
	here := serve(t, remoteProject(t, "http://"+address, map[string]string{"theirs": `"protocol":"mlflow"`}))
	wantScores(t, here, "theirs")
}

// remoteProject writes a project whose models are at url.
func remoteProject(t *testing.T, url string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	text := "project: remote\nentities: { user: { key: user_id } }\nevents: { play: { keys: [user_id] } }\n" +
		"views: { plays: { entity: user, from: play, window: lifetime, features: { n: count() } } }\nmodels:\n"
	for name, file := range files {
		text += fmt.Sprintf("  %s: { path: %s.json }\n", name, name)
		file = fmt.Sprintf(`{"format":"freshet.endpoint/1",%s,"url":%q,"inputs":[{"name":"a","required":true},{"name":"b"}],"outputs":["y","z"],"timeout":"30s"}`, file, url)
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "freshet.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// wantScores asks a model that must answer as scorer.json does.
func wantScores(t *testing.T, url, model string) {
	t.Helper()
	res, err := http.Post(url+"/models/"+model+"/invocations", "application/json", strings.NewReader(`{"inputs":{"a":[1,3],"b":[2,null]}}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if got, want := string(body), `{"predictions":[[21,-1],[3,-3]]}`; err != nil || got != want {
		t.Errorf("%s: got %d %s %v, expected %s", model, res.StatusCode, got, err, want)
	}
}
