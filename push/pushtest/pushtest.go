package pushtest

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/push"
)

// Case is one thing that a provider says and what a sender must make of it.
type Case struct {
	Name   string
	Answer Answer
	Want   push.Result // Reason: the beginning of it
}

// Harness says how to test a sender.
type Harness struct {
	// Open starts a provider and a sender that speaks with it through client, which is the provider's unless it says otherwise.
	Open func(t *testing.T) (*Provider, func(client *http.Client) push.Sender)
	// Token is a good one, for the provider that was opened last; nil: the channel has no devices.
	Token     func(p *Provider) string
	BadTokens []string
	Secret    string // a part of the credentials that must stand in no result
	Collapses bool   // the provider knows collapse ids
	MaxBytes  int    // a message with a body of so many bytes is too large
	Cases     []Case // every error that the provider's documents list
}

const id = "0190a5d2-7c3e-7b61-9f04-1c2d3e4f5a6b"

func (h Harness) message(p *Provider) push.Message {
	m := push.Message{ID: id, Collapse: "c0ffee", Expires: time.Now().Add(15 * time.Minute), Title: "Up next", Body: "Räin – 雨 \"quoted\"",
		Prediction: json.RawMessage(`{"delivery":"d1","items":[{"id":"c17","score":0.83}]}`)}
	if h.Token != nil {
		m.Token = h.Token(p)
	}
	return m
}

// Run holds a sender against the contract of push.Sender.
func Run(t *testing.T, h Harness) {
	t.Run("a message arrives as it is, and again under the same id", h.arrives)
	t.Run("too large is rejected without a request", h.tooLarge)
	t.Run("what is not reached is tried again", h.unreached)
	t.Run("a context that ends is not the provider's fault", h.cancelled)
	t.Run("bad tokens", h.badTokens)
	for _, c := range h.Cases {
		t.Run(c.Name, func(t *testing.T) { h.answered(t, c) })
	}
}

func (h Harness) arrives(t *testing.T) {
	t.Parallel()
	p, open := h.Open(t)
	s, m := open(p.Client), h.message(p)
	for range 2 {
		if got := s.Send(t.Context(), m); got.Outcome != push.Sent || got.Reason != "" {
			t.Fatalf("got %+v", got)
		}
	}
	notices := p.Notices()
	if len(notices) != 2 {
		t.Fatalf("%d notices", len(notices))
	}
	for _, n := range notices {
		if off := n.Expires.Sub(m.Expires).Abs(); off > 5*time.Second {
			t.Errorf("expires %v off", off)
		}
		n.Expires = time.Time{}
		want := Notice{ID: id, Token: m.Token, Title: m.Title, Body: m.Body, Prediction: string(m.Prediction)}
		if h.Collapses {
			want.Collapse = m.Collapse
		}
		if n != want {
			t.Errorf("got %+v, want %+v", n, want)
		}
	}
}

func (h Harness) tooLarge(t *testing.T) {
	t.Parallel()
	p, open := h.Open(t)
	s, m := open(p.Client), h.message(p)
	m.Body = strings.Repeat("x", h.MaxBytes)
	if got := s.Send(t.Context(), m); got.Outcome != push.Rejected || p.Requests() != 0 {
		t.Fatalf("%+v after %d requests", got, p.Requests())
	}
	m.Body, m.Expires = strings.Repeat("x", h.MaxBytes-600), time.Time{} // 600: all around it
	if got := s.Send(t.Context(), m); got.Outcome != push.Sent {
		t.Fatalf("just below: %+v", got)
	}
}

type broken struct{ err error }

func (b broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, b.err }

func (h Harness) unreached(t *testing.T) {
	t.Parallel()
	p, open := h.Open(t)
	s := open(&http.Client{Transport: broken{freshet.Errorf(freshet.Unavailable, "connection refused")}})
	got := s.Send(t.Context(), h.message(p))
	if got.Outcome != push.Retry || !got.Wide || got.Reason == "" {
		t.Fatalf("got %+v", got)
	}
	h.noSecret(t, got, p)
}

func (h Harness) cancelled(t *testing.T) {
	t.Parallel()
	p, open := h.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := open(p.Client).Send(ctx, h.message(p)); got.Outcome != push.Retry || got.Wide {
		t.Fatalf("got %+v", got)
	}
}

func (h Harness) badTokens(t *testing.T) {
	t.Parallel()
	p, open := h.Open(t)
	s := open(p.Client)
	for _, token := range h.BadTokens {
		if err := s.CheckToken(token); freshet.CodeOf(err) != freshet.InvalidArgument {
			t.Errorf("%.40q: %v", token, err)
		}
	}
	if h.Token != nil {
		if err := s.CheckToken(h.Token(p)); err != nil {
			t.Errorf("a good one: %v", err)
		}
	}
}

func (h Harness) answered(t *testing.T, c Case) {
	t.Parallel()
	p, open := h.Open(t)
	s := open(p.Client)
	p.Next(c.Answer)
	got := s.Send(t.Context(), h.message(p))
	h.noSecret(t, got, p)
	if !strings.HasPrefix(got.Reason, c.Want.Reason) || got.Reason == "" {
		t.Errorf("reason %q, want %q", got.Reason, c.Want.Reason)
	}
	got.Reason, c.Want.Reason = "", ""
	if !got.GoneSince.Equal(c.Want.GoneSince) {
		t.Errorf("gone since %v, want %v", got.GoneSince, c.Want.GoneSince)
	}
	got.GoneSince, c.Want.GoneSince = time.Time{}, time.Time{}
	if got != c.Want {
		t.Errorf("got %+v, want %+v", got, c.Want)
	}
}

func (h Harness) noSecret(t *testing.T, r push.Result, p *Provider) {
	t.Helper()
	if h.Secret != "" && strings.Contains(r.Reason, h.Secret) {
		t.Errorf("the reason %q shows a secret", r.Reason)
	}
	if h.Token != nil && strings.Contains(r.Reason, h.Token(p)) {
		t.Errorf("the reason %q shows the token", r.Reason)
	}
}
