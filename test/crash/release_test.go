package crash_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/registry"
)

// A release of generation g counts g+1 times as much as there is in its view, multiplies that by 1000+g in its model, and adds g+1
// thousand millions by its table: an answer of pieces of two releases is none of either.
const generations = `
project: generations
entities: { user: { key: user_id } }
events: { pay: { keys: [user_id] } }
views: { total: { entity: user, from: pay, window: lifetime, features: { n: count() * %d } } }
tables: { base: { entity: user, file: base.csv, columns: { k: float } } }
models: { risk: { path: risk.json } }
pipelines: { risk: { from: pay, entity: user, model: risk, inputs: { n: total.n, k: base.k }, pull: { expires: 24h } } }
`

const payers = 50

func generationText(g int) string { return fmt.Sprintf(generations, g+1) }

func generationModel(g int) string {
	return fmt.Sprintf(`{"format":"freshet.linear/1","link":"identity","features":[{"name":"n"},{"name":"k"}],"coefficients":[[%d,1]],"intercept":[0],"outputs":["risk"]}`, 1000+g)
}

func generationTable(g int) []byte {
	var b bytes.Buffer
	b.WriteString("user_id,k\n")
	for i := range payers {
		fmt.Fprintf(&b, "u%d,%d\n", i, (g+1)*1e9)
	}
	return b.Bytes()
}

// generationOf is the generation of release r1, r2, …: 0, 1, ….
func generationOf(id freshet.ReleaseID) int {
	n, err := strconv.Atoi(strings.TrimPrefix(string(id), "r"))
	if err != nil {
		return -1
	}
	return n - 1
}

// paid is how many events a prediction has counted; the error says that it is not the work of one release.
func paid(p client.Prediction) (int, error) {
	g := generationOf(p.Release)
	if g < 0 || len(p.Items) != 1 {
		return 0, fmt.Errorf("no prediction: %+v", p)
	}
	rest, each := p.Items[0].Score-float64(g+1)*1e9, float64((g+1)*(1000+g))
	n := rest / each
	if n != math.Trunc(n) || n < 0 || n > 1e5 {
		return 0, fmt.Errorf("release %s answers %v: that is of more than one release", p.Release, p.Items[0].Score)
	}
	return int(n), nil
}

// releaseRounds are the moments at which the server is killed. Each begins a deployment or decides about one, and returns when the kill is due.
var releaseRounds = []struct {
	name string
	do   func(r *releaseRig)
}{
	{"as a deployment is asked for", func(r *releaseRig) { r.during(r.deploy) }},
	{"while views are filled", func(r *releaseRig) { r.deployUntil("preparing", "fill views") }},
	{"while it is verified", func(r *releaseRig) { r.deployUntil("preparing", "verify") }},
	{"as the canary begins", func(r *releaseRig) { r.deployUntil("canary", "") }},
	{"in the bake", func(r *releaseRig) { r.deployUntil("canary", "bake") }},
	{"as the bake ends", func(r *releaseRig) {
		r.deployUntil("canary", "bake")
		time.Sleep(time.Duration(r.rng.Int64N(int64(2 * bake)))) // the moment of the kill
	}},
	{"as it is promoted", func(r *releaseRig) {
		r.deployUntil("canary", "")
		r.during(r.decideAbout(r.p.Client.Promote))
	}},
	{"as it is taken back", func(r *releaseRig) {
		r.deployUntil("canary", "")
		r.during(r.decideAbout(r.p.Client.Abort))
	}},
	{"as it is rolled back", func(r *releaseRig) { r.during(r.rollback) }},
	{"as it is rolled back once more", func(r *releaseRig) { r.during(r.rollback) }},
	{"as it is live", func(r *releaseRig) { r.deployUntil("live", "") }},
}

const bake = 200 * time.Millisecond

