package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/freshet-ml/freshet"
)

// AsOf says which events a read in the past sees.
type AsOf string

const (
	AsOfEvent AsOf = "event" // all that had happened by then, as we know today. The default
	AsOfKnown AsOf = "known" // only those that had reached the server by then
)

// FeatureOptions of a read. The zero value reads the newest values now.
type FeatureOptions struct {
	At   time.Time // the moment asked for, cut to milliseconds. Zero: now
	AsOf AsOf      // "" is AsOfEvent
	// After is the Position of an EventsResult: the read waits until it sees those events, for Wait at most (30 s is the
	// most the server allows). "" waits for nothing.
	After string
	Wait  time.Duration
}

func (o *FeatureOptions) query() url.Values {
	q := url.Values{}
	if o == nil {
		return q
	}
	if !o.At.IsZero() {
		q.Set("at", freshet.TimestampOf(o.At).String())
	}
	if o.AsOf != "" {
		q.Set("as_of", string(o.AsOf))
	}
	setWait(q, o.After, o.Wait)
	return q
}

func setWait(q url.Values, after string, wait time.Duration) {
	if after != "" {
		q.Set("after", after)
	}
	if wait > 0 {
		q.Set("wait", wait.String())
	}
}

// Features are the values of one view for one entity at one moment.
type Features struct {
	View      freshet.ViewName   `json:"view"`
	Entity    map[string]string  `json:"entity"` // key field: value
	At        freshet.Timestamp  `json:"at"`
	Features  map[string]any     `json:"features"`             // as encoding/json decodes them; nil is null
	EventTime *freshet.Timestamp `json:"event_time,omitempty"` // of the newest event in the row; nil: there is no row
	Offset    freshet.Offset     `json:"offset,omitzero"`      // of the last event in the row; 0: there is no row
	Release   freshet.ReleaseID  `json:"release"`
	Stale     bool               `json:"stale,omitempty"` // After was not reached within Wait
}

// GetFeatures reads a view for one entity, given by its key fields: {"user_id": "u1"}. An entity that no event was about
// has the values of an empty window. Returns NotFound if there is no such view, InvalidArgument if the key fields are
// not those of the view's entity.
func (c *Client) GetFeatures(
	ctx context.Context, view freshet.ViewName, entity map[string]string, o *FeatureOptions,
) (Features, error) {
	q := o.query()
	for field, value := range entity {
		q.Set(field, value)
	}
	var f Features
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/features/" + segment(string(view)), query: q}, &f)
	return f, err
}

// FeatureBatch asks for several features of several entities at one moment.
type FeatureBatch struct {
	Features []string            // "view.feature", whole views, "table.column"
	Entities []map[string]string // key field: value
	FeatureOptions
}

// FeatureColumns is the answer to a FeatureBatch.
type FeatureColumns struct {
	Names   []string          `json:"names"`   // whole views written out
	Columns [][]any           `json:"columns"` // one for each name, holding one value for each entity in the order asked
	At      freshet.Timestamp `json:"at"`
	Release freshet.ReleaseID `json:"release"`
	Stale   bool              `json:"stale,omitempty"`
}

// BatchFeatures reads features of many entities in one request.
func (c *Client) BatchFeatures(ctx context.Context, b FeatureBatch) (FeatureColumns, error) {
	body := struct {
		Features []string            `json:"features"`
		Entities []map[string]string `json:"entities"`
		At       *freshet.Timestamp  `json:"at,omitempty"`
	}{Features: b.Features, Entities: b.Entities}
	if !b.At.IsZero() {
		at := freshet.TimestampOf(b.At)
		body.At = &at
	}
	q := b.query()
	q.Del("at")
	r, err := post("/v1/features", q, body)
	if err != nil {
		return FeatureColumns{}, err
	}
	var columns FeatureColumns
	err = c.call(ctx, r, &columns)
	return columns, err
}
