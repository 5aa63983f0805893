package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/freshet-ml/freshet"
)

// Job is one prediction to make, and what became of it.
type Job struct {
	ID       freshet.JobID        `json:"id"`
	State    string               `json:"state"` // queued, leased, done or dead
	Pipeline freshet.PipelineName `json:"pipeline"`
	Entity   struct {
		Kind freshet.EntityKind `json:"kind"`
		Key  freshet.Key        `json:"key"`
	} `json:"entity"`
	EventID     freshet.EventID    `json:"event_id"`
	EventTime   freshet.Timestamp  `json:"event_time"`
	Offset      freshet.Place      `json:"offset"`
	FirstOffset freshet.Offset     `json:"first_offset,omitempty"` // where its events begin, if debounce has joined several
	Priority    string             `json:"priority,omitempty"`     // high or low; "" if normal
	EnqueuedAt  freshet.Timestamp  `json:"enqueued_at"`
	Attempts    int                `json:"attempts"`
	Release     freshet.ReleaseID  `json:"release,omitempty"` // that made the prediction of one that is done
	Errors      []JobError         `json:"errors,omitempty"`  // of the attempts that failed, the oldest first
	Error       string             `json:"error,omitempty"`   // the last one, or why it is dead
	Until       *freshet.Timestamp `json:"until,omitempty"`
	EndedAt     *freshet.Timestamp `json:"ended_at,omitempty"`
}

// JobError is an attempt that failed.
type JobError struct {
	At      freshet.Timestamp `json:"at"`
	Release freshet.ReleaseID `json:"release,omitempty"` // "" if the attempt did not come to one
	Error   string            `json:"error"`
}

// Jobs lists jobs of a state (queued, leased, done or dead), a page of up to limit (0: 100) after the next of the page before.
// next is "" at the end.
func (c *Client) Jobs(ctx context.Context, state, after string, limit int) (jobs []Job, next string, err error) {
	q := url.Values{"state": {state}}
	var page struct {
		Jobs []Job
		Next string
	}
	err = c.call(ctx, request{method: http.MethodGet, path: "/v1/jobs", query: onPage(q, after, limit)}, &page)
	return page.Jobs, page.Next, err
}

// Job is one job. Returns NotFound if there is none, or it was done too long ago.
func (c *Client) Job(ctx context.Context, id freshet.JobID) (Job, error) {
	var j Job
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/jobs/" + segment(string(id))}, &j)
	return j, err
}

// RefusedEvent is an event that was answered as taken, because its protocol has no other answer, and could not be taken.
type RefusedEvent struct {
	ID      string            `json:"id"` // for DropDeadLetters
	At      freshet.Timestamp `json:"at"`
	Door    string            `json:"door"`
	EventID string            `json:"event_id,omitempty"`
	Cause   string            `json:"cause"`
	Code    freshet.Code      `json:"code"`
	Field   string            `json:"field,omitempty"`
	Reason  string            `json:"reason"`
	Message string            `json:"message"` // as it was sent, its first 32 KiB
}

// RefusedEvents are the newest limit (0: 100, at most 1,000) of those that the server keeps, the newest first.
func (c *Client) RefusedEvents(ctx context.Context, limit int) ([]RefusedEvent, error) {
	var page struct {
		Refused []RefusedEvent `json:"refused_events"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/dead-letters", query: onPage(url.Values{}, "", limit)}, &page)
	return page.Refused, err
}

// RedriveDeadLetters puts dead letters back into the queue, all if ids is nil, and tells how many there were.
func (c *Client) RedriveDeadLetters(ctx context.Context, ids []freshet.JobID) (int, error) {
	var answer struct{ Redriven int }
	err := c.onLetters(ctx, http.MethodPost, "/v1/dead-letters/redrive", ids, &answer)
	return answer.Redriven, err
}

// DropDeadLetters forgets dead letters and refused events, all if ids is nil, and tells how many there were.
func (c *Client) DropDeadLetters(ctx context.Context, ids []freshet.JobID) (int, error) {
	var answer struct{ Dropped int }
	err := c.onLetters(ctx, http.MethodDelete, "/v1/dead-letters", ids, &answer)
	return answer.Dropped, err
}

func (c *Client) onLetters(ctx context.Context, method, path string, ids []freshet.JobID, answer any) error {
	chosen := struct {
		IDs []freshet.JobID `json:"ids,omitempty"`
		All bool            `json:"all,omitempty"`
	}{ids, ids == nil}
	body, err := json.Marshal(chosen)
	if err != nil {
		return freshet.Errorf(freshet.InvalidArgument, "%s %s: %w", method, path, err)
	}
	return c.call(ctx, request{method: method, path: path, contentType: "application/json", body: body}, answer)
}
