package webhook_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet/push"
	"github.com/freshet-ml/freshet/push/pushtest"
	"github.com/freshet-ml/freshet/push/webhook"
)

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	other  = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	h := pushtest.Harness{
		Open: func(t *testing.T) (*pushtest.Provider, func(*http.Client) push.Sender) {
			p := pushtest.Webhook(t, secret)
			return p, func(c *http.Client) push.Sender {
				return webhook.New(webhook.Options{URL: p.URL + "/hook", Secret: push.Fixed([]byte(secret)), Client: c})
			}
		},
		BadTokens: []string{"", "x"},
		Secret:    "MfKQ9r8", MaxBytes: 20 << 10,
		Cases: []pushtest.Case{
			{Name: "gone", Answer: pushtest.Answer{Status: 410}, Want: push.Result{Outcome: push.Unauthorized, Reason: "status 410"}},
			{Name: "no redirects", Answer: pushtest.Answer{Status: 302, Header: map[string]string{"Location": "/elsewhere"}}, Want: push.Result{Outcome: push.Retry, Reason: "status 302", Wide: true}},
			{Name: "wait", Answer: pushtest.Answer{Status: 429, Header: map[string]string{"Retry-After": "3"}}, Want: push.Result{Outcome: push.Retry, Reason: "status 429", After: 3 * time.Second, Wide: true}},
		},
	}
	for _, status := range []int{408, 500, 502, 503, 504} {
		h.Cases = append(h.Cases, pushtest.Case{Name: http.StatusText(status), Answer: pushtest.Answer{Status: status}, Want: push.Result{Outcome: push.Retry, Reason: "status", Wide: true}})
	}
	for _, status := range []int{400, 401, 403, 404, 413, 422} {
		h.Cases = append(h.Cases, pushtest.Case{Name: http.StatusText(status), Answer: pushtest.Answer{Status: status}, Want: push.Result{Outcome: push.Rejected, Reason: "status"}})
	}
	pushtest.Run(t, h)
}

// While secrets change, messages carry the signatures of both.
func TestTwoSecrets(t *testing.T) {
	t.Parallel()
	for _, receiver := range []string{secret, other} {
		p := pushtest.Webhook(t, receiver)
		s := webhook.New(webhook.Options{URL: p.URL, Secret: push.Fixed([]byte(secret + "\n" + other)), Client: p.Client})
		if got := s.Send(t.Context(), push.Message{ID: "1"}); got.Outcome != push.Sent {
			t.Errorf("got %+v", got)
		}
	}
}

func TestBadSecrets(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", " ", "hunter2", "whsec_hunter2", "whsec_" + strings.Repeat("A", 200)} {
		s := webhook.New(webhook.Options{URL: "https://example.com", Secret: push.Fixed([]byte(bad)), Client: http.DefaultClient})
		if got := s.Send(t.Context(), push.Message{ID: "1"}); got.Outcome != push.Unauthorized || strings.Contains(got.Reason, "hunter") {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}
