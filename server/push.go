package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/internal/delivery"
	"github.com/freshet-ml/freshet/internal/presence"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/telemetry"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/outbox/diskoutbox"
)

func (s *Server) openOutbox(ctx context.Context) (err error) {
	s.outbox, err = outbox.New(ctx, diskoutbox.New(s.db), &outbox.Options{Backlog: s.o.Backlog, Now: s.o.Now})
	if err != nil {
		return err
	}
	s.onClose("outbox", s.outbox.Close)
	return nil
}

// openDelivery has messages go by the senders of the releases that are open.
func (s *Server) openDelivery() {
	s.hub = presence.NewHub()
	s.deliverer = delivery.New(delivery.Deps{
		Outbox: s.outbox, Senders: s.channels, Hub: s.hub, Metrics: delivery.NewMetrics(s.registry),
		Settings: func() delivery.Settings {
			p := s.live.Load().Project().Push
			return delivery.Settings{Quiet: p.Quiet, Zone: p.Zone, Presence: p.Presence}
		},
		Withdrawn: func(id freshet.ReleaseID) bool { return s.live.Set().Roles().Withdrawn[id] },
	}, delivery.Options{Now: s.o.Now, Logger: s.o.Logger})
	for _, missing := range s.channels.Degraded() {
		s.o.Logger.Error("push: a channel cannot send; its messages wait for it as long as they live", slog.String("missing", missing))
	}
	s.registry.MustRegister(telemetry.Func("freshet_push_degraded", "What the channels of the live release lack, such as secrets. Their messages wait.",
		func() float64 { return float64(len(s.channels.Degraded())) }))
}

// messages hands predictions to the deliverer, which is made after the orchestrator.
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
