// Package releases_test brings bad releases to the real binary, as a data scientist would: with freshet publish and freshet deploy, while an
// app sends events and asks for predictions. Each must be taken back before it serves everybody, and nobody may take that for a success.
package releases_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/binarytest"
)

// people are the users of the app. The age of user n is n years.
const people = 400

const projectFile = `
project: score
entities: { user: { key: user_id } }
events: { play: { keys: [user_id], fields: { seconds: float } } }
views: { seen: { entity: user, from: play, window: lifetime, features: { plays: count() } } }
tables: { profile: { entity: user, file: profile.csv, columns: { age: float } } }
models: { score: { path: score.json } }
pipelines: { score: { from: play, entity: user, model: score, inputs: { age: profile.age }, pull: { expires: 24h } } }
`

// linear is the model factor · age; 3.5 stands in for an age that is missing.
func linear(factor int) string {
	return fmt.Sprintf(`{"format":"freshet.linear/1","link":"identity","features":[{"name":"age","missing":3.5}],"coefficients":[[%d]],"intercept":[0],"outputs":["score"]}`, factor)
}

// profiles is the table, with the ages of the first n people.
func profiles(n int) string {
	var b strings.Builder
	b.WriteString("user_id,age\n")
	for i := range n {
		fmt.Fprintf(&b, "%s,%d\n", user(i), i)
	}
	return b.String()
}

func user(i int) string { return fmt.Sprintf("u%03d", i) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// app is a server of the real binary, whose release r1 answers twice the age.
type app struct {
	*binarytest.Process
	client  *client.Client
	project string
	events  atomic.Int64
}

func newApp(t *testing.T) *app {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the binary and deploys with it")
	}
	a := &app{project: t.TempDir()}
	write(t, filepath.Join(a.project, "freshet.yaml"), projectFile)
	write(t, filepath.Join(a.project, "profile.csv"), profiles(people))
	write(t, filepath.Join(a.project, "score.json"), linear(2))
	a.Process = binarytest.Launch(t, binary.Path(t), "serve", "--project", a.project, "--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0")
	a.Await(t)
	var err error
	if a.client, err = client.New(a.URL, nil); err != nil {
		t.Fatal(err)
	}
	return a
}

// freshet runs the command line against the server, and gives what it prints, errors behind, and its exit code.
func (a *app) freshet(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary.Path(t), args...)
	cmd.Env = append(cmd.Environ(), "FRESHET_SERVER="+a.URL, "NO_COLOR=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			t.Errorf("freshet %s: %v", strings.Join(args, " "), err)
			return "", -1
		}
		code = exit.ExitCode()
	}
	return stdout.String() + stderr.String(), code
}

// publish makes a model in one file, with more files beside it, the next version.
func (a *app) publish(t *testing.T, model string, more map[string]string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "model.json"), model)
	for name, text := range more {
		write(t, filepath.Join(dir, name), text)
	}
	if out, code := a.freshet(t, "publish", dir, "--name", "score"); code != 0 {
		t.Fatalf("publish: exit code %d\n%s", code, out)
	}
}

// release is what is known of a release.
func (a *app) release(t *testing.T, id freshet.ReleaseID) client.Release {
	t.Helper()
	rel, err := a.client.GetRelease(t.Context(), id)
	if err != nil && freshet.CodeOf(err) != freshet.NotFound {
		t.Fatal(err)
	}
	return rel
}

// reaches waits until a release is in a state.
func (a *app) reaches(t *testing.T, id freshet.ReleaseID, state string) {
	t.Helper()
	a.Poll(t, fmt.Sprintf("%s %s", id, state), func() error {
		if rel := a.release(t, id); rel.State != state {
			return fmt.Errorf("%s is %s: %s", id, rel.State, rel.Last().Reason)
		}
		return nil
	})
}

// plays sends one play of everybody.
func (a *app) plays(t *testing.T) {
	t.Helper()
	var body bytes.Buffer
	for i := range people {
		fmt.Fprintf(&body, `{"event_id":"e%d","type":"play","user_id":%q,"seconds":60}`+"\n", a.events.Add(1), user(i))
	}
	if sent, err := a.client.SendEvents(t.Context(), client.NDJSON, body.Bytes()); err != nil || sent.Accepted != people {
		t.Fatalf("%d events were accepted: %v", sent.Accepted, err)
	}
}

// asked is what everybody was answered.
type asked struct {
	mu     sync.Mutex
	by     map[freshet.ReleaseID]int
	failed int
	wrong  []string
}