// TestKillWhileReleasing kills the real binary at each step of deployments, switches and rollbacks, while people ask for predictions. The next start must have
// all that was decided before, go on from there, and never answer from two releases at once (promises P3 and P4).
func TestKillWhileReleasing(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary and kills it")
	}
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := &releaseRig{t: t, rng: rand.New(rand.NewPCG(seed, 0)), project: t.TempDir(), data: filepath.Join(t.TempDir(), "data")}
	for name, text := range map[string]string{"freshet.yaml": generationText(0), "risk.json": generationModel(0), "base.csv": string(generationTable(0))} {
		if err := os.WriteFile(filepath.Join(r.project, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.p = start(t, r.project, r.data)
	r.pay(20_000)
	r.deployUntil("live", "") // so that there is a former one
	rounds := append(releaseRounds[:0:0], releaseRounds...)
	r.rng.Shuffle(len(rounds), func(i, j int) { rounds[i], rounds[j] = rounds[j], rounds[i] })
	for i, round := range rounds {
		r.reason = fmt.Sprintf("round %d", i)
		stop := r.people()
		r.before = r.releases()
		round.do(r)
		r.p.Kill(t)
		stop()
		said := r.acknowledged()
		r.p = start(t, r.project, r.data)
		after := r.releases()
		t.Logf("killed %s: %s serves, on its way is %q", round.name, after.Serving, after.Candidate)
		r.nothingIsLost(round.name, said, after)
		r.settles(round.name)
		if t.Failed() {
			return
		}
	}
	r.p.Kill(t)
}

// releaseRig is the server of the test and what is known about it.
type releaseRig struct {
	t             *testing.T
	rng           *rand.Rand
	project, data string
	p             *process
	events        int
	reason        string     // of the decisions of this round
	decided       chan error // of a decision during which the server is killed; else nil
	before        client.Releases
}

func (r *releaseRig) releases() client.Releases {
	r.t.Helper()
	all, err := r.p.Client.ListReleases(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// pay sends n events, one user after the other.
func (r *releaseRig) pay(n int) {
	r.t.Helper()
	for n > 0 {
		var body bytes.Buffer
		for range min(n, 1000) {
			fmt.Fprintf(&body, `{"event_id":"e%d","type":"pay","user_id":"u%d"}`+"\n", r.events, r.events%payers)
			r.events++
			n--
		}
		sent, err := r.p.Client.SendEvents(r.t.Context(), client.NDJSON, body.Bytes())
		if err != nil || len(sent.Rejected) > 0 {
			r.t.Fatalf("%+v, %v", sent, err)
		}
	}
	r.p.awaitIdle(r.t)
}

// deploy asks for the next generation.
func (r *releaseRig) deploy(ctx context.Context) error {
	g := len(r.before.Releases)
	var archive bytes.Buffer
	if err := modelregistry.WriteTar(&archive, fstest.MapFS{"risk.json": {Data: []byte(generationModel(g))}}); err != nil {
		return err
	}
	if _, err := r.p.Client.Publish(ctx, client.Publication{Model: "risk", Archive: &archive, Actor: "ada"}); err != nil {
		return err
	}
	table := generationTable(g)
	if err := r.p.Client.PutBlob(ctx, registry.DigestOf(table), bytes.NewReader(table)); err != nil {
		return err
	}
	_, _, err := r.p.Client.Deploy(ctx, client.DeployRequest{
		Project: generationText(g), Tables: map[freshet.TableName]freshet.Digest{"base": registry.DigestOf(table)},
		Canary: "50%", Bake: bake.String(), Accept: []string{"latency", "scores", "constant"},
	}, client.Decision{Actor: "ada", Reason: r.reason})
	return err
}

// deployUntil deploys, and waits until the release is in a state, and in a step of it, or beyond.
func (r *releaseRig) deployUntil(state, step string) {
	r.t.Helper()
	r.before = r.releases()
	if err := r.deploy(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	id := freshet.ReleaseID(fmt.Sprint("r", len(r.before.Releases)+1))
	r.p.Poll(r.t, state+" "+step, func() error {
		rel, err := r.p.Client.GetRelease(r.t.Context(), id)
		if err != nil {
			return err
		}
		at := map[string]int{"preparing": 0, "canary": 1, "live": 2}
		now, known := at[rel.State]
		if !known {
			r.t.Fatalf("%s is %s: %s", id, rel.State, rel.Last().Reason)
		}
		r.before = r.withRelease(rel)
		if now > at[state] || now == at[state] && (step == "" || rel.Progress != nil && rel.Progress.Step == step) {
			return nil
		}
		return fmt.Errorf("%s is %s: %+v", id, rel.State, rel.Progress)
	})
}

// withRelease is what was seen before the kill, with a release as it was seen last.
func (r *releaseRig) withRelease(rel client.Release) client.Releases {
	seen := r.before
	seen.Releases = append([]client.Release{rel}, seen.Releases...)
	return seen
}

func (r *releaseRig) rollback(ctx context.Context) error {
	_, err := r.p.Client.Rollback(ctx, client.Decision{Actor: "ada", Reason: r.reason})
	return err
}

// decideAbout decides about the release on its way. Its bake may have ended already, which is then the server's decision.
func (r *releaseRig) decideAbout(decide func(context.Context, freshet.ReleaseID, client.Decision) (client.Release, error)) func(context.Context) error {
	id := r.before.Releases[0].ID
	r.reason += ", decided"
	return func(ctx context.Context) error {
		_, err := decide(ctx, id, client.Decision{Actor: "ada", Reason: r.reason})
		return err
	}
}

// during returns somewhere within a decision, or right behind it.
func (r *releaseRig) during(decide func(context.Context) error) {
	r.decided = make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.decided <- decide(r.t.Context())
	}()
	select {
	case <-done:
	case <-time.After(time.Duration(r.rng.Int64N(int64(20 * time.Millisecond)))): // the moment of the kill
	}
}

// acknowledged is the reason of the decision that the server has acknowledged in this round, "" if it has not. The server is dead.
func (r *releaseRig) acknowledged() (said string) {
	if r.decided == nil {
		return r.reason
	}
	err := <-r.decided
	r.decided = nil
	if err != nil {
		r.t.Logf("not acknowledged: %v", err)
		return ""
	}
	return r.reason
}

// people ask for predictions until they are stopped. Failures are the kill's; an answer must be of one release.
func (r *releaseRig) people() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var asking sync.WaitGroup
	for worker := range 2 {
		asking.Go(func() {
			for i := worker; ctx.Err() == nil; i += 2 {
				p, err := r.p.Client.Predict(ctx, "risk", client.PredictRequest{Entity: map[string]string{"user_id": fmt.Sprint("u", i%payers)}})
				if err != nil {
					continue
				}
				if _, err := paid(p); err != nil {
					r.t.Error(err)
				}
			}
		})
	}
	return func() { cancel(); asking.Wait() }
}

// nothingIsLost compares what was decided before the kill with what is known behind it: the history of each release goes on from what
// it was, and holds what was acknowledged.
func (r *releaseRig) nothingIsLost(name, said string, after client.Releases) {
	r.t.Helper()
	now := map[freshet.ReleaseID][]client.ReleaseStep{}
	acknowledged := said == ""
	for _, rel := range after.Releases {
		now[rel.ID] = rel.History
		for _, step := range rel.History {
			acknowledged = acknowledged || step.Reason == said
		}
	}
	if !acknowledged {
		r.t.Errorf("killed %s: %q was acknowledged and is in no history: %+v", name, said, after)
	}
	seen := map[freshet.ReleaseID]bool{}
	for _, rel := range r.before.Releases {
		if seen[rel.ID] { // an older look at it
			continue
		}
		seen[rel.ID] = true
		if n := len(rel.History); len(now[rel.ID]) < n || !reflect.DeepEqual(now[rel.ID][:n], rel.History) {
			r.t.Errorf("killed %s: the history of %s was %+v, and is %+v", name, rel.ID, rel.History, now[rel.ID])
		}
	}
	if after.Revision < r.before.Revision {
		r.t.Errorf("killed %s: the log was at revision %d, and is at %d", name, r.before.Revision, after.Revision)
	}
}

// settles waits until no release is on its way, and expects that everybody is answered by the one that serves, from all events.
func (r *releaseRig) settles(name string) {
	r.t.Helper()
	stop := r.people()
	var all client.Releases
	r.p.Poll(r.t, "settled", func() error {
		if all = r.releases(); all.Candidate != "" {
			return fmt.Errorf("%s is on its way", all.Candidate)
		}
		return nil
	})
	stop()
	if all.Requested != all.Serving {
		r.t.Errorf("killed %s: %s was requested, %s serves: %+v", name, all.Requested, all.Serving, all.Releases[0].Last())
	}
	r.pay(payers) // live events go on behind those that views were filled with
	for i := range payers {
		key := fmt.Sprint("u", i)
		predicted, err := r.p.Client.Predict(r.t.Context(), "risk", client.PredictRequest{Entity: map[string]string{"user_id": key}})
		if err != nil {
			r.t.Fatal(err)
		}
		pulled, err := r.p.Client.GetPrediction(r.t.Context(), client.User(key), "risk", nil)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, p := range []client.Prediction{predicted, pulled} {
			if n, err := paid(p); err != nil || p.Release != all.Serving || n != r.events/payers {
				r.t.Errorf("killed %s: %s is answered by %s from %d events; want %s and %d (%v)", name, key, p.Release, n, all.Serving, r.events/payers, err)
			}
		}
	}
}
