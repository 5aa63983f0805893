package server

import (
	"context"
	"encoding/json"
	"os"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/internal/delivery"
	"github.com/freshet-ml/freshet/internal/presence"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/outbox/diskoutbox"
	"github.com/freshet-ml/freshet/push"
	"github.com/freshet-ml/freshet/push/apns"
	"github.com/freshet-ml/freshet/push/fcm"
	"github.com/freshet-ml/freshet/push/webhook"
	"github.com/freshet-ml/freshet/push/webpush"
)

// pushConns is how many connections a sender keeps to one host. Over HTTP/2 one carries many calls.
const pushConns = 16

func (s *Server) openOutbox(ctx context.Context) (err error) {
	s.outbox, err = outbox.New(ctx, diskoutbox.New(s.db), &outbox.Options{Backlog: s.o.Backlog, Now: s.o.Now})
	if err != nil {
		return err
	}
	s.onClose("outbox", s.outbox.Close)
	return nil
}

// openDelivery makes the senders of the project. What they sign with is looked up here: a secret that is missing stops the start, not the first message.
func (s *Server) openDelivery(p *project.Project) error {
	senders, err := s.senders(p.Push)
	if err != nil {
		return err
	}
	s.hub = presence.NewHub()
	s.deliverer = delivery.New(delivery.Deps{
		Outbox: s.outbox, Senders: senders, Hub: s.hub, Metrics: delivery.NewMetrics(s.registry),
		Settings: func() delivery.Settings {
			p := s.live.Load().Project().Push
			return delivery.Settings{Quiet: p.Quiet, Zone: p.Zone, Presence: p.Presence}
		},
	}, delivery.Options{Now: s.o.Now, Logger: s.o.Logger})
	return nil
}

func (s *Server) senders(p *project.Push) (senders []push.Sender, err error) {
	allowed := push.Addresses{Private: s.o.PushPrivate}
	secret := func(key, text string) push.Secret {
		value, resolved := push.Resolve(text, os.LookupEnv)
		if resolved != nil && err == nil {
			err = freshet.FieldErrorf("", key, "%s: %w", key, resolved)
		}
		return value
	}
	address := func(key, text string) string {
		if text == "" || err != nil {
			return text
		}
		if wrong := allowed.Check(text); wrong != nil {
			err = freshet.FieldErrorf("", key, "%s: %w; --push-private allows it", key, wrong)
		}
		return text
	}
	if a := p.APNs; a != nil {
		senders = append(senders, apns.New(apns.Options{
			URL: address("push.apns.url", a.URL), Key: secret("push.apns.key", a.Key), KeyID: a.KeyID, TeamID: a.TeamID, Topic: a.Topic, Client: allowed.Client(pushConns), Now: s.o.Now,
		}))
	}
	if f := p.FCM; f != nil {
		senders = append(senders, fcm.New(fcm.Options{
			URL: address("push.fcm.url", f.URL), Account: secret("push.fcm.account", f.Account), Client: allowed.Client(pushConns), Now: s.o.Now,
		}))
	}
	if w := p.WebPush; w != nil {
		senders = append(senders, webpush.New(webpush.Options{
			Key: secret("push.webpush.key", w.Key), Subject: w.Subject, Addresses: allowed, Client: allowed.Client(pushConns), Now: s.o.Now,
		}))
	}
	if h := p.Webhook; h != nil {
		senders = append(senders, webhook.New(webhook.Options{
			URL: address("push.webhook.url", h.URL), Secret: secret("push.webhook.secret", h.Secret), Client: allowed.Client(pushConns), Now: s.o.Now,
		}))
	}
	return senders, err
}

// messages hands predictions to the deliverer, which is made after the orchestrator: its senders are those of the live release.
type messages struct{ s *Server }

// Offer implements what orchestration asks for.
func (m messages) Offer(ctx context.Context, p *release.Pipeline, prediction *freshet.Prediction, made freshet.Timestamp) error {
	return m.s.deliverer.Offer(ctx, p, prediction, made)
}

// forgetPerson erases devices, preferences, messages and the stream of a user.
func (s *Server) forgetPerson(ctx context.Context, e freshet.Entity) error {
	if e.Kind != project.PushEntity {
		return nil
	}
	s.hub.Forget(e.Key)
	return s.outbox.Erase(ctx, e.Key)
}

// heard is the event log, which tells delivery what it hears of users: that they are there, and what they did with messages.
type heard struct {
	*eventlog.Log
	s *Server
}

// Append implements api.Log.
func (h heard) Append(ctx context.Context, entries []eventlog.Entry) ([]eventlog.Appended, error) {
	appended, err := h.Log.Append(ctx, entries)
	if err != nil {
		return appended, err
	}
	notes := h.s.live.Load().Project().Push.Presence > 0 // otherwise nobody asks
	now := h.s.o.Now()
	for i := range entries {
		outcome, known := pushOutcomes[entries[i].Event.Type]
		if !notes && !known {
			continue
		}
		for _, e := range entries[i].Entities {
			if e.Kind != project.PushEntity {
				continue
			}
			if h.s.hub.Seen(freshet.Key(strings.Clone(string(e.Key))), now); known && !appended[i].Duplicate {
				h.outcome(ctx, entries[i].Event.Payload, e.Key, outcome)
			}
		}
	}
	return appended, nil
}

// pushOutcomes are the events that say what a person did with a message.
var pushOutcomes = map[freshet.EventType]string{
	"push_opened": "opened", "push_dismissed": "dismissed", "push_started": "started", "push_completed": "completed",
}

// outcome notes an event such as push_opened, whose field delivery names a message. One that names none counts as an event like any other.
func (h heard) outcome(ctx context.Context, payload []byte, user freshet.Key, outcome string) {
	var said struct {
		Delivery freshet.JobID `json:"delivery"`
	}
	if json.Unmarshal(payload, &said) != nil || said.Delivery == "" {
		return
	}
	_ = h.s.deliverer.Outcome(ctx, said.Delivery, user, outcome) // the event is in the log, which is what was asked for
}
