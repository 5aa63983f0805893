package client

import (
	"context"
	"net/http"

	"github.com/freshet-ml/freshet"
)

// Erase is a request to forget an entity.
type Erase struct {
	ID      string             `json:"id"`
	Kind    freshet.EntityKind `json:"kind"`
	State   string             `json:"state"` // running or done
	At      freshet.Timestamp  `json:"at"`
	EndedAt *freshet.Timestamp `json:"ended_at,omitempty"`
	Served  bool               `json:"served"` // what is served is gone
	Events  int                `json:"events"` // its own records that became void
	Others  int                `json:"others"` // records about others in which it got another name
	Jobs    int                `json:"jobs"`
	Rows    int                `json:"rows"` // of push tables
	Error   string             `json:"error,omitempty"`
}

// Erase begins to forget e: what is served is gone when it returns with Served, the rest follows. Look with GetErase.
func (c *Client) Erase(ctx context.Context, e Entity) (Erase, error) {
	path, err := e.path()
	if err != nil {
		return Erase{}, err
	}
	var x Erase
	err = c.call(ctx, request{method: http.MethodDelete, path: path}, &x)
	return x, err
}

// GetErase tells how far an erase is. Returns NotFound for an id that is not known (any more).
func (c *Client) GetErase(ctx context.Context, id string) (Erase, error) {
	var x Erase
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/erases/" + segment(id)}, &x)
	return x, err
}
