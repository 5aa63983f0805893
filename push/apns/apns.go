// Package apns is the push.Sender of the Apple Push Notification service: HTTP/2 with a provider token (ES256), by the standard library.
package apns

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/push"
)

// The hosts of Apple.
const (
	Production = "https://api.push.apple.com"
	Sandbox    = "https://api.sandbox.push.apple.com"
)

// maxPayload is what Apple takes of an alert.
const maxPayload = 4096

const maxToken = 200 // hexadecimal digits; Apple says: do not rely on 64

// Options of a Sender.
type Options struct {
	URL    string      // Defaults to Production
	Key    push.Secret // the .p8 file's text; required
	KeyID  string      // required
	TeamID string      // required
	Topic  string      // the app's bundle id; required

	Client *http.Client     // required: push.Addresses makes it. It must speak HTTP/2
	Now    func() time.Time // Defaults to time.Now
}

// Sender is the sender of one app.
type Sender struct {
	o     Options
	token token
}

var _ push.Sender = (*Sender)(nil)

// New makes a sender.
func New(o Options) *Sender {
	if o.URL == "" {
		o.URL = Production
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Sender{o: o, token: token{key: o.Key, keyID: o.KeyID, team: o.TeamID}}
}

// Channel implements push.Sender.
func (*Sender) Channel() push.Channel { return push.APNs }

// CheckToken implements push.Sender.
func (*Sender) CheckToken(token string) error {
	if token == "" || len(token) > maxToken || len(token)%2 != 0 {
		return freshet.Errorf(freshet.InvalidArgument, "expected a device token of 2 to %d hexadecimal digits", maxToken)
	}
	for _, c := range token {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return freshet.Errorf(freshet.InvalidArgument, "expected a device token of hexadecimal digits")
		}
	}
	return nil
}

// payload is the body of a request.
type payload struct {
	APS struct {
		Alert struct {
			Title string `json:"title,omitempty"`
			Body  string `json:"body,omitempty"`
		} `json:"alert"`
		Sound string `json:"sound,omitempty"`
	} `json:"aps"`
	Prediction json.RawMessage `json:"prediction,omitempty"`
}

// Send implements push.Sender. A token that has just expired is made anew and the attempt made once more, as Apple asks.
func (s *Sender) Send(ctx context.Context, m push.Message) push.Result {
	var p payload
	p.APS.Alert.Title, p.APS.Alert.Body, p.APS.Sound, p.Prediction = m.Title, m.Body, "default", m.Prediction
	body, err := json.Marshal(p)
	if err != nil {
		return push.Result{Outcome: push.Rejected, Reason: "the prediction is no JSON"}
	}
	if len(body) > maxPayload {
		return push.Result{Outcome: push.Rejected, Reason: "PayloadTooLarge: " + strconv.Itoa(len(body)) + " bytes, at most " + strconv.Itoa(maxPayload)}
	}
	jwt, err := s.token.current(s.o.Now())
	if err != nil {
		return push.Result{Outcome: push.Unauthorized, Reason: push.Clip(err.Error())}
	}
	result := s.attempt(ctx, m, body, jwt)
	if result.Reason != expiredProviderToken {
		return result
	}
	if jwt, err = s.token.renewed(jwt, s.o.Now()); err != nil {
		return push.Result{Outcome: push.Unauthorized, Reason: push.Clip(err.Error())}
	}
	return s.attempt(ctx, m, body, jwt)
}

func (s *Sender) attempt(ctx context.Context, m push.Message, body []byte, jwt string) push.Result {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL+"/3/device/"+url.PathEscape(m.Token), bytes.NewReader(body))
	if err != nil {
		return push.Result{Outcome: push.Rejected, Reason: "the address of APNs is wrong"}
	}
	h := r.Header
	h.Set("Content-Type", "application/json")
	h.Set("Authorization", "bearer "+jwt)
	h.Set("Apns-Topic", s.o.Topic)
	h.Set("Apns-Push-Type", "alert")
	h.Set("Apns-Priority", "10")
	h.Set("Apns-Id", m.ID)
	// A moment, not a time to live: a small number would make Apple drop every message without a word.
	expires := int64(0)
	if !m.Expires.IsZero() {
		expires = m.Expires.Unix()
	}
	h.Set("Apns-Expiration", strconv.FormatInt(expires, 10))
	if m.Collapse != "" {
		h.Set("Apns-Collapse-Id", m.Collapse)
	}
	answer, err := s.o.Client.Do(r)
	if err != nil {
		return push.Unreached(err)
	}
	text, err := push.ReadAnswer(answer)
	if answer.ProtoMajor != 2 {
		return push.Failed("APNs did not speak HTTP/2")
	}
	if err != nil && answer.StatusCode != http.StatusOK {
		return push.Unreached(err)
	}
	return judge(answer, text, s.o.Now())
}
