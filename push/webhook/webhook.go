// Package webhook is the push.Sender of Standard Webhooks: a signed POST to one address of the operator's.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/push"
)

// maxPayload is what receivers of webhooks usually take.
const maxPayload = 20 << 10

// Options of a Sender.
type Options struct {
	URL string // required
	// Secret is one or several of the form whsec_…, with white space between them: each signs, so that the receiver can change from one to the next.
	Secret push.Secret

	Client *http.Client     // required: push.Addresses makes it
	Now    func() time.Time // Defaults to time.Now
}

// Sender is the sender to one address.
type Sender struct{ o Options }

var _ push.Sender = (*Sender)(nil)

// New makes a sender.
func New(o Options) *Sender {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Sender{o}
}

// Channel implements push.Sender.
func (*Sender) Channel() push.Channel { return push.Webhook }

// CheckToken implements push.Sender: the address stands in the project file, devices have none.
func (*Sender) CheckToken(string) error {
	return freshet.Errorf(freshet.InvalidArgument, "a webhook has no devices: it is called for every user")
}

// event is the body of a request.
type event struct {
	Type      string          `json:"type"`
	Timestamp string          `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
}

type data struct {
	Title      string          `json:"title,omitempty"`
	Body       string          `json:"body,omitempty"`
	ExpiresAt  string          `json:"expires_at,omitempty"`
	Prediction json.RawMessage `json:"prediction,omitempty"`
}

// Send implements push.Sender. The id is the same on every attempt, moment and signature are new.
func (s *Sender) Send(ctx context.Context, m push.Message) push.Result {
	now := s.o.Now()
	body, err := marshal(m, now)
	if err != nil {
		return push.Result{Outcome: push.Rejected, Reason: "the prediction is no JSON"}
	}
	if len(body) > maxPayload {
		return push.Result{Outcome: push.Rejected, Reason: fmt.Sprintf("too large: %d bytes, at most %d", len(body), maxPayload)}
	}
	id, at := "msg_"+m.ID, strconv.FormatInt(now.Unix(), 10)
	signature, err := s.sign(id, at, body)
	if err != nil {
		return push.Result{Outcome: push.Unauthorized, Reason: push.Clip(err.Error())}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL, bytes.NewReader(body))
	if err != nil {
		return push.Result{Outcome: push.Rejected, Reason: "the address of the webhook is wrong"}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", at)
	r.Header.Set("Webhook-Signature", signature)
	answer, err := s.o.Client.Do(r)
	if err != nil {
		return push.Unreached(err)
	}
	_, _ = push.ReadAnswer(answer) // the status says all; read so that the connection can be used again
	return judge(answer, now)
}

func marshal(m push.Message, now time.Time) ([]byte, error) {
	d := data{Title: m.Title, Body: m.Body, Prediction: m.Prediction}
	if !m.Expires.IsZero() {
		d.ExpiresAt = freshet.TimestampOf(m.Expires).String()
	}
	inner, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	return json.Marshal(event{"prediction.created", freshet.TimestampOf(now).String(), inner})
}

// judge says what a receiver's answer means.
func judge(r *http.Response, now time.Time) push.Result {
	reason := fmt.Sprintf("status %d", r.StatusCode)
	switch {
	case r.StatusCode >= 200 && r.StatusCode < 300:
		return push.Result{Outcome: push.Sent}
	case r.StatusCode == http.StatusGone:
		return push.Result{Outcome: push.Unauthorized, Reason: reason + ": the receiver wants no more"}
	case r.StatusCode >= 400 && r.StatusCode < 500 && r.StatusCode != http.StatusRequestTimeout && r.StatusCode != http.StatusTooManyRequests:
		return push.Result{Outcome: push.Rejected, Reason: reason}
	}
	return push.Result{Outcome: push.Retry, Reason: reason, After: push.RetryAfter(r.Header, now), Wide: true}
}

// sign makes the header of signatures, one for each secret.
func (s *Sender) sign(id, at string, body []byte) (string, error) {
	text, err := s.o.Secret()
	if err != nil {
		return "", err
	}
	var signatures []string
	for _, secret := range strings.Fields(string(text)) {
		key, err := Key(secret)
		if err != nil {
			return "", err
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + at + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if len(signatures) == 0 {
		return "", freshet.Errorf(freshet.InvalidArgument, "the webhook's secret is empty")
	}
	return strings.Join(signatures, " "), nil
}

// Key is the key in a secret of the form whsec_…. The error does not show it.
func Key(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, freshet.Errorf(freshet.InvalidArgument, "the webhook's secret is not whsec_ and the base64 of 24 to 64 bytes")
	}
	return key, nil
}
