package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/freshet-ml/freshet"
)

// Trace is one event's whole way. Raw is the JSON that the server answered, which says more.
type Trace struct {
	EventID    freshet.EventID   `json:"event_id"`
	Type       freshet.EventType `json:"type"`
	Offset     freshet.Place     `json:"offset"`
	EventTime  freshet.Timestamp `json:"event_time"`
	IngestTime freshet.Timestamp `json:"ingest_time"`
	Features   struct {
		Applied bool               `json:"applied"`
		Views   []freshet.ViewName `json:"views"`
	} `json:"features"`
	Pipelines []struct {
		Pipeline   freshet.PipelineName `json:"pipeline"`
		Triggered  bool                 `json:"triggered"`
		Job        *Job                 `json:"job"`
		Prediction *struct {
			Release freshet.ReleaseID `json:"release"`
			Model   string            `json:"model"`
		} `json:"prediction"`
		ReplacedBy *struct {
			EventID freshet.EventID `json:"event_id"`
		} `json:"replaced_by"`
	} `json:"pipelines"`
	Timeline []struct {
		At   freshet.Timestamp `json:"at"`
		What string            `json:"what"`
	} `json:"timeline"`
	Raw json.RawMessage `json:"-"`
}

// Trace tells what became of an event about e. Returns NotFound if the log does not have it (any more).
func (c *Client) Trace(ctx context.Context, e Entity, id freshet.EventID) (Trace, error) {
	path, err := e.path()
	if err != nil {
		return Trace{}, err
	}
	var t Trace
	if err := c.call(ctx, request{method: http.MethodGet, path: path + "/trace", query: url.Values{"event_id": {string(id)}}}, &t.Raw); err != nil {
		return Trace{}, err
	}
	if err := json.Unmarshal(t.Raw, &t); err != nil {
		return Trace{}, freshet.Errorf(freshet.Internal, "trace: the answer is not the JSON expected: %w", err)
	}
	return t, nil
}
