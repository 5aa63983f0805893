package api

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/outbox"
)

// Past reads events again (eventlog.Log): as long as the log keeps them.
type Past interface {
	Start(partition freshet.Partition) freshet.Offset
	Select(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, limit int, match eventlog.Match) (out []eventlog.Record, next freshet.Offset, err error)
	Head(partition freshet.Partition) freshet.Offset
}

// trace is one event's whole way, put together from what the hand-offs keep anyway: nothing is stored for it.
type trace struct {
	EventID    freshet.EventID   `json:"event_id"`
	Type       freshet.EventType `json:"type"`
	Entity     deadEntity        `json:"entity"`
	Offset     freshet.Place     `json:"offset"`
	EventTime  freshet.Timestamp `json:"event_time"`
	IngestTime freshet.Timestamp `json:"ingest_time"`
	Features   tracedFeatures    `json:"features"`
	Pipelines  []tracedPipeline  `json:"pipelines"`
	Deliveries []shownMessage    `json:"deliveries"`
	Timeline   []tracedMoment    `json:"timeline"`
}

type tracedFeatures struct {
	Applied bool               `json:"applied"` // the rows have the event
	Views   []freshet.ViewName `json:"views"`   // of the release that serves the entity now, that events of its type change
}

// tracedPipeline is what one pipeline made of the event.
type tracedPipeline struct {
	Pipeline   freshet.PipelineName `json:"pipeline"`
	Triggered  bool                 `json:"triggered"`
	Job        *job                 `json:"job,omitempty"`
	Prediction *tracedPrediction    `json:"prediction,omitempty"`
	// Replaced names the later event whose prediction has taken the place of this one's, or whose job stood for both.
	Replaced *tracedCause `json:"replaced_by,omitempty"`
}

type tracedPrediction struct {
	Release       freshet.ReleaseID     `json:"release"`
	Model         string                `json:"model"`
	CreatedAt     freshet.Timestamp     `json:"created_at"`
	ExpiresAt     *freshet.Timestamp    `json:"expires_at,omitempty"`
	Items         int                   `json:"items"`
	Fallback      bool                  `json:"fallback"`
	FallbackCause freshet.FallbackCause `json:"fallback_cause,omitempty"`
}

type tracedCause struct {
	EventID freshet.EventID `json:"event_id"`
	Offset  freshet.Place   `json:"offset"`
}

// tracedMoment is one line of the story.
type tracedMoment struct {
	At   freshet.Timestamp `json:"at"`
	What string            `json:"what"`
}

func (t *trace) tell(at freshet.Timestamp, what string) {
	t.Timeline = append(t.Timeline, tracedMoment{at, what})
}

// getTrace tells what became of an event about one entity.
func (a *API) getTrace(w *response, r *http.Request) error {
	rel, entity, _, err := a.predictionsOf(r)
	if err != nil {
		return err
	}
	defer rel.Unpin()
	q, err := parseQuery(r, "event_id")
	if err != nil {
		return err
	}
	id, given := q["event_id"]
	if !given {
		return invalid("event_id", "missing; expected the id of an event about this entity")
	}
	record, err := a.findEvent(r.Context(), entity, freshet.EventID(id))
	if err != nil {
		return err
	}
	t, err := a.trace(r.Context(), rel, record)
	if err != nil {
		return err
	}
	return w.value(http.StatusOK, t)
}

// findEvent looks through the events of e in the log: a read of one partition, some 0.2 s for a million of its events.
func (a *API) findEvent(ctx context.Context, e freshet.Entity, id freshet.EventID) (*eventlog.Record, error) {
	p := freshet.PartitionOf(e.Key)
	const some = 256
	var records []eventlog.Record
	for from := a.deps.Past.Start(p); from <= a.deps.Past.Head(p); {
		var err error
		records, from, err = a.deps.Past.Select(ctx, records[:0], p, from, some, func(kind []byte, key []byte) bool {
			return string(kind) == string(e.Kind) && string(key) == string(e.Key)
		})
		if err != nil {
			return nil, err
		}
		for i := range records {
			if records[i].Event.ID == id {
				return &records[i], nil
			}
		}
	}
	return nil, freshet.FieldErrorf(freshet.NotFound, "event_id", "the log has no event %.128q about %v; it keeps events for as long as --log-retention says", string(id), e)
}

