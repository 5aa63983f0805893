package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
)

// Entity names what a prediction is about: its kind, and the values of its key fields in declared order.
type Entity struct {
	Kind freshet.EntityKind
	Key  []string
}

// User is the user with this id.
func User(id string) Entity { return Entity{Kind: "user", Key: []string{id}} }

// path is the entity's address in the API: each value of the key is escaped by itself, commas stand between them.
func (e Entity) path() (string, error) {
	if e.Kind == "" || len(e.Key) == 0 {
		return "", freshet.FieldErrorf(freshet.InvalidArgument, "entity", "entity: kind and key must be given")
	}
	values := make([]string, len(e.Key))
	for i, v := range e.Key {
		if v == "" {
			return "", freshet.FieldErrorf(freshet.InvalidArgument, "entity",
				"entity: value %d of the key of %s is empty; expected 1 to %d bytes", i+1, e.Kind, freshet.MaxKeyBytes)
		}
		values[i] = strings.ReplaceAll(segment(v), ",", "%2C")
	}
	return "/v1/entities/" + segment(string(e.Kind)) + "/" + strings.Join(values, ","), nil
}

// segment escapes s as one segment of a path. Dots alone are escaped too: a path with "." or ".." in it would be cleaned
// away on its way.
func segment(s string) string {
	if s == "." || s == ".." {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return url.PathEscape(s)
}

// PredictionOptions of a read. The zero value asks for the newest prediction there is.
type PredictionOptions struct {
	// After is the Position of an EventsResult: the read waits until all that those events caused for this entity and
	// pipeline has ended, for Wait at most (30 s is the most the server allows). "" waits for nothing.
	After   string
	Wait    time.Duration
	Explain bool // also what the model saw; not for ListPredictions
}

func (o *PredictionOptions) query() url.Values {
	q := url.Values{}
	if o == nil {
		return q
	}
	setWait(q, o.After, o.Wait)
	if o.Explain {
		q.Set("explain", "true")
	}
	return q
}

// Prediction is what one release said about one entity at one moment.
type Prediction struct {
	Pipeline  freshet.PipelineName `json:"pipeline"`
	Entity    map[string]string    `json:"entity"` // key field: value
	Items     []Item               `json:"items"`  // best first; without candidates one item, the entity itself
	Outputs   map[string]*float64  `json:"outputs,omitempty"`
	Release   freshet.ReleaseID    `json:"release"`
	Model     string               `json:"model"` // NAME@VERSION
	EventID   freshet.EventID      `json:"event_id,omitempty"`
	Offset    *freshet.Place       `json:"offset,omitempty"`     // of the event that caused it
	EventTime *freshet.Timestamp   `json:"event_time,omitempty"` // of that event
	CreatedAt freshet.Timestamp    `json:"created_at"`
	ExpiresAt *freshet.Timestamp   `json:"expires_at,omitempty"`
	Fallback  bool                 `json:"fallback"`         // the pipeline's fallback answered, not its model
	Stale     bool                 `json:"stale,omitempty"`  // After was not reached within Wait, or the job failed
	Stored    bool                 `json:"stored,omitempty"` // of Predict: it was kept for pull
	// FallbackCause is why the fallback answered, and FallbackReason, with Explain, says it in words.
	FallbackCause  freshet.FallbackCause `json:"fallback_cause,omitempty"`
	FallbackReason string                `json:"fallback_reason,omitempty"`
	// Texts are, with Explain, the texts that all items share, by model column: the Inputs have numbers for them.
	Texts map[string][]string `json:"texts,omitempty"`
}

// Item is one thing that was ranked.
type Item struct {
	ID    freshet.Key `json:"id"`
	Score float64     `json:"score"`
	// Inputs is what the model saw, by model column; nil is a missing value. Empty unless asked for with Explain.
	Inputs map[string]*float64 `json:"inputs,omitempty"`
}

// GetPrediction reads the newest prediction that a pipeline stored for an entity. Returns NotFound if there is none and
// the pipeline has no fallback.
func (c *Client) GetPrediction(
	ctx context.Context, e Entity, pipeline freshet.PipelineName, o *PredictionOptions,
) (Prediction, error) {
	path, err := e.path()
	if err != nil {
		return Prediction{}, err
	}
	var p Prediction
	err = c.call(ctx, request{
		method: http.MethodGet, path: path + "/predictions/" + segment(string(pipeline)), query: o.query(),
	}, &p)
	return p, err
}

// PredictionList is the answer to ListPredictions.
type PredictionList struct {
	Predictions map[string]Prediction `json:"predictions"` // by the flag asked for
	Unknown     []string              `json:"unknown"`     // flags that name no pipeline
}

// ListPredictions reads the newest predictions of an entity for several flags, names of pipelines or of their flags; no
// flags ask for all there are. A flag without a prediction is left out.
func (c *Client) ListPredictions(
	ctx context.Context, e Entity, flags []string, o *PredictionOptions,
) (PredictionList, error) {
	path, err := e.path()
	if err != nil {
		return PredictionList{}, err
	}
	q := o.query()
	q.Del("explain")
	if len(flags) > 0 {
		q.Set("flags", strings.Join(flags, ","))
	}
	var list PredictionList
	err = c.call(ctx, request{method: http.MethodGet, path: path + "/predictions", query: q}, &list)
	return list, err
}

// PredictRequest asks for a prediction now.
type PredictRequest struct {
	Entity  map[string]string `json:"entity"` // key field: value
	Context map[string]any    `json:"context,omitempty"`
	// Candidates to score instead of the whole table: ids of the pipeline's table, or rows of it as objects.
	Candidates []any `json:"candidates,omitempty"`
	Top        int   `json:"top,omitempty"`   // how many items to answer. 0: as the pipeline says
	Store      bool  `json:"store,omitempty"` // keep it for pull, as if an event had caused it
	Explain    bool  `json:"-"`
}

// Predict computes a prediction now, with the features of this moment.
func (c *Client) Predict(ctx context.Context, pipeline freshet.PipelineName, p PredictRequest) (Prediction, error) {
	q := url.Values{}
	if p.Explain {
		q.Set("explain", "true")
	}
	r, err := post("/v1/predict/"+segment(string(pipeline)), q, p)
	if err != nil {
		return Prediction{}, err
	}
	var made Prediction
	err = c.call(ctx, r, &made)
	return made, err
}
