package clients_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/freshet-ml/freshet/client"
)

// TestSegment lets Segment's server SDKs send every kind of message. The answer to the first batch gets lost, so that they
// send it again.
func TestSegment(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]func(t *testing.T) *exec.Cmd{
		"python": func(t *testing.T) *exec.Cmd {
			return exec.CommandContext(t.Context(), pythonOf(t, segmentEnvironment), "segment_client.py")
		},
		"node": func(t *testing.T) *exec.Cmd { return nodeCommand(t, segmentModules, "segment_client.js") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := command(t)
			server := serve(t, "segment.yaml")
			way, batches := lossy(t, server)
			cmd.Args = append(cmd.Args, way, "u1")
			if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "ok\n") {
				t.Fatalf("%v\n%s", err, out)
			}
			if batches.Load() < 2 {
				t.Errorf("%d batches came: none was sent again", batches.Load())
			}
			segmentArrived(t, server)
		})
	}
}

var (
	segmentEnvironment = sync.OnceValues(func() (string, error) { return python("requirements-segment.txt") })
	segmentModules     = sync.OnceValues(func() (string, error) { return modules("segment") })
)

// modules are the packages of a folder of Node tests.
func modules(folder string) (string, error) { return output("sh", "node.sh", folder) }

// nodeCommand runs a script of Node with packages; without those the test is skipped.
func nodeCommand(t *testing.T, modules func() (string, error), script string) *exec.Cmd {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Node and its packages")
	}
	path, err := modules()
	if err != nil {
		t.Skipf("no Node packages for the clients (test/clients/node.sh installs them): %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Env = append(cmd.Environ(), "NODE_PATH="+filepath.FromSlash(path))
	return cmd
}

// lossy is the address of a way to server on which the first answer is lost: what was asked has been done all the same.
func lossy(t *testing.T, server string) (address string, requests *atomic.Int32) {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	requests = new(atomic.Int32)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		if requests.Add(1) > 1 || r.StatusCode != http.StatusOK {
			return nil
		}
		r.Body.Close()
		r.StatusCode, r.ContentLength, r.Body = http.StatusBadGateway, 0, http.NoBody
		r.Header = http.Header{}
		return nil
	}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	return s.URL, requests
}

// segmentArrived checks what the scripts have sent for u1.
func segmentArrived(t *testing.T, server string) {
	t.Helper()
	c, err := client.New(server, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The SDKs learn no position: that of a later event about the same user covers theirs.
	last, err := c.Send(t.Context(), map[string]any{"type": "screen", "user_id": "u1", "name": "end"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.BatchFeatures(t.Context(), client.FeatureBatch{
		Features: []string{"activity", "seen", "known", "profile.plan", "profile.visits", "profile.city"}, Entities: []map[string]string{{"user_id": "u1"}},
		FeatureOptions: client.FeatureOptions{After: last.Position, Wait: 30e9},
	})
	if err != nil {
		t.Fatal(err)
	}
	values, err := json.Marshal(got.Columns)
	if err != nil {
		t.Fatal(err)
	}
	want := `[[2],[42.5],[["c2 🎧","c1"]],[["end","Player","Home"]],[["Tabs"]],[["de-DE"]],[["team 7"]],[["before"]],["plus"],[1],["Köln"]]`
	if string(values) != want {
		t.Errorf("%v are\n%s, want\n%s", got.Names, values, want)
	}
	team, err := c.BatchFeatures(t.Context(), client.FeatureBatch{Features: []string{"team.employees"}, Entities: []map[string]string{{"team_id": "team 7"}}})
	if err != nil || team.Columns[0][0] != 12.0 {
		t.Errorf("the team is %v (%v)", team.Columns, err)
	}
	if metrics := fetch(t, server+"/metrics"); !slices.Contains(strings.Split(metrics, "\n"), "freshet_events_duplicate_total 6") {
		t.Error("the events that were sent again are not counted as duplicates")
	}
	if letters := fetch(t, server+"/v1/dead-letters"); !strings.Contains(letters, "there is no event type not_in_the_project") {
		t.Errorf("the event that is not in the project is not among %s", letters)
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
