package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/freshet-ml/freshet"
)

// Delivery is a message to a user and what became of it.
type Delivery struct {
	ID         freshet.JobID                `json:"id"`
	User       freshet.Key                  `json:"user_id"`
	Pipeline   freshet.PipelineName         `json:"pipeline"`
	Category   string                       `json:"category"`
	EventID    freshet.EventID              `json:"event_id,omitempty"`
	Release    freshet.ReleaseID            `json:"release,omitempty"`
	Title      string                       `json:"title,omitempty"`
	Body       string                       `json:"body,omitempty"`
	State      string                       `json:"state"` // waiting, held, sending, sent, in_app, suppressed or failed
	Reason     string                       `json:"reason,omitempty"`
	Channel    string                       `json:"channel,omitempty"` // by which the last attempt went, and Device
	Device     string                       `json:"device,omitempty"`
	ProviderID string                       `json:"provider_id,omitempty"`
	Attempts   int                          `json:"attempts"`          // for all devices
	Devices    []DeviceDelivery             `json:"devices,omitempty"` // that it went to
	CreatedAt  freshet.Timestamp            `json:"created_at"`
	ExpiresAt  freshet.Timestamp            `json:"expires_at"`
	DueAt      *freshet.Timestamp           `json:"due_at,omitempty"`
	EndedAt    *freshet.Timestamp           `json:"ended_at,omitempty"`
	Outcomes   map[string]freshet.Timestamp `json:"outcomes,omitempty"` // "opened" and so on
}

// DeviceDelivery is what became of a message on one device.
type DeviceDelivery struct {
	Device     string             `json:"device"`
	State      string             `json:"state"` // waiting, sending, sent or failed
	Reason     string             `json:"reason,omitempty"`
	ProviderID string             `json:"provider_id,omitempty"`
	Attempts   int                `json:"attempts"`
	DueAt      *freshet.Timestamp `json:"due_at,omitempty"`
}

// Deliveries lists messages in the order of their ids, of one user if user is not "", a page of up to limit (0: 100) after the next of the page before. next is
// "" at the end.
func (c *Client) Deliveries(ctx context.Context, user freshet.Key, after string, limit int) (list []Delivery, next string, err error) {
	q := url.Values{}
	if user != "" {
		q.Set("user_id", string(user))
	}
	var page struct {
		Deliveries []Delivery
		Next       string
	}
	err = c.call(ctx, request{method: http.MethodGet, path: "/v1/deliveries", query: onPage(q, after, limit)}, &page)
	return page.Deliveries, page.Next, err
}

// Delivery is one message. Returns NotFound if there is none, or it ended too long ago.
func (c *Client) Delivery(ctx context.Context, id freshet.JobID) (Delivery, error) {
	var d Delivery
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/deliveries/" + segment(string(id))}, &d)
	return d, err
}
