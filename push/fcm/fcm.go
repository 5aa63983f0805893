// Package fcm is the push.Sender of Firebase Cloud Messaging, HTTP v1, by the standard library: the official SDK would add 24 MB.
package fcm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/push"
)

// Google is where messages go.
const Google = "https://fcm.googleapis.com"

const (
	maxPayload = 4096 // of notification and data
	maxToken   = 4096
	maxTTL     = 28 * 24 * time.Hour // what FCM takes
)

// Options of a Sender.
type Options struct {
	URL     string      // Defaults to Google
	Account push.Secret // the service account's JSON; required

	Client *http.Client     // required: push.Addresses makes it
	Now    func() time.Time // Defaults to time.Now
}

// Sender is the sender of one project.
type Sender struct {
	o      Options
	access access
}

var _ push.Sender = (*Sender)(nil)

// New makes a sender.
func New(o Options) *Sender {
	if o.URL == "" {
		o.URL = Google
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Sender{o: o, access: access{secret: o.Account, client: o.Client}}
}

// Channel implements push.Sender.
func (*Sender) Channel() push.Channel { return push.FCM }

// CheckToken implements push.Sender.
func (*Sender) CheckToken(token string) error {
	if token == "" || len(token) > maxToken {
		return freshet.Errorf(freshet.InvalidArgument, "expected a registration token of 1 to %d bytes", maxToken)
	}
	return nil
}

type request struct {
	Message message `json:"message"`
}

type message struct {
	Token        string       `json:"token"`
	Notification notification `json:"notification"`
	// Data has texts only: the prediction is one.
	Data map[string]string `json:"data,omitempty"`
	// The token does not say what it is on: each platform has its own words for how long a message is good and what it takes the place of.
	Android android `json:"android"`
	Apple   apple   `json:"apns"`
	Web     web     `json:"webpush"`
}

type notification struct {
	Title string `json:"title,omitempty"`
	Body  string `json:"body,omitempty"`
}

type android struct {
	CollapseKey  string `json:"collapse_key,omitempty"` // in the place of one that waits
	TTL          string `json:"ttl"`
	Priority     string `json:"priority"`
	Notification tag    `json:"notification"`
}

// tag has a notification take the place of the one of the same tag that is on the screen.
type tag struct {
	Tag string `json:"tag,omitempty"`
}

type apple struct {
	Headers map[string]string `json:"headers"`
	Payload struct {
		APS struct {
			Sound string `json:"sound"`
		} `json:"aps"`
	} `json:"payload"`
}

type web struct {
	Headers      map[string]string `json:"headers"`
	Notification tag               `json:"notification"`
}

// Send implements push.Sender. FCM dedupes nothing: tag, topic and collapse id make a second copy take the place of the first.
func (s *Sender) Send(ctx context.Context, m push.Message) push.Result {
	body := s.message(m)
	size := len(m.Title) + len(m.Body)
	for name, text := range body.Data {
		size += len(name) + len(text)
	}
	if size > maxPayload {
		return push.Result{Outcome: push.Rejected, Reason: fmt.Sprintf("too large: %d bytes, at most %d", size, maxPayload)}
	}
	text, err := json.Marshal(request{body})
	if err != nil {
		return push.Result{Outcome: push.Rejected, Reason: "the message is no JSON"}
	}
	grant, result := s.access.current(ctx, s.o.Now())
	if result.Outcome != "" {
		return result
	}
	result = s.attempt(ctx, text, grant)
	if result.Outcome == push.Unauthorized && result.Reason == unauthenticated && s.access.drop(grant) {
		// The token was called back before its time: one new one.
		if grant, renewed := s.access.current(ctx, s.o.Now()); renewed.Outcome == "" {
			return s.attempt(ctx, text, grant)
		}
	}
	return result
}

func (s *Sender) message(m push.Message) message {
	ttl, expires := time.Duration(0), int64(0)
	if !m.Expires.IsZero() {
		ttl, expires = max(0, min(m.Expires.Sub(s.o.Now()), maxTTL)), m.Expires.Unix()
	}
	seconds := strconv.FormatInt(int64(ttl/time.Second), 10)
	said := message{
		Token: m.Token, Notification: notification{m.Title, m.Body}, Data: map[string]string{"message_id": m.ID},
		Android: android{m.Collapse, seconds + "s", "HIGH", tag{m.Collapse}},
		Apple:   apple{Headers: map[string]string{"apns-priority": "10", "apns-expiration": strconv.FormatInt(expires, 10)}},
		Web:     web{map[string]string{"TTL": seconds, "Urgency": "high"}, tag{m.Collapse}},
	}
	said.Apple.Payload.APS.Sound = "default"
	if m.Collapse != "" {
		said.Apple.Headers["apns-collapse-id"], said.Web.Headers["Topic"] = m.Collapse, m.Collapse
	}
	if len(m.Prediction) > 0 {
		said.Data["prediction"] = string(m.Prediction)
	}
	return said
}

func (s *Sender) attempt(ctx context.Context, text []byte, grant grant) push.Result {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL+"/v1/projects/"+url.PathEscape(grant.project)+"/messages:send", bytes.NewReader(text))
	if err != nil {
		return push.Result{Outcome: push.Rejected, Reason: "the address of FCM is wrong"}
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+grant.token)
	answer, err := s.o.Client.Do(r)
	if err != nil {
		return push.Unreached(err)
	}
	said, err := push.ReadAnswer(answer)
	if err != nil && answer.StatusCode != http.StatusOK {
		return push.Unreached(err)
	}
	return judge(answer, said, s.o.Now())
}
