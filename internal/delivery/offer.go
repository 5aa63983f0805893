package delivery

import (
	"context"
	"encoding/json"
	"hash/fnv"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/table"
	"github.com/freshet-ml/freshet/outbox"
)

// Offer takes the prediction that a job of pipeline p made, which was enqueued at made: open streams of the user are told, and if the pipeline has a push section a message is kept. It is
// not durable before what the caller writes next is. Offering it again changes nothing, and so does a job from before its user was erased.
func (d *Deliverer) Offer(ctx context.Context, p *release.Pipeline, prediction *freshet.Prediction, made freshet.Timestamp) error {
	if prediction.Entity.Kind == project.PushEntity {
		d.Hub.Changed(*prediction)
	}
	if p.Push == nil {
		return nil
	}
	m := d.message(p, prediction)
	added, err := d.Outbox.Add(ctx, m, made)
	if err != nil {
		return freshet.Errorf("", "push: %w", err)
	}
	if added {
		d.Metrics.decided.WithLabelValues(string(m.Pipeline)).Inc()
		d.Metrics.ended(&m)
	}
	return nil
}

// message is what the prediction says to its user.
func (d *Deliverer) message(p *release.Pipeline, prediction *freshet.Prediction) outbox.Message {
	now, said := d.now(), p.Push
	m := outbox.Message{
		ID: freshet.MakeJobID(p.Name, prediction.Cause), User: prediction.Entity.Key, Pipeline: p.Name, Category: said.Category, EventID: prediction.EventID,
		Release: prediction.Release, CauseAt: prediction.EventTime, CreatedAt: now, ExpiresAt: now.Add(said.Expires), DueAt: now,
		Policy: outbox.Policy{Channels: said.Channels, Caps: said.Caps, Dedupe: said.Dedupe.Milliseconds(), Holdout: heldOut(prediction.Entity.Key, said.Category, said.Holdout)},
	}
	var err error
	m.Title, m.Body, err = said.Render(itemsOf(p, prediction), prediction.Entity.Key)
	switch {
	case prediction.Fallback:
		d.refuse(&m, reasonFallback)
	case err != nil || m.Title == "" && m.Body == "":
		d.refuse(&m, reasonNoText)
	}
	m.Data = dataFor(prediction, m.ExpiresAt)
	return m
}

// refuse is a message that ends where it begins.
func (d *Deliverer) refuse(m *outbox.Message, reason string) {
	m.State, m.Reason, m.EndedAt = outbox.Suppressed, reason, m.CreatedAt
	m.Title, m.Body = "", ""
	m.DueAt = m.CreatedAt.Add(d.o.Retention)
}

// heldOut says whether the user gets no messages of the category, to be compared with those who do: always the same share of users.
func heldOut(user freshet.Key, category string, share float64) bool {
	h := fnv.New64a()
	h.Write([]byte(category + "\x00" + string(user)))
	x := h.Sum64() // its high bits are weak for short texts
	x ^= x >> 32
	x *= 0x9e3779b97f4a7c15
	return float64(x>>11)/(1<<53) < share
}

// itemsOf are the items with their rows of the candidates table, for templates.
func itemsOf(p *release.Pipeline, prediction *freshet.Prediction) []project.PushItem {
	items := make([]project.PushItem, len(prediction.Items))
	for i, it := range prediction.Items {
		items[i] = project.PushItem{ID: string(it.ID), Score: it.Score, Row: rowOf(p.Ranked, it.ID)}
	}
	return items
}

func rowOf(t *table.Table, key freshet.Key) map[string]any {
	if t == nil {
		return nil
	}
	at, ok := t.Find(key)
	if !ok {
		return nil
	}
	row := make(map[string]any, len(t.Columns()))
	for i, c := range t.Columns() {
		row[c.Name] = plain(t.Value(at, i), c.Int)
	}
	return row
}

// plain is a value as templates print it; a null prints as nothing.
func plain(v expression.Value, whole bool) any {
	switch v.Kind {
	case expression.Number:
		if whole {
			return int64(v.Num)
		}
		return v.Num
	case expression.Bool:
		return v.Num != 0
	case expression.Time:
		return freshet.Timestamp(v.Num).Time()
	}
	return v.Str
}

const maxShownItems = 20

// dataFor is the JSON for the app.
func dataFor(p *freshet.Prediction, expires freshet.Timestamp) json.RawMessage {
	b, err := json.Marshal(struct {
		Pipeline  freshet.PipelineName `json:"pipeline"`
		Items     []freshet.Item       `json:"items"`
		Release   freshet.ReleaseID    `json:"release"`
		EventID   freshet.EventID      `json:"event_id,omitempty"`
		ExpiresAt freshet.Timestamp    `json:"expires_at"`
	}{p.Pipeline, p.Items[:min(len(p.Items), maxShownItems)], p.Release, p.EventID, expires})
	if err != nil { // a score that is no number
		return nil
	}
	return b
}

// dataOf is the data of a message with its name, which outcomes give.
func dataOf(m *outbox.Message) json.RawMessage {
	b, err := json.Marshal(struct {
		Delivery freshet.JobID   `json:"delivery"`
		Data     json.RawMessage `json:"data,omitempty"`
	}{m.ID, m.Data})
	if err != nil {
		return nil
	}
	return b
}

// shownData is a message as streams show it.
func shownData(m *outbox.Message) json.RawMessage {
	b, err := json.Marshal(struct {
		ID        freshet.JobID        `json:"id"`
		Placement freshet.PipelineName `json:"placement"`
		Category  string               `json:"category"`
		Title     string               `json:"title,omitempty"`
		Body      string               `json:"body,omitempty"`
		Data      json.RawMessage      `json:"data,omitempty"`
		ExpiresAt freshet.Timestamp    `json:"expires_at"`
	}{m.ID, m.Pipeline, m.Category, m.Title, m.Body, m.Data, m.ExpiresAt})
	if err != nil {
		return json.RawMessage("{}")
	}
	return b
}

// CheckDevice says what is wrong with a device that an app registers.
func (d *Deliverer) CheckDevice(x outbox.Device) error {
	s, ok := d.Senders.Of("")[x.Channel]
	if !ok {
		return freshet.FieldErrorf(freshet.InvalidArgument, "channel", "channel: %.40q is none that this server sends by; see push in the project file", x.Channel)
	}
	if err := s.CheckToken(x.Token); err != nil {
		return freshet.FieldErrorf("", "token", "token: %w", err)
	}
	return nil
}

// Outcome records what a person did with a message: the first time counts. NotFound if there is no such message any more.
func (d *Deliverer) Outcome(ctx context.Context, id freshet.JobID, user freshet.Key, outcome string) error {
	return d.Outbox.Decide(ctx, id, func(tx *outbox.Tx) (bool, error) {
		m := tx.Message
		if user != "" && m.User != user {
			return false, freshet.Errorf(freshet.NotFound, "there is no delivery %.200q of this user", id)
		}
		if _, ok := m.Outcomes[outcome]; ok {
			return false, outbox.ErrKeep
		}
		if m.Outcomes == nil {
			m.Outcomes = map[string]freshet.Timestamp{}
		}
		m.Outcomes[outcome] = d.now()
		d.Metrics.outcomes.WithLabelValues(string(m.Pipeline), outcome).Inc()
		return false, nil
	})
}
