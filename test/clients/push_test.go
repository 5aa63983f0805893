package clients_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-ml/freshet/push"
	"github.com/freshet-ml/freshet/push/webhook"
	"github.com/freshet-ml/freshet/push/webpush"
)

// The secrets are those of public examples.
const (
	hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vapidKey   = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
)

var pushModules = sync.OnceValues(func() (string, error) { return modules("push") })

// receivers are the receivers of push_receivers.js.
type receivers struct {
	WebPush, Webhook string
	lines            *bufio.Scanner
}

func startReceivers(t *testing.T) *receivers {
	t.Helper()
	cmd := nodeCommand(t, pushModules, "push_receivers.js")
	cmd.Args = append(cmd.Args, hookSecret)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	r := &receivers{lines: bufio.NewScanner(out)}
	if !r.lines.Scan() || json.Unmarshal(r.lines.Bytes(), r) != nil || r.WebPush == "" {
		t.Fatalf("the receivers did not start: %s", r.lines.Text())
	}
	return r
}

func pushMessage(token string) push.Message {
	return push.Message{ID: "0190a5d2-7c3e-7b61-9f04-1c2d3e4f5a6b", Token: token, Collapse: "c0ffee", Expires: time.Now().Add(time.Hour),
		Title: "Up next", Body: "Räin – 雨", Prediction: json.RawMessage(`{"delivery":"d1"}`)}
}

// TestPushReceivers has a browser's side decrypt what we send, and verify who sent it, and the library that receivers use verify our webhooks.
func TestPushReceivers(t *testing.T) {
	t.Parallel()
	r, local := startReceivers(t), push.Addresses{Private: true}

	public, err := webpush.PublicKey([]byte(vapidKey))
	if err != nil {
		t.Fatal(err)
	}
	var subscribed struct {
		Data struct {
			ClientHash string
			Endpoint   string          `json:"endpoint"`
			Keys       json.RawMessage `json:"keys"`
		}
	}
	post(t, r.WebPush+"/subscribe", url.Values{"userVisibleOnly": {"true"}, "applicationServerKey": {public}}, &subscribed)
	subscription, err := json.Marshal(map[string]any{"endpoint": subscribed.Data.Endpoint, "keys": subscribed.Data.Keys})
	if err != nil {
		t.Fatal(err)
	}
	browser := webpush.New(webpush.Options{Key: push.Fixed([]byte(vapidKey)), Subject: "mailto:push@example.com", Addresses: local, Client: local.Client(2)})
	if err := browser.CheckToken(string(subscription)); err != nil {
		t.Fatal(err)
	}
	if got := browser.Send(t.Context(), pushMessage(string(subscription))); got.Outcome != push.Sent {
		t.Fatalf("web push: %+v", got)
	}
	var shown struct {
		Data struct {
			Messages []string `json:"messages"`
		} `json:"data"`
	}
	post(t, r.WebPush+"/get-notifications", url.Values{"clientHash": {subscribed.Data.ClientHash}}, &shown)
	if m := shown.Data.Messages; len(m) != 1 || !strings.Contains(m[0], `"body":"Räin – 雨"`) || !strings.Contains(m[0], `"prediction":{"delivery":"d1"}`) {
		t.Errorf("the browser shows %q", m)
	}
	post(t, r.WebPush+"/expire-subscription/"+subscribed.Data.ClientHash, nil, nil)
	if got := browser.Send(t.Context(), pushMessage(string(subscription))); got.Outcome != push.Gone {
		t.Errorf("a subscription that has ended: %+v", got)
	}

	hook := func(secret string) push.Result {
		return webhook.New(webhook.Options{URL: r.Webhook, Secret: push.Fixed([]byte(secret)), Client: local.Client(2)}).Send(t.Context(), pushMessage(""))
	}
	if got := hook("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"); got.Outcome != push.Rejected {
		t.Errorf("a webhook signed with another secret: %+v", got)
	}
	if got := hook("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX " + hookSecret); got.Outcome != push.Sent {
		t.Fatalf("webhook: %+v", got)
	}
	if !r.lines.Scan() || !strings.Contains(r.lines.Text(), `"verified":{"type":"prediction.created"`) || !strings.Contains(r.lines.Text(), "Räin – 雨") {
		t.Errorf("the receiver has verified %s", r.lines.Text())
	}
}

// post sends a form and reads the answer's JSON into v, unless that is nil.
func post(t *testing.T, to string, form url.Values, v any) {
	t.Helper()
	r, err := http.PostForm(to, form)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v: %s", to, r.StatusCode, err, b)
	}
	if v != nil {
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatalf("%s: %v: %s", to, err, b)
		}
	}
}
