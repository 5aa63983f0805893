package client

import (
	"context"
	"encoding/json"
	"net/http"
)

// Status is the server's page of truth (GET /v1/status) as the JSON it answered: operators read it, programs should
// branch on nothing in it.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	return c.raw(ctx, "/v1/status")
}

// Streams is the state of the partitions (GET /v1/streams) as the JSON it answered: offsets, lag, watermark, rates, late
// and dropped events, age of the checkpoint.
func (c *Client) Streams(ctx context.Context) (json.RawMessage, error) {
	return c.raw(ctx, "/v1/streams")
}

func (c *Client) raw(ctx context.Context, path string) (json.RawMessage, error) {
	var body json.RawMessage
	err := c.call(ctx, request{method: http.MethodGet, path: path}, &body)
	return body, err
}

// Ready returns nil if the server serves. Returns Unavailable, with the reasons, if it is not ready or does not answer.
func (c *Client) Ready(ctx context.Context) error {
	return c.call(ctx, request{method: http.MethodGet, path: "/readyz"}, nil)
}
