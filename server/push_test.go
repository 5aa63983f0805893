package server_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/server"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// pushProject tells users by a webhook, after each ping, what a model behind m says.
func pushProject(t *testing.T, m *remoteModel, hook string) string {
	t.Helper()
	project := remoteProject(t, m)
	write(t, filepath.Join(project, "freshet.yaml"), fmt.Sprintf(`
project: p
entities: { user: { key: user_id } }
events: { ping: { keys: [user_id] } }
models: { one: { path: one.json } }
pipelines: { risk: { from: ping, entity: user, model: one, inputs: { n: "1" }, push: { title: "{{ (index .Items 0).Score }}", dedupe: 0s } } }
push:
  webhook: { url: %q, secret: "${SERVER_TEST_HOOK}" }
`, hook))
	return project
}

// TestErasedInMidPush: a user is erased while a worker has a job of the user and while a sender has a message of the user. Nothing of either is left
// afterwards, and nobody is told any more (P6, P7).
func TestErasedInMidPush(t *testing.T) {
	t.Setenv("SERVER_TEST_HOOK", hookSecret)
	m := newRemoteModel(t, nil)
	arrived, let := make(chan struct{}, 10), make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-let:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(hook.Close)
	const gone = freshet.Key("user-to-be-erased")
	o := server.Options{Project: pushProject(t, m, hook.URL), Data: t.TempDir(), Workers: 2, PushPrivate: true, CheckEvery: -1}
	ping := func(c *client.Client, user freshet.Key, event string) client.EventsResult {
		t.Helper()
		answer, err := c.SendEvents(t.Context(), client.JSON, fmt.Appendf(nil, `{"event_id":%q,"type":"ping","user_id":%q}`, event, user))
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	whileServing(t, o, func(c *client.Client) {
		ping(c, gone, "e1")
		<-arrived // the sender has the message
		m.slow()
		calls := m.calls.Load()
		ping(c, gone, "e2")
		for m.calls.Load() == calls { // until the worker is with the model
			if err := c.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if x, err := c.Erase(t.Context(), client.User(string(gone))); err != nil || !x.Served {
			t.Fatalf("%+v, %v", x, err)
		}
		close(let)
		m.recover()
		// A user behind them in both lines: when that one has been told, they would have been.
		after := ping(c, "user-who-stays", "e3")
		if _, err := c.GetPrediction(t.Context(), client.User("user-who-stays"), "risk", &client.PredictionOptions{After: after.Position, Wait: 30 * time.Second}); err != nil {
			t.Fatal(err)
		}
		<-arrived
	})
	if len(arrived) != 0 {
		t.Errorf("%d more were told", len(arrived))
	}
	found, err := server.Traces(t.Context(), o.Data, "", feature.EntitySpec{Kind: "user", KeyFields: []string{"user_id"}}, gone)
	if err != nil || len(found) != 0 {
		t.Errorf("there is still: %v, %v", found, err)
	}
}

// TestRefusedEvents: what the Segment door could not take is listed after a restart, can be dropped, and goes with the person that it is about (P7).
func TestRefusedEvents(t *testing.T) {
	t.Parallel()
	project := t.TempDir()
	write(t, filepath.Join(project, "freshet.yaml"), "project: p\nentities: { user: { key: user_id } }\nevents: { ping: { keys: [user_id] } }\n")
	o := server.Options{Project: project, Data: t.TempDir(), CheckEvery: -1}
	listed := func(c *client.Client, want ...string) []client.RefusedEvent {
		t.Helper()
		list, err := c.RefusedEvents(t.Context(), 0)
		var got []string
		for _, e := range list {
			got = append(got, e.EventID+" "+e.Cause)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
		return list
	}
	whileServing(t, o, func(c *client.Client) {
		ask(t, c.URL()+"/v1/batch", `{"batch":[{"type":"track","event":"Paly","userId":"u1","messageId":"m1"},{"type":"track","event":"Paly","userId":"u2","messageId":"m2"},
{"type":"track","event":"ping","messageId":"m3"},{"type":"track","event":"ping","userId":"u1","messageId":"m4"}]}`)
		listed(c, "m3 no_id", "m2 unknown_type", "m1 unknown_type")
	})
	whileServing(t, o, func(c *client.Client) {
		list := listed(c, "m3 no_id", "m2 unknown_type", "m1 unknown_type")
		if n, err := c.DropDeadLetters(t.Context(), []freshet.JobID{freshet.JobID(list[0].ID), "refused-99"}); n != 1 || err != nil {
			t.Errorf("dropped %d, %v", n, err)
		}
		if _, err := c.Erase(t.Context(), client.User("u1")); err != nil {
			t.Fatal(err)
		}
		listed(c, "m2 unknown_type")
	})
	spec := feature.EntitySpec{Kind: "user", KeyFields: []string{"user_id"}}
	if found, err := server.Traces(t.Context(), o.Data, "", spec, "u1"); err != nil || len(found) != 0 {
		t.Errorf("of u1: %v, %v", found, err)
	}
	if found, err := server.Traces(t.Context(), o.Data, "", spec, "u2"); err != nil || !slices.Equal(found, []string{"1 refused events"}) {
		t.Errorf("of u2: %v, %v", found, err)
	}
	whileServing(t, o, func(c *client.Client) {
		listed(c, "m2 unknown_type")
		if n, err := c.DropDeadLetters(t.Context(), nil); n != 1 || err != nil {
			t.Errorf("dropped %d, %v", n, err)
		}
		listed(c)
	})
}

// TestChannelsFollowTheRelease: a server without the secret of a channel starts and says so; what asks for a release is held to what it needs; a release with other
// credentials sends by them, without a restart.
func TestChannelsFollowTheRelease(t *testing.T) {
	m := newRemoteModel(t, nil)
	signed := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h := r.Header
		signed <- h.Get("webhook-id") + "." + h.Get("webhook-timestamp") + "." + string(body) + "\n" + h.Get("webhook-signature")
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(hook.Close)
	o := server.Options{Project: pushProject(t, m, hook.URL), Data: t.TempDir(), PushPrivate: true, CheckEvery: -1}
	text, err := os.ReadFile(filepath.Join(o.Project, "freshet.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	deploy := func(c *client.Client, variable string) error {
		t.Helper()
		_, rel, err := c.Deploy(t.Context(), client.DeployRequest{Project: strings.ReplaceAll(string(text), "SERVER_TEST_HOOK", variable), Canary: "0"}, client.Decision{Actor: "ada"})
		if err != nil {
			return err
		}
		if rel = follow(t, c, rel.ID); rel.State != "live" {
			t.Fatalf("%s is %s: %s", rel.ID, rel.State, rel.Last().Reason)
		}
		return nil
	}
	told := func(c *client.Client, event string, key string) {
		t.Helper()
		if _, err := c.SendEvents(t.Context(), client.JSON, fmt.Appendf(nil, `{"event_id":%q,"type":"ping","user_id":"u1"}`, event)); err != nil {
			t.Fatal(err)
		}
		got := <-signed
		content, signature, _ := strings.Cut(got, "\n")
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_"))
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(content))
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); signature != want {
			t.Errorf("signed %s, want %s", signature, want)
		}
	}
	whileServing(t, o, func(c *client.Client) {
		for err := c.Ready(t.Context()); err != nil; err = c.Ready(t.Context()) {
			if freshet.CodeOf(err) != freshet.Unavailable {
				t.Fatal(err)
			}
		}
		res, err := http.Get(c.URL() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || !strings.Contains(string(body), "push.webhook.secret: the environment variable SERVER_TEST_HOOK is not set") {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		if err := deploy(c, "SERVER_TEST_OTHER"); freshet.CodeOf(err) != freshet.Unprocessable || freshet.FieldOf(err) != "push.webhook.secret" || !strings.Contains(err.Error(), "SERVER_TEST_OTHER") {
			t.Errorf("deployed without the secret: %v", err)
		}
		const first, second = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_bm90IHRoZSBzYW1lIHNlY3JldCBhcyBiZWZvcmU="
		t.Setenv("SERVER_TEST_HOOK", first) // as NAME_FILE may come to be there later
		told(c, "e1", first)
		t.Setenv("SERVER_TEST_OTHER", second)
		if err := deploy(c, "SERVER_TEST_OTHER"); err != nil {
			t.Fatal(err)
		}
		told(c, "e2", second)
	})
}
