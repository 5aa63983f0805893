package fcm_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet/push"
	"github.com/freshet-ml/freshet/push/fcm"
	"github.com/freshet-ml/freshet/push/pushtest"
)

// insecure is for the fakes of one test, of which each has a certificate of its own.
func insecure() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSuite(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	fail := pushtest.FCMError
	badField := func(field string) pushtest.Answer {
		return pushtest.Answer{Status: 400, Body: `{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[
			{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INVALID_ARGUMENT"},
			{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"` + field + `","description":"no"}]}]}}`}
	}
	after := func(a pushtest.Answer, seconds string) pushtest.Answer {
		a.Header = map[string]string{"Retry-After": seconds}
		return a
	}
	pushtest.Run(t, pushtest.Harness{
		Open: func(t *testing.T) (*pushtest.Provider, func(*http.Client) push.Sender) {
			p := pushtest.FCM(t, key)
			p.Client = insecure()
			return p.Provider, func(c *http.Client) push.Sender {
				return fcm.New(fcm.Options{URL: p.URL, Account: push.Fixed(p.Account), Client: c})
			}
		},
		Token:     func(*pushtest.Provider) string { return "registration:token-1" },
		BadTokens: []string{"", strings.Repeat("x", 4097)},
		Secret:    "PRIVATE KEY", Collapses: true, MaxBytes: 4096,
		Cases: []pushtest.Case{
			{Name: "unregistered", Answer: fail(404, "NOT_FOUND", "UNREGISTERED"), Want: push.Result{Outcome: push.Gone, Reason: "UNREGISTERED"}},
			{Name: "other sender", Answer: fail(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), Want: push.Result{Outcome: push.Gone, Reason: "SENDER_ID_MISMATCH"}},
			{Name: "bad token", Answer: badField("message.token"), Want: push.Result{Outcome: push.Gone, Reason: "INVALID_ARGUMENT"}},
			{Name: "bad field", Answer: badField("message.android.ttl"), Want: push.Result{Outcome: push.Rejected, Reason: "INVALID_ARGUMENT"}},
			{Name: "bad argument", Answer: fail(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"), Want: push.Result{Outcome: push.Rejected, Reason: "INVALID_ARGUMENT"}},
			{Name: "APNs credentials", Answer: fail(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), Want: push.Result{Outcome: push.Unauthorized, Reason: "THIRD_PARTY_AUTH_ERROR"}},
			{Name: "no permission", Answer: fail(403, "PERMISSION_DENIED", ""), Want: push.Result{Outcome: push.Unauthorized, Reason: "PERMISSION_DENIED"}},
			{Name: "quota", Answer: fail(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), Want: push.Result{Outcome: push.Retry, Reason: "QUOTA_EXCEEDED", After: time.Minute, Wide: true}},
			{Name: "quota, told when", Answer: after(fail(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), "5"), Want: push.Result{Outcome: push.Retry, Reason: "QUOTA_EXCEEDED", After: 5 * time.Second, Wide: true}},
			{Name: "internal", Answer: fail(500, "INTERNAL", "INTERNAL"), Want: push.Result{Outcome: push.Retry, Reason: "INTERNAL", Wide: true}},
			{Name: "unavailable", Answer: after(fail(503, "UNAVAILABLE", "UNAVAILABLE"), "9"), Want: push.Result{Outcome: push.Retry, Reason: "UNAVAILABLE", After: 9 * time.Second, Wide: true}},
			{Name: "no project", Answer: fail(404, "NOT_FOUND", ""), Want: push.Result{Outcome: push.Rejected, Reason: "NOT_FOUND"}},
		},
	})
}

func send(t *testing.T, s push.Sender) push.Result {
	t.Helper()
	return s.Send(t.Context(), push.Message{ID: "0190a5d2-7c3e-7b61-9f04-1c2d3e4f5a6b", Token: "t", Title: "x", Expires: time.Now().Add(time.Hour)})
}

// One access token serves many messages; one that was called back is got anew, once.
func TestAccessToken(t *testing.T) {
	t.Parallel()
	p := pushtest.FCM(t, newKey(t))
	s := fcm.New(fcm.Options{URL: p.URL, Account: push.Fixed(p.Account), Client: insecure()})
	for range 3 {
		if got := send(t, s); got.Outcome != push.Sent {
			t.Fatalf("got %+v", got)
		}
	}
	if n := p.Grants.Load(); n != 1 {
		t.Errorf("%d access tokens for three messages", n)
	}
	p.Revoked.Store(1)
	if got := send(t, s); got.Outcome != push.Sent || p.Grants.Load() != 2 {
		t.Errorf("after it was called back: %+v, %d tokens", got, p.Grants.Load())
	}
}

func TestExchangeFails(t *testing.T) {
	t.Parallel()
	p := pushtest.FCM(t, newKey(t))
	for name, c := range map[string]struct {
		account string
		grant   *pushtest.Answer
		want    push.Outcome
	}{
		"no account":     {"{}", nil, push.Unauthorized},
		"no key":         {strings.ReplaceAll(string(p.Account), "BEGIN PRIVATE", "BEGIN NO"), nil, push.Unauthorized},
		"refused":        {string(p.Account), &pushtest.Answer{Status: 400, Body: `{"error":"invalid_grant"}`}, push.Unauthorized},
		"not now":        {string(p.Account), &pushtest.Answer{Status: 503}, push.Retry},
		"nothing of use": {string(p.Account), &pushtest.Answer{Status: 200, Body: "<html>"}, push.Unauthorized},
	} {
		p.Grant.Store(c.grant)
		s := fcm.New(fcm.Options{URL: p.URL, Account: push.Fixed([]byte(c.account)), Client: insecure()})
		if got := send(t, s); got.Outcome != c.want || strings.Contains(got.Reason, "PRIVATE") || p.Requests() != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
