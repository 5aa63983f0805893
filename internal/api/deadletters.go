package api

import (
	"net/http"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/refused"
	"github.com/freshet-ml/freshet/jobqueue"
)

// deadLetter is a job that ended without a prediction, as the API shows it.
type deadLetter struct {
	ID        freshet.JobID        `json:"id"`
	Pipeline  freshet.PipelineName `json:"pipeline"`
	EventID   freshet.EventID      `json:"event_id"`
	Entity    deadEntity           `json:"entity"`
	Reason    string               `json:"reason"`
	Attempts  int                  `json:"attempts"`
	At        freshet.Timestamp    `json:"at"`
	EventTime freshet.Timestamp    `json:"event_time"`
	Offset    freshet.Place        `json:"offset"`
}

// deadEntity names an entity by kind and key: the release that it was a dead letter of may have named its fields otherwise.
type deadEntity struct {
	Kind freshet.EntityKind `json:"kind"`
	Key  freshet.Key        `json:"key"`
}

const maxDeadLetters = 1000

// getDeadLetters lists dead letters in the order of their ids, a page at a time: next is the after of the next page. The first
// page also has the newest events that were refused and answered as taken.
func (a *API) getDeadLetters(w *response, r *http.Request) error {
	q, err := parseQuery(r, "after", "limit")
	if err != nil {
		return err
	}
	limit, err := q.count("limit", 100, maxDeadLetters)
	if err != nil {
		return err
	}
	letters, err := a.deps.Jobs.DeadLetters(r.Context(), freshet.JobID(q["after"]), limit)
	if err != nil {
		return err
	}
	answer := struct {
		DeadLetters []deadLetter    `json:"dead_letters"`
		Next        freshet.JobID   `json:"next,omitempty"`
		Refused     []refused.Event `json:"refused_events,omitempty"`
	}{DeadLetters: make([]deadLetter, len(letters))}
	for i, l := range letters {
		answer.DeadLetters[i] = shown(l)
	}
	if q["after"] == "" {
		answer.Refused = a.deps.Refused.Newest(limit)
	}
	if len(letters) == limit {
		answer.Next = letters[len(letters)-1].Job.ID
	}
	return w.value(http.StatusOK, answer)
}

func shown(l jobqueue.DeadLetter) deadLetter {
	return deadLetter{
		ID: l.Job.ID, Pipeline: l.Job.Pipeline, EventID: l.Job.EventID, Entity: deadEntity{l.Job.Entity.Kind, l.Job.Entity.Key},
		Reason: l.Reason, Attempts: l.Attempts, At: l.At, EventTime: l.Job.EventTime, Offset: l.Job.Cause,
	}
}
