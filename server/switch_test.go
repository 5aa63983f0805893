package server_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/registry"
)

// deployPairs publishes another generation of the pairs' app, and begins to deploy its factors and its id map.
func deployPairs(t *testing.T, c *client.Client, generation int) client.Release {
	t.Helper()
	dir := t.TempDir()
	if err := benchapp.WritePairs(dir, generation); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := modelregistry.WriteTar(&archive, os.DirFS(filepath.Join(dir, "factors"))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Publish(t.Context(), client.Publication{Model: "factors", Archive: &archive, Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	users, err := os.ReadFile(filepath.Join(dir, "users.csv"))
	if err != nil {
		t.Fatal(err)
	}
	digest := registry.DigestOf(users)
	if err := c.PutBlob(t.Context(), digest, bytes.NewReader(users)); err != nil {
		t.Fatal(err)
	}
	_, rel, err := c.Deploy(t.Context(), client.DeployRequest{
		Tables: map[freshet.TableName]freshet.Digest{"user_index": digest}, Canary: "0", Accept: []string{"scores"},
	}, client.Decision{Actor: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	return rel
}

// paired tells whether the id map and the factors of a prediction were of one generation, that of its release: rN has generation N−1.
func paired(p client.Prediction, user int) error {
	n, err := strconv.Atoi(strings.TrimPrefix(string(p.Release), "r"))
	if err != nil || len(p.Items) != 1 {
		return fmt.Errorf("no prediction: %+v", p)
	}
	if want := benchapp.PairScore(user, n-1); p.Items[0].Score != want {
		return fmt.Errorf("release %s answers %+v for user %d; want the score %v", p.Release, p.Items[0], user, want)
	}
	return nil
}

// TestSwitchesMixNothing goes back and forth between two releases under a load of events, pulls and predictions: no request fails,
// and no prediction is made of the id map of one release and the factors of the other (promises P3, P4). freshet bench
// switch does it a thousand times and measures.
func TestSwitchesMixNothing(t *testing.T) {
	t.Parallel()
	project, data := t.TempDir(), t.TempDir()
	if err := benchapp.WritePairs(project, 0); err != nil {
		t.Fatal(err)
	}
	serve(t, project, data, func(url string) {
		c := connect(t, url)
		if rel := deployPairs(t, c, 1); follow(t, c, rel.ID).State != "live" {
			t.Fatalf("%s is not live", rel.ID)
		}
		var stop atomic.Bool
		var load sync.WaitGroup
		var rounds atomic.Int64
		for worker := range 2 {
			load.Go(func() {
				for i := worker; !stop.Load() && !t.Failed(); i += 2 {
					user := i % benchapp.PairUsers
					key := benchapp.PairUser(user)
					sent, err := c.SendEvents(t.Context(), client.JSON, fmt.Appendf(nil, `{"event_id":"e%d","type":"play","user_id":%q,"seconds":1}`, i, key))
					if err != nil {
						t.Errorf("event: %v", err)
					}
					p, err := c.Predict(t.Context(), benchapp.PairsPipeline, client.PredictRequest{Entity: map[string]string{"user_id": key}})
					if err == nil {
						err = paired(p, user)
					}
					if err != nil {
						t.Errorf("predict: %v", err)
					}
					p, err = c.GetPrediction(t.Context(), client.User(key), benchapp.PairsPipeline, &client.PredictionOptions{After: sent.Position, Wait: 10 * time.Second})
					if err == nil {
						err = paired(p, user)
					}
					if err != nil {
						t.Errorf("pull: %v", err)
					}
					if p.Stale {
						t.Errorf("pull of %s: the job has not ended", key)
					}
					rounds.Add(1)
				}
			})
		}
		for range 40 {
			if _, err := c.Rollback(t.Context(), client.Decision{Actor: "ada"}); err != nil {
				t.Fatal(err)
			}
		}
		stop.Store(true)
		load.Wait()
		t.Logf("%d rounds of event, prediction and pull during 40 switches", rounds.Load())
	})
}
