package apns_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/push"
	"github.com/freshet-ml/freshet/push/apns"
	"github.com/freshet-ml/freshet/push/pushtest"
)

const device = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"

func newKey(t *testing.T) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func options(p *pushtest.Provider, client *http.Client, secret push.Secret) apns.Options {
	return apns.Options{URL: p.URL, Key: secret, KeyID: pushtest.APNsKeyID, TeamID: pushtest.APNsTeam, Topic: pushtest.APNsTopic, Client: client}
}

func reason(status int, reason string) pushtest.Answer {
	return pushtest.Answer{Status: status, Body: `{"reason":"` + reason + `"}`}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	key, text := newKey(t)
	h := pushtest.Harness{
		Open: func(t *testing.T) (*pushtest.Provider, func(*http.Client) push.Sender) {
			p := pushtest.APNs(t, func() *ecdsa.PrivateKey { return key })
			return p, func(c *http.Client) push.Sender { return apns.New(options(p, c, push.Fixed(text))) }
		},
		Token:     func(*pushtest.Provider) string { return device },
		BadTokens: []string{"", "abc", "zz", strings.Repeat("ab", 101), "../device"},
		Secret:    "PRIVATE KEY", Collapses: true, MaxBytes: 4096,
		Cases: []pushtest.Case{
			{Name: "unregistered", Answer: pushtest.Answer{Status: 410, Body: `{"reason":"Unregistered","timestamp":1700000000000}`},
				Want: push.Result{Outcome: push.Gone, Reason: "Unregistered", GoneSince: time.UnixMilli(1700000000000)}},
			{Name: "expired token", Answer: pushtest.Answer{Status: 410, Body: `{"reason":"ExpiredToken","timestamp":1700000000001}`},
				Want: push.Result{Outcome: push.Gone, Reason: "ExpiredToken", GoneSince: time.UnixMilli(1700000000001)}},
			{Name: "retry after", Answer: pushtest.Answer{Status: 503, Header: map[string]string{"Retry-After": "7"}, Body: `{"reason":"Shutdown"}`},
				Want: push.Result{Outcome: push.Retry, Reason: "Shutdown", After: 7 * time.Second, Wide: true}},
			{Name: "no JSON", Answer: pushtest.Answer{Status: 502, Body: "<html>"}, Want: push.Result{Outcome: push.Retry, Reason: "status 502", Wide: true}},
		},
	}
	for _, c := range []struct {
		status  int
		outcome push.Outcome
		wide    bool
		reasons string
	}{
		{400, push.Gone, false, "BadDeviceToken DeviceTokenNotForTopic"},
		{400, push.Rejected, false, "BadTopic TopicDisallowed MissingTopic BadCollapseId BadExpirationDate BadMessageId BadPriority PayloadEmpty InvalidPushType"},
		{400, push.Retry, true, "IdleTimeout"},
		{403, push.Unauthorized, false, "InvalidProviderToken MissingProviderToken BadCertificate BadCertificateEnvironment Forbidden"},
		{404, push.Rejected, false, "BadPath"},
		{405, push.Rejected, false, "MethodNotAllowed"},
		{413, push.Rejected, false, "PayloadTooLarge"},
		{429, push.Retry, false, "TooManyRequests"},
		{429, push.Retry, true, "TooManyProviderTokenUpdates"},
		{500, push.Retry, true, "InternalServerError"},
		{503, push.Retry, true, "ServiceUnavailable Shutdown"},
	} {
		for r := range strings.FieldsSeq(c.reasons) {
			h.Cases = append(h.Cases, pushtest.Case{Name: r, Answer: reason(c.status, r), Want: push.Result{Outcome: c.outcome, Reason: r, Wide: c.wide}})
		}
	}
	pushtest.Run(t, h)
}

func message() push.Message {
	return push.Message{ID: "0190a5d2-7c3e-7b61-9f04-1c2d3e4f5a6b", Token: device, Title: "t", Expires: time.Now().Add(time.Hour)}
}

// A token is made once in 50 minutes, and anew once when Apple calls it expired, but not within 20 minutes of the last.
func TestTokenIsRenewed(t *testing.T) {
	t.Parallel()
	key, text := newKey(t)
	p := pushtest.APNs(t, func() *ecdsa.PrivateKey { return key })
	o := options(p, p.Client, push.Fixed(text))
	late := atomic.Int64{}
	o.Now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	s := apns.New(o)
	for _, c := range []struct {
		late     time.Duration
		refused  int // times that Apple says "expired"
		outcome  push.Outcome
		requests int
	}{
		{0, 0, push.Sent, 1},
		{10 * time.Minute, 1, push.Sent, 2},         // the same token again
		{10 * time.Minute, 2, push.Unauthorized, 2}, // not a third time
		{25 * time.Minute, 1, push.Sent, 2},         // a new one
		{25 * time.Minute, 0, push.Sent, 1},
	} {
		late.Store(int64(c.late))
		before := p.Requests()
		for range c.refused {
			p.Next(reason(403, "ExpiredProviderToken"))
		}
		if got := s.Send(t.Context(), message()); got.Outcome != c.outcome || p.Requests()-before != c.requests {
			t.Errorf("%v late, refused %d times: %+v after %d requests", c.late, c.refused, got, p.Requests()-before)
		}
	}
}

// A new key is used with the next message.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	one, oneText := newKey(t)
	two, twoText := newKey(t)
	current := atomic.Bool{}
	p := pushtest.APNs(t, func() *ecdsa.PrivateKey {
		if current.Load() {
			return two
		}
		return one
	})
	s := apns.New(options(p, p.Client, func() ([]byte, error) {
		if current.Load() {
			return twoText, nil
		}
		return oneText, nil
	}))
	for range 2 {
		if got := s.Send(t.Context(), message()); got.Outcome != push.Sent {
			t.Errorf("got %+v", got)
		}
		current.Store(true)
	}
}

func TestBadKey(t *testing.T) {
	t.Parallel()
	key, _ := newKey(t)
	p := pushtest.APNs(t, func() *ecdsa.PrivateKey { return key })
	for name, secret := range map[string]push.Secret{
		"no PEM": push.Fixed([]byte("hunter2")),
		"none":   func() ([]byte, error) { return nil, freshet.Errorf(freshet.Unavailable, "gone") },
	} {
		if got := apns.New(options(p, p.Client, secret)).Send(t.Context(), message()); got.Outcome != push.Unauthorized || strings.Contains(got.Reason, "hunter2") || p.Requests() != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
