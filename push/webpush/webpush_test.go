package webpush_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet/push"
	"github.com/freshet-ml/freshet/push/pushtest"
	"github.com/freshet-ml/freshet/push/webpush"
)

const (
	vapid   = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
	subject = "mailto:push@example.com"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	h := pushtest.Harness{
		Token:     func(p *pushtest.Provider) string { return p.Subscription },
		BadTokens: []string{"", "{}", "https://example.com", strings.Repeat("x", 5000), token("https://example.com", "short", "BTBZMqHH6r4Tts7J_aSIgg")},
		Secret:    vapid, Collapses: true, MaxBytes: 3994,
		Cases: []pushtest.Case{
			{Name: "not found", Answer: pushtest.Answer{Status: 404}, Want: push.Result{Outcome: push.Gone, Reason: "status 404"}},
			{Name: "gone", Answer: pushtest.Answer{Status: 410}, Want: push.Result{Outcome: push.Gone, Reason: "status 410"}},
			{Name: "too large", Answer: pushtest.Answer{Status: 413}, Want: push.Result{Outcome: push.Rejected, Reason: "status 413"}},
			{Name: "bad request", Answer: pushtest.Answer{Status: 400}, Want: push.Result{Outcome: push.Rejected, Reason: "status 400"}},
			{Name: "VAPID unknown", Answer: pushtest.Answer{Status: 401}, Want: push.Result{Outcome: push.Unauthorized, Reason: "status 401"}},
			{Name: "VAPID wrong", Answer: pushtest.Answer{Status: 403}, Want: push.Result{Outcome: push.Unauthorized, Reason: "status 403"}},
			{Name: "wait", Answer: pushtest.Answer{Status: 429, Header: map[string]string{"Retry-After": "11"}}, Want: push.Result{Outcome: push.Retry, Reason: "status 429", After: 11 * time.Second}},
			{Name: "failed", Answer: pushtest.Answer{Status: 500}, Want: push.Result{Outcome: push.Retry, Reason: "status 500"}},
			{Name: "away", Answer: pushtest.Answer{Status: 503}, Want: push.Result{Outcome: push.Retry, Reason: "status 503"}},
		},
	}
	h.Open = func(t *testing.T) (*pushtest.Provider, func(*http.Client) push.Sender) {
		b := pushtest.WebPush(t, subject)
		return b.Provider, func(c *http.Client) push.Sender {
			return webpush.New(webpush.Options{Key: push.Fixed([]byte(vapid)), Subject: subject, Addresses: push.Addresses{Private: true}, Client: c})
		}
	}
	pushtest.Run(t, h)
}

func token(endpoint, key, auth string) string {
	return fmt.Sprintf(`{"endpoint":%q,"keys":{"p256dh":%q,"auth":%q}}`, endpoint, key, auth)
}

// Endpoints come from clients: none may lead inside.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	const key, auth = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", "BTBZMqHH6r4Tts7J_aSIgg"
	s := webpush.New(webpush.Options{Key: push.Fixed([]byte(vapid)), Subject: subject, Client: push.Addresses{}.Client(1)})
	if err := s.CheckToken(token("https://push.example.com/x", key, auth)); err != nil {
		t.Error(err)
	}
	for _, endpoint := range []string{"http://push.example.com/x", "https://127.0.0.1/x", "https://[::1]/x", "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data", "ftp://x", "https://user:pw@example.com/"} {
		bad := token(endpoint, key, auth)
		if s.CheckToken(bad) == nil {
			t.Errorf("%s is registered", endpoint)
		}
		if got := s.Send(t.Context(), push.Message{Token: bad}); got.Outcome != push.Gone {
			t.Errorf("%s: %+v", endpoint, got)
		}
	}
	// A name that leads inside is seen when it is called.
	if got := s.Send(t.Context(), push.Message{Token: token("https://localhost:1/x", key, auth)}); got.Outcome != push.Retry || !strings.Contains(got.Reason, "not a public address") {
		t.Errorf("localhost: %+v", got)
	}
}