func (a *API) trace(ctx context.Context, rel *release.Opened, e *eventlog.Record) (*trace, error) {
	place := freshet.Place{Partition: freshet.PartitionOf(e.Entity.Key), Offset: e.Offset}
	t := &trace{
		EventID: e.Event.ID, Type: e.Event.Type, Entity: deadEntity{e.Entity.Kind, e.Entity.Key}, Offset: place,
		EventTime: e.Event.EventTime, IngestTime: e.Event.IngestTime, Pipelines: []tracedPipeline{}, Deliveries: []shownMessage{},
	}
	t.tell(e.Event.EventTime, "happened")
	t.tell(e.Event.IngestTime, "accepted")
	route := rel.Route(e.Event.Type, e.Entity.Kind)
	t.Features = tracedFeatures{Applied: a.deps.Rows.Applied(place.Partition) >= place.Offset, Views: []freshet.ViewName{}}
	for _, v := range route.Views {
		t.Features.Views = append(t.Features.Views, v.Name())
	}
	record := rel.Project().Schema.NewRecord()
	readable := rel.Project().Schema.DecodeEvent(&e.Event, record) == nil
	for _, p := range route.Pipelines {
		one, err := a.tracePipeline(ctx, t, p, readable, record, e, place)
		if err != nil {
			return nil, err
		}
		t.Pipelines = append(t.Pipelines, one)
	}
	for _, p := range route.Pipelines {
		m, err := a.deps.People.Message(ctx, freshet.MakeJobID(p.Name, place))
		switch {
		case err == nil && m.User == e.Entity.Key:
			t.Deliveries = append(t.Deliveries, shownDelivery(m))
			t.tellDelivery(&m)
		case err != nil && freshet.CodeOf(err) != freshet.NotFound:
			return nil, err
		}
	}
	slices.SortStableFunc(t.Timeline, func(a, b tracedMoment) int { return cmp.Compare(a.At, b.At) })
	return t, nil
}

// tracePipeline finds the job and the prediction of one pipeline, or what has taken their place.
func (a *API) tracePipeline(ctx context.Context, t *trace, p *release.Pipeline, readable bool, record *feature.Record, e *eventlog.Record, place freshet.Place) (tracedPipeline, error) {
	one := tracedPipeline{Pipeline: p.Name, Triggered: readable && p.Triggers(record)}
	if !one.Triggered {
		return one, nil
	}
	x, err := a.deps.Jobs.Find(ctx, freshet.MakeJobID(p.Name, place))
	if err == nil {
		shown := shownJob(&x)
		one.Job = &shown
		t.tellJob(p.Name, &x)
	} else if freshet.CodeOf(err) != freshet.NotFound {
		return one, err
	}
	made, err := a.deps.Predictions.Get(ctx, e.Entity, p.Name)
	switch {
	case freshet.CodeOf(err) == freshet.NotFound:
		return one, nil
	case err != nil:
		return one, err
	case made.Cause == place:
		one.Prediction = &tracedPrediction{
			Release: made.Release, Model: made.Model, CreatedAt: made.CreatedAt, Items: len(made.Items), Fallback: made.Fallback, FallbackCause: made.FallbackCause,
		}
		if made.ExpiresAt != 0 {
			one.Prediction.ExpiresAt = &made.ExpiresAt
		}
		t.tell(made.CreatedAt, string(p.Name)+": features read, prediction made by release "+string(made.Release))
	case made.Cause.Offset > place.Offset:
		one.Replaced = &tracedCause{made.EventID, made.Cause}
		t.tell(made.CreatedAt, string(p.Name)+": prediction of the later event "+string(made.EventID))
	}
	return one, nil
}

// tellJob adds what is known of a job to the story.
func (t *trace) tellJob(name freshet.PipelineName, x *jobqueue.Info) {
	t.tell(x.Job.EnqueuedAt, string(name)+": job made")
	by := func(a jobqueue.Attempt) string {
		if a.Release == "" {
			return ""
		}
		return " by release " + string(a.Release)
	}
	for i, a := range x.History {
		if x.Status == jobqueue.Done && i == len(x.History)-1 {
			t.tell(a.At, string(name)+": prediction stored"+by(a)+", job done")
			break
		}
		t.tell(a.At, string(name)+": attempt failed"+by(a)+": "+a.Error)
	}
	switch x.Status {
	case jobqueue.Buried:
		t.tell(x.EndedAt, string(name)+": dead letter: "+x.Reason)
	}
}

// tellDelivery adds what became of a push message to the story.
func (t *trace) tellDelivery(m *outbox.Message) {
	name := string(m.Pipeline)
	t.tell(m.CreatedAt, name+": push message made")
	by := ""
	if m.Channel != "" {
		by = " by " + string(m.Channel)
	}
	switch m.State {
	case outbox.Sent:
		t.tell(m.EndedAt, name+": push sent"+by)
	case outbox.Shown:
		t.tell(m.EndedAt, name+": push shown in the app")
	case outbox.Suppressed:
		t.tell(m.EndedAt, name+": push suppressed: "+m.Reason)
	case outbox.Failed:
		t.tell(m.EndedAt, name+": push failed"+by+": "+m.Reason)
	default:
		what := name + ": push " + string(m.State)
		if m.Reason != "" {
			what += ": " + m.Reason
		}
		t.tell(m.DueAt, what+"; it is looked at again")
	}
	for _, o := range slices.Sorted(maps.Keys(m.Outcomes)) {
		t.tell(m.Outcomes[o], name+": push "+o)
	}
}
