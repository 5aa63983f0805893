package api

import (
	"context"
	"net/http"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/jobqueue"
)

// job is a job as the API shows it.
type job struct {
	ID        freshet.JobID        `json:"id"`
	State     jobqueue.Status      `json:"state"`
	Pipeline  freshet.PipelineName `json:"pipeline"`
	Entity    deadEntity           `json:"entity"`
	EventID   freshet.EventID      `json:"event_id"`
	EventTime freshet.Timestamp    `json:"event_time"`
	Offset    freshet.Place        `json:"offset"`
	// FirstOffset is where the events begin that it stands for, if debounce has joined several.
	FirstOffset freshet.Offset     `json:"first_offset,omitempty"`
	Priority    string             `json:"priority,omitempty"`
	EnqueuedAt  freshet.Timestamp  `json:"enqueued_at"`
	Attempts    int                `json:"attempts"`
	Release     freshet.ReleaseID  `json:"release,omitempty"` // that made the prediction of one that is done
	Errors      []jobError         `json:"errors,omitempty"`
	Error       string             `json:"error,omitempty"` // the last one, or why it is dead
	Until       *freshet.Timestamp `json:"until,omitempty"` // until then nobody else gets it
	EndedAt     *freshet.Timestamp `json:"ended_at,omitempty"`
}

// jobError is an attempt that failed.
type jobError struct {
	At      freshet.Timestamp `json:"at"`
	Release freshet.ReleaseID `json:"release,omitempty"`
	Error   string            `json:"error"`
}

func shownJob(x *jobqueue.Info) job {
	j := job{
		ID: x.Job.ID, State: x.Status, Pipeline: x.Job.Pipeline, Entity: deadEntity{x.Job.Entity.Kind, x.Job.Entity.Key}, EventID: x.Job.EventID,
		EventTime: x.Job.EventTime, Offset: x.Job.Cause, FirstOffset: x.Job.First, EnqueuedAt: x.Job.EnqueuedAt, Attempts: x.Attempts,
		Error: x.Reason,
	}
	switch x.Job.Priority {
	case freshet.HighPriority:
		j.Priority = "high"
	case freshet.LowPriority:
		j.Priority = "low"
	}
	for i, a := range x.History {
		if x.Status == jobqueue.Done && i == len(x.History)-1 {
			j.Release = a.Release
			break
		}
		j.Errors = append(j.Errors, jobError{a.At, a.Release, a.Error})
	}
	if n := len(j.Errors); j.Error == "" && n > 0 {
		j.Error = j.Errors[n-1].Error
	}
	if !x.Until.IsZero() {
		at := freshet.TimestampOf(x.Until.Add(time.Millisecond - 1)) // never a moment too early
		j.Until = &at
	}
	if x.EndedAt != 0 {
		j.EndedAt = &x.EndedAt
	}
	return j
}

// getJobs lists jobs of one state, a page at a time: next is the after of the next page.
func (a *API) getJobs(w *response, r *http.Request) error {
	q, err := parseQuery(r, "state", "after", "limit")
	if err != nil {
		return err
	}
	limit, err := q.count("limit", 100, jobqueue.MaxPage)
	if err != nil {
		return err
	}
	state, given := q["state"]
	if !given {
		state = string(jobqueue.Queued)
	}
	jobs, next, err := a.deps.Jobs.List(r.Context(), jobqueue.Status(state), q["after"], limit)
	if err != nil {
		return err
	}
	answer := struct {
		Jobs []job  `json:"jobs"`
		Next string `json:"next,omitempty"`
	}{Jobs: make([]job, len(jobs)), Next: next}
	for i := range jobs {
		answer.Jobs[i] = shownJob(&jobs[i])
	}
	return w.value(http.StatusOK, answer)
}

func (a *API) getJob(w *response, r *http.Request) error {
	x, err := a.deps.Jobs.Find(r.Context(), freshet.JobID(r.PathValue("id")))
	if err != nil {
		return err
	}
	return w.value(http.StatusOK, shownJob(&x))
}

// chosenLetters are the dead letters that a request is about: some by their ids, or all.
type chosenLetters struct {
	IDs []freshet.JobID `json:"ids"`
	All bool            `json:"all"`
}

// postRedrive puts dead letters back into the queue.
func (a *API) postRedrive(w *response, r *http.Request) error {
	chosen, err := a.chosenLetters(w, r)
	if err != nil {
		return err
	}
	n, err := a.eachLetter(r.Context(), chosen, a.deps.Jobs.Redrive)
	if err != nil {
		return err
	}
	return w.value(http.StatusOK, map[string]int{"redriven": n})
}

// deleteDeadLetters forgets dead letters, and events that were refused.
func (a *API) deleteDeadLetters(w *response, r *http.Request) error {
	chosen, err := a.chosenLetters(w, r)
	if err != nil {
		return err
	}
	n, err := a.eachLetter(r.Context(), chosen, a.deps.Jobs.Drop)
	if err != nil {
		return err
	}
	refused := 0
	if chosen.All {
		refused, err = a.deps.Refused.DropAll()
	} else {
		ids := make([]string, len(chosen.IDs))
		for i, id := range chosen.IDs {
			ids[i] = string(id)
		}
		refused, err = a.deps.Refused.Drop(ids...)
	}
	if err != nil {
		return err
	}
	return w.value(http.StatusOK, map[string]int{"dropped": n + refused})
}

// chosenLetters reads what a request is about.
func (a *API) chosenLetters(w *response, r *http.Request) (chosen chosenLetters, err error) {
	if _, err := parseQuery(r); err != nil {
		return chosen, err
	}
	if err := a.readJSON(w, r, &chosen); err != nil {
		return chosen, err
	}
	if chosen.All == (chosen.IDs != nil) {
		return chosen, invalid("ids", "expected the ids of dead letters, or \"all\": true")
	}
	if len(chosen.IDs) > jobqueue.MaxPage {
		return chosen, invalid("ids", "%d ids; expected at most %d", len(chosen.IDs), jobqueue.MaxPage)
	}
	return chosen, nil
}

// eachLetter goes over all dead letters once, in the order of their ids: those that die again meanwhile are not taken twice for ever.
func (a *API) eachLetter(ctx context.Context, chosen chosenLetters, do func(context.Context, []freshet.JobID) (int, error)) (int, error) {
	if !chosen.All {
		return do(ctx, chosen.IDs)
	}
	total := 0
	for after := freshet.JobID(""); ; {
		letters, err := a.deps.Jobs.DeadLetters(ctx, after, jobqueue.MaxPage)
		if err != nil || len(letters) == 0 {
			return total, err
		}
		ids := make([]freshet.JobID, len(letters))
		for i, l := range letters {
			ids[i] = l.Job.ID
		}
		n, err := do(ctx, ids)
		if total += n; err != nil {
			return total, err
		}
		after = ids[len(ids)-1]
	}
}
