package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/freshet-ml/freshet"
)

// Format says how a body of events is written.
type Format string

const (
	JSON   Format = "application/json"     // one object, or an array of them
	NDJSON Format = "application/x-ndjson" // one object a line
)

// EventsResult says what became of the events of one request.
type EventsResult struct {
	Accepted   int         `json:"accepted"`   // now durable; without the duplicates
	Duplicates int         `json:"duplicates"` // known already by their event_id
	Rejected   []Rejection `json:"rejected"`   // the others, in the order of the request
	// RejectedOmitted is how many more were rejected than the server lists.
	RejectedOmitted int `json:"rejected_omitted,omitempty"`
	// Position covers the accepted and the known events: a read with After: Position sees all that they caused.
	Position string `json:"position"`
}

// Rejection is one event that was refused, and why.
type Rejection struct {
	Index   int             `json:"index"` // of the event in the request, from 0
	EventID freshet.EventID `json:"event_id,omitempty"`
	Code    freshet.Code    `json:"code"`
	Field   string          `json:"field,omitempty"`
	Detail  string          `json:"detail"`
}

// SendEvents sends a body of events, at most 8 MB as sent and 16 MB unpacked; large ones go compressed. When it returns
// nil, the accepted events are durable. A rejected event hinders no other: look at Rejected. Returns Unprocessable if no
// event was accepted or known (Rejected then says why for each), InvalidArgument if the body cannot be read, and
// ResourceExhausted if the server is behind: then it kept nothing of the request.
func (c *Client) SendEvents(ctx context.Context, format Format, body []byte) (EventsResult, error) {
	var result EventsResult
	err := c.call(ctx, request{
		method: http.MethodPost, path: "/v1/events", contentType: string(format), body: body,
	}, &result)
	if err == nil {
		return result, nil
	}
	if p, ok := errors.AsType[*Problem](err); ok && p.Code == freshet.Unprocessable {
		return EventsResult{Rejected: rejections(p)}, err
	}
	return EventsResult{}, err
}

// rejections are those of a request of which nothing was accepted. For a single event the problem itself says it all.
func rejections(p *Problem) []Rejection {
	if len(p.Errors) > 0 {
		return p.Errors
	}
	return []Rejection{{Code: p.Code, Field: p.Field, Detail: p.Detail}}
}

// Send is SendEvents of Go values: each is written as one JSON object, by encoding/json. Give each event an event_id, so
// that it can be sent again when the answer got lost and counts once all the same.
func (c *Client) Send(ctx context.Context, events ...any) (EventsResult, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	for i, e := range events {
		if err := enc.Encode(e); err != nil {
			return EventsResult{}, freshet.Errorf(freshet.InvalidArgument, "event %d cannot be written as JSON: %w", i, err)
		}
	}
	return c.SendEvents(ctx, NDJSON, body.Bytes())
}