// everybody asks for a prediction of everybody, from many connections, and holds each against what its release must say. A
// release without a formula must not serve. Nobody waits longer than patience.
func (a *app) everybody(t *testing.T, patience time.Duration, formulas map[freshet.ReleaseID]func(age int) float64) *asked {
	t.Helper()
	found := &asked{by: map[freshet.ReleaseID]int{}}
	next := make(chan int, people)
	for i := range people {
		next <- i
	}
	close(next)
	var asking sync.WaitGroup
	for range 64 {
		asking.Go(func() {
			for i := range next {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				p, err := a.client.Predict(ctx, "score", client.PredictRequest{Entity: map[string]string{"user_id": user(i)}})
				cancel()
				found.add(i, p, err, formulas)
			}
		})
	}
	asking.Wait()
	for _, wrong := range found.wrong {
		t.Error(wrong)
	}
	return found
}

func (f *asked) add(age int, p client.Prediction, err error, formulas map[freshet.ReleaseID]func(int) float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failed++
		return
	}
	f.by[p.Release]++
	formula := formulas[p.Release]
	switch {
	case len(f.wrong) >= 3:
	case formula == nil:
		f.wrong = append(f.wrong, fmt.Sprintf("release %q serves %s", p.Release, user(age)))
	case len(p.Items) != 1 || p.Items[0].Score != formula(age):
		f.wrong = append(f.wrong, fmt.Sprintf("release %s answers %+v for %s; want %v", p.Release, p.Items, user(age), formula(age)))
	}
}

// twice is what r1 answers.
func twice(age int) float64 { return 2 * float64(age) }

// onlyFirst expects that r1 serves everybody, as if there had never been another, and that it shows what was asked for.
func (a *app) onlyFirst(t *testing.T, requested freshet.ReleaseID) {
	t.Helper()
	if now := a.everybody(t, time.Minute, map[freshet.ReleaseID]func(int) float64{"r1": twice}); now.failed > 0 || now.by["r1"] != people {
		t.Errorf("afterwards r1 answers %d of %d, and %d fail", now.by["r1"], people, now.failed)
	}
	a.pulled(t)
	all, err := a.client.ListReleases(t.Context())
	if err != nil || all.Serving != "r1" || all.Requested != requested {
		t.Errorf("serving %s, requested %s; want r1 and %s (%v)", all.Serving, all.Requested, requested, err)
	}
	for _, command := range []string{"releases", "status"} {
		if out, code := a.freshet(t, command); code != 0 || !strings.Contains(out, string(requested)) || !strings.Contains(out, "r1") {
			t.Errorf("freshet %s does not show both (exit code %d):\n%s", command, code, out)
		}
	}
}

// pulled expects that nobody is shown any more what a release predicted that was taken back.
func (a *app) pulled(t *testing.T) {
	t.Helper()
	for i := range people {
		p, err := a.client.GetPrediction(t.Context(), client.User(user(i)), "score", nil)
		if freshet.CodeOf(err) == freshet.NotFound {
			continue // nothing is stored yet
		}
		if err != nil || p.Release != "r1" || len(p.Items) != 1 || p.Items[0].Score != twice(i) {
			t.Fatalf("%s pulls %+v by %s; want %v by r1 (%v)", user(i), p.Items, p.Release, twice(i), err)
		}
		all, err := a.client.ListPredictions(t.Context(), client.User(user(i)), nil, nil)
		if err != nil || all.Predictions["score"].Release != "r1" {
			t.Fatalf("%s lists %+v (%v)", user(i), all, err)
		}
	}
}

// remote is a model that runs elsewhere: an MLflow scoring server, which can become bad.
type remote struct {
	mu     sync.Mutex
	answer func(ages []float64) ([]float64, int)
	url    string
}

func newRemote(t *testing.T) *remote {
	r := &remote{}
	r.url = serveRemote(t, r)
	r.becomes(func(ages []float64) ([]float64, int) { return plusOne(ages), http.StatusOK })
	return r
}

// plusOne is what the remote model is published as: twice the age, and one.
func plusOne(ages []float64) []float64 {
	scores := make([]float64, len(ages))
	for i, age := range ages {
		scores[i] = 2*age + 1
	}
	return scores
}

func (r *remote) becomes(answer func(ages []float64) ([]float64, int)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// model is the file of the remote model.
func (r *remote) model() string {
	return fmt.Sprintf(`{"format":"freshet.endpoint/1","protocol":"mlflow","url":%q,"inputs":[{"name":"age"}],"outputs":["score"],"timeout":"30s","connections":128,"retries":0}`, r.url)
}
