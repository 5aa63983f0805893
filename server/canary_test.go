package server_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

// TestACanarysUsersAreServedByIt: what it changes, and what only it has, is there for them and for nobody else, whichever way they ask. Events of a type that
// only it knows are taken from the moment it is asked for.
func TestACanarysUsersAreServedByIt(t *testing.T) {
	t.Parallel()
	project, data := t.TempDir(), t.TempDir()
	write(t, filepath.Join(project, "freshet.yaml"), scoreProject)
	write(t, filepath.Join(project, "score.json"), scoreModel(2))
	next := strings.NewReplacer(
		"count()", "count() * 100",
		"events: {", "events: { skip: { keys: [user_id] },",
		"views: {", "views: { skipped: { entity: user, from: skip, window: lifetime, features: { skips: count() } },",
		"pipelines: {", "pipelines: { bored: { from: skip, entity: user, model: score, inputs: { k: skipped.skips } },",
	).Replace(scoreProject)
	serve(t, project, data, func(url string) {
		c := connect(t, url)
		send := func(kind, id string) client.EventsResult {
			var text strings.Builder
			for i := range 40 {
				fmt.Fprintf(&text, `{"event_id":"%s%d","type":%q,"user_id":"u%d"}`+"\n", id, i, kind, i)
			}
			sent, err := c.SendEvents(t.Context(), client.NDJSON, []byte(text.String()))
			if err != nil && freshet.CodeOf(err) != freshet.Unprocessable {
				t.Fatal(err)
			}
			return sent
		}
		send("view", "a")
		if sent := send("skip", "b"); sent.Accepted > 0 {
			t.Errorf("%d events of a type that nobody knows were taken", sent.Accepted)
		}
		_, rel, err := c.Deploy(t.Context(), client.DeployRequest{Project: next, Canary: "50%", Bake: "1h", Accept: []string{"latency", "missing"}}, client.Decision{Actor: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		if sent := send("skip", "c"); sent.Accepted != 40 {
			t.Errorf("%d events of a type that only the new release knows were taken; want 40", sent.Accepted)
		}
		for rel.State == "preparing" {
			if rel, err = c.GetRelease(t.Context(), rel.ID); err != nil {
				t.Fatal(err)
			}
		}
		if rel.State != "canary" {
			t.Fatalf("r2 is %s: %s", rel.State, rel.Last().Reason)
		}
		sent := send("skip", "d")
		arms := map[freshet.ReleaseID]int{}
		for i := range 40 {
			key := fmt.Sprint("u", i)
			entity := map[string]string{"user_id": key}
			p, err := c.Predict(t.Context(), "score", client.PredictRequest{Entity: entity})
			if err != nil {
				t.Fatal(err)
			}
			arms[p.Release]++
			seen, err := c.GetFeatures(t.Context(), "seen", entity, nil)
			if want := map[freshet.ReleaseID]float64{"r1": 1, "r2": 100}[p.Release]; err != nil || seen.Release != p.Release || seen.Features["n"] != want {
				t.Errorf("%s is served by %s; its features are %+v; want %v (%v)", key, p.Release, seen, want, err)
			}
			skipped, featuresErr := c.GetFeatures(t.Context(), "skipped", entity, nil)
			bored, predictErr := c.Predict(t.Context(), "bored", client.PredictRequest{Entity: entity})
			pulled, pullErr := c.GetPrediction(t.Context(), client.User(key), "bored", &client.PredictionOptions{After: sent.Position, Wait: 10 * time.Second})
			if p.Release == "r1" {
				for _, err := range []error{featuresErr, predictErr, pullErr} {
					if freshet.CodeOf(err) != freshet.NotFound {
						t.Errorf("%s is served by r1, which has neither view nor pipeline: %v", key, err)
					}
				}
				continue
			}
			if featuresErr != nil || skipped.Features["skips"] != 2.0 {
				t.Errorf("%s: %+v, %v", key, skipped, featuresErr)
			}
			for _, p := range []client.Prediction{bored, pulled} {
				if len(p.Items) != 1 || p.Items[0].Score != 4 || p.Release != "r2" {
					t.Errorf("%s: %+v (%v, %v)", key, p, predictErr, pullErr)
				}
			}
		}
		if arms["r1"] == 0 || arms["r2"] == 0 {
			t.Errorf("the arms are %v", arms)
		}
	})
}
