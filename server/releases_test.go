package server_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

// follow waits until a release has left the states on its way.
func follow(t *testing.T, c *client.Client, id freshet.ReleaseID) client.Release {
	t.Helper()
	for {
		rel, err := c.GetRelease(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if rel.State != "preparing" && rel.State != "canary" {
			return rel
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(5 * time.Millisecond): // a poll, as any client's
		}
	}
}

// scored is what one prediction says.
func scored(t *testing.T, url, user string) string {
	t.Helper()
	var p struct {
		Items          []struct{ Score float64 }
		Model, Release string
	}
	if err := json.Unmarshal([]byte(ask(t, url+"/v1/predict/score", fmt.Sprintf(`{"entity":{"user_id":%q}}`, user))), &p); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%v by %s in %s", p.Items[0].Score, p.Model, p.Release)
}

// TestDeployAndRollbackOverHTTP: a changed view and a new version go live together, with the past in the view's rows, and come back at once;
// a restart serves what was decided, whatever the project's folder says (promises P3, P4).
func TestDeployAndRollbackOverHTTP(t *testing.T) {
	t.Parallel()
	project, data := t.TempDir(), t.TempDir()
	text := strings.Replace(scoreProject, `{ k: "10" }`, `{ k: seen.n }`, 1)
	write(t, filepath.Join(project, "freshet.yaml"), text)
	write(t, filepath.Join(project, "score.json"), scoreModel(2))
	changed := strings.Replace(text, "count()", "count() * 100", 1)
	serve(t, project, data, func(url string) {
		c := connect(t, url)
		events := ""
		for i := range 40 {
			events += fmt.Sprintf(`{"event_id":"e%d","type":"view","user_id":"u%d"}`+"\n", i, i%4)
		}
		sent, err := c.SendEvents(t.Context(), client.NDJSON, []byte(events))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.GetPrediction(t.Context(), client.User("u3"), "score", &client.PredictionOptions{After: sent.Position, Wait: 10 * time.Second}); err != nil {
			t.Fatal(err)
		}
		if got := scored(t, url, "u3"); got != "20 by score@1 in r1" {
			t.Errorf("before: %s", got)
		}
		publish(t, c, "score", scoreModel(3))
		plan, rel, err := c.Deploy(t.Context(), client.DeployRequest{Project: changed, Canary: "0", Accept: []string{"scores"}}, client.Decision{Actor: "ada", Reason: "a hundredfold"})
		if err != nil || plan.Backfill == nil || plan.Backfill.Events == 0 || rel.ID != "r2" {
			t.Fatalf("deploy: %+v, %+v, %v", plan, rel, err)
		}
		if rel := follow(t, c, "r2"); rel.State != "live" {
			t.Fatalf("r2 is %s: %s", rel.State, rel.Last().Reason)
		}
		if got := scored(t, url, "u3"); got != "3000 by score@2 in r2" {
			t.Errorf("after: %s", got)
		}
		if _, err := c.Rollback(t.Context(), client.Decision{Actor: "ada"}); err != nil {
			t.Fatal(err)
		}
		if got := scored(t, url, "u3"); got != "20 by score@1 in r1" {
			t.Errorf("after the rollback: %s", got)
		}
		if _, err := c.Rollback(t.Context(), client.Decision{Actor: "ada", Reason: "it was good"}); err != nil {
			t.Fatal(err)
		}
	})
	write(t, filepath.Join(project, "freshet.yaml"), "nonsense")
	serve(t, project, data, func(url string) {
		if got := scored(t, url, "u3"); got != "3000 by score@2 in r2" {
			t.Errorf("after a restart: %s", got)
		}
		all, err := connect(t, url).ListReleases(t.Context())
		if err != nil || all.Serving != "r2" || all.Former != "r1" || len(all.Releases[0].History) != 4 || all.Releases[0].Last().Reason != "it was good" {
			t.Errorf("the releases are %+v, %v", all, err)
		}
	})
}
