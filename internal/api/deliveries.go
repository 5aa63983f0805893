package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/push"
)

// shownMessage is a message and what became of it, as the API shows it.
type shownMessage struct {
	ID        freshet.JobID                `json:"id"`
	User      freshet.Key                  `json:"user_id"`
	Pipeline  freshet.PipelineName         `json:"pipeline"`
	Category  string                       `json:"category"`
	EventID   freshet.EventID              `json:"event_id,omitempty"`
	Release   freshet.ReleaseID            `json:"release,omitempty"`
	Title     string                       `json:"title,omitempty"`
	Body      string                       `json:"body,omitempty"`
	State     outbox.State                 `json:"state"`
	Reason    string                       `json:"reason,omitempty"`
	Channel   push.Channel                 `json:"channel,omitempty"`
	Device    string                       `json:"device,omitempty"`
	Provider  string                       `json:"provider_id,omitempty"`
	Attempts  int                          `json:"attempts"`
	Devices   []shownTarget                `json:"devices,omitempty"`
	CreatedAt freshet.Timestamp            `json:"created_at"`
	ExpiresAt freshet.Timestamp            `json:"expires_at"`
	DueAt     *freshet.Timestamp           `json:"due_at,omitempty"` // of one that has not ended
	EndedAt   *freshet.Timestamp           `json:"ended_at,omitempty"`
	Outcomes  map[string]freshet.Timestamp `json:"outcomes,omitempty"`
}

// shownTarget is what became of a message on one device.
type shownTarget struct {
	Device   string             `json:"device"`
	State    outbox.State       `json:"state"`
	Reason   string             `json:"reason,omitempty"`
	Provider string             `json:"provider_id,omitempty"`
	Attempts int                `json:"attempts"`
	DueAt    *freshet.Timestamp `json:"due_at,omitempty"` // of one that waits for its next attempt
}

func shownDelivery(m outbox.Message) shownMessage {
	d := shownMessage{
		ID: m.ID, User: m.User, Pipeline: m.Pipeline, Category: m.Category, EventID: m.EventID, Release: m.Release, Title: m.Title, Body: m.Body,
		State: m.State, Reason: m.Reason, Channel: m.Channel, Device: m.Device, Provider: m.ProviderID, Attempts: m.Attempts, CreatedAt: m.CreatedAt,
		ExpiresAt: m.ExpiresAt, Outcomes: m.Outcomes,
	}
	for _, t := range m.Targets {
		if t.Device == "" {
			continue // a webhook
		}
		x := shownTarget{Device: t.Device, State: t.State, Reason: t.Reason, Provider: t.ProviderID, Attempts: t.Attempts}
		if t.DueAt != 0 && !t.State.Ended() {
			x.DueAt = &t.DueAt
		}
		d.Devices = append(d.Devices, x)
	}
	if m.State.Ended() {
		d.EndedAt = &m.EndedAt
	} else {
		d.DueAt = &m.DueAt
	}
	return d
}

const maxDeliveries = 1000

// getDeliveries lists messages in the order of their ids, of all users or one, a page at a time.
func (a *API) getDeliveries(w *response, r *http.Request) error {
	q, err := parseQuery(r, "user_id", "after", "limit")
	if err != nil {
		return err
	}
	limit, err := q.count("limit", 100, maxDeliveries)
	if err != nil {
		return err
	}
	messages, err := a.deps.People.Messages(r.Context(), freshet.Key(q["user_id"]), freshet.JobID(q["after"]), limit)
	if err != nil {
		return err
	}
	answer := struct {
		Deliveries []shownMessage `json:"deliveries"`
		Next       freshet.JobID  `json:"next,omitempty"`
	}{Deliveries: make([]shownMessage, len(messages))}
	for i, m := range messages {
		answer.Deliveries[i] = shownDelivery(m)
	}
	if len(messages) == limit {
		answer.Next = messages[len(messages)-1].ID
	}
	return w.value(http.StatusOK, answer)
}

func (a *API) getDelivery(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	m, err := a.deps.People.Message(r.Context(), freshet.JobID(r.PathValue("id")))
	if err != nil {
		return err
	}
	return w.value(http.StatusOK, shownDelivery(m))
}

// outcomes are what people do with messages. Each may also come as an event of type push_OUTCOME with a field delivery.
var outcomes = []string{"opened", "dismissed", "started", "completed"}

func (a *API) postOutcome(w *response, r *http.Request) error {
	outcome := r.PathValue("outcome")
	if !slices.Contains(outcomes, outcome) {
		return freshet.Errorf(freshet.NotFound, "there is no outcome %.40q; expected %s", outcome, strings.Join(outcomes, ", "))
	}
	if err := a.deps.Deliveries.Outcome(r.Context(), freshet.JobID(r.PathValue("id")), "", outcome); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
