// Package webpush is the push.Sender of browsers: RFC 8030 with messages encrypted as RFC 8291 says and VAPID (RFC 8292), by the standard
// library.
package webpush

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/push"
)

// maxTTL is the longest time that push services keep a message.
const maxTTL = 28 * 24 * time.Hour

const maxToken = 4096

// Options of a Sender.
type Options struct {
	Key     push.Secret // the VAPID private key: 32 bytes in base64url; required
	Subject string      // mailto: or https: address of whom push services can ask; required

	Addresses push.Addresses   // of subscriptions: they come from clients
	Client    *http.Client     // required: Addresses makes it
	Now       func() time.Time // Defaults to time.Now
}

// Sender is the sender of one application server.
type Sender struct {
	o     Options
	vapid vapid
}

var _ push.Sender = (*Sender)(nil)

// New makes a sender.
func New(o Options) *Sender {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Sender{o: o, vapid: vapid{secret: o.Key, subject: o.Subject, tokens: map[string]signed{}}}
}

// Channel implements push.Sender.
func (*Sender) Channel() push.Channel { return push.WebPush }

// subscription is what PushSubscription.toJSON of a browser gives.
type subscription struct {
	Endpoint string `json:"endpoint"`
	Keys     struct {
		P256dh string `json:"p256dh"`
		Auth   string `json:"auth"`
	} `json:"keys"`
}

// receiver is a subscription whose keys are decoded.
type receiver struct {
	endpoint  string
	key, auth []byte
}

func parseToken(token string) (receiver, error) {
	var s subscription
	if len(token) > maxToken || json.Unmarshal([]byte(token), &s) != nil || s.Endpoint == "" {
		return receiver{}, freshet.Errorf(freshet.InvalidArgument, "expected the JSON of a PushSubscription, at most %d bytes", maxToken)
	}
	r := receiver{endpoint: s.Endpoint}
	var err error
	if r.key, err = decode(s.Keys.P256dh); err != nil || len(r.key) != 65 {
		return receiver{}, freshet.FieldErrorf(freshet.InvalidArgument, "keys.p256dh", "keys.p256dh: expected 65 bytes in base64url")
	}
	if r.auth, err = decode(s.Keys.Auth); err != nil || len(r.auth) != 16 {
		return receiver{}, freshet.FieldErrorf(freshet.InvalidArgument, "keys.auth", "keys.auth: expected 16 bytes in base64url")
	}
	return r, nil
}

// decode reads base64url as browsers and libraries write it, padded or not.
func decode(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "=")))
}

// CheckToken implements push.Sender.
func (s *Sender) CheckToken(token string) error {
	r, err := parseToken(token)
	if err != nil {
		return err
	}
	if err := s.o.Addresses.Check(r.endpoint); err != nil {
		return freshet.FieldErrorf("", "endpoint", "endpoint: %w", err)
	}
	if _, err := point(r.key); err != nil {
		return freshet.FieldErrorf(freshet.InvalidArgument, "keys.p256dh", "keys.p256dh: is no point of the curve P-256")
	}
	return nil
}

// payload is what the service worker gets.
type payload struct {
	ID         string          `json:"id"`
	Title      string          `json:"title,omitempty"`
	Body       string          `json:"body,omitempty"`
	Prediction json.RawMessage `json:"prediction,omitempty"`
}

// Send implements push.Sender.
func (s *Sender) Send(ctx context.Context, m push.Message) push.Result {
	to, err := parseToken(m.Token)
	if err == nil {
		err = s.o.Addresses.Check(to.endpoint)
	}
	if err != nil { // registered under other rules
		return push.Result{Outcome: push.Gone, Reason: push.Clip(err.Error())}
	}
	text, err := json.Marshal(payload{m.ID, m.Title, m.Body, m.Prediction})
	if err != nil {
		return push.Result{Outcome: push.Rejected, Reason: "the prediction is no JSON"}
	}
	body, err := encrypt(to, text)
	if err != nil {
		if errors.Is(err, errTooLarge) {
			return push.Result{Outcome: push.Rejected, Reason: fmt.Sprintf("too large: %d bytes, at most %d", len(text), maxPlain)}
		}
		return push.Result{Outcome: push.Gone, Reason: push.Clip(err.Error())}
	}
	now := s.o.Now()
	authorization, err := s.vapid.header(to.endpoint, now)
	if err != nil {
		return push.Result{Outcome: push.Unauthorized, Reason: push.Clip(err.Error())}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.endpoint, bytes.NewReader(body))
	if err != nil {
		return push.Result{Outcome: push.Gone, Reason: "the endpoint is no address"}
	}
	ttl := time.Duration(0)
	if !m.Expires.IsZero() {
		ttl = max(0, min(m.Expires.Sub(now), maxTTL))
	}
	r.Header.Set("Ttl", strconv.FormatInt(int64(ttl/time.Second), 10))
	r.Header.Set("Urgency", "high")
	r.Header.Set("Content-Encoding", "aes128gcm")
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header.Set("Authorization", authorization)
	if m.Collapse != "" {
		r.Header.Set("Topic", m.Collapse)
	}
	answer, err := s.o.Client.Do(r)
	if err != nil {
		return push.Unreached(err)
	}
	_, _ = push.ReadAnswer(answer) // the status says all
	return judge(answer, now)
}

// judge says what a push service's answer means. There are many push services: what one of them cannot do says nothing about the others.
func judge(r *http.Response, now time.Time) push.Result {
	result := push.Result{Outcome: push.Rejected, Reason: fmt.Sprintf("status %d", r.StatusCode)}
	switch {
	case r.StatusCode >= 200 && r.StatusCode < 300:
		return push.Result{Outcome: push.Sent, ProviderID: push.Clip(r.Header.Get("Location"))}
	case r.StatusCode == http.StatusNotFound, r.StatusCode == http.StatusGone:
		result.Outcome = push.Gone
	case r.StatusCode == http.StatusUnauthorized, r.StatusCode == http.StatusForbidden:
		result.Outcome = push.Unauthorized
	case r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusRequestTimeout, r.StatusCode >= 500:
		result.Outcome, result.After = push.Retry, push.RetryAfter(r.Header, now)
	}
	return result
}
