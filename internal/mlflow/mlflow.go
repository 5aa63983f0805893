// Package mlflow is a kit: it fetches a registered model from an MLflow server: which version an alias means, the version's files
// through the server's artifact routes, the metrics of the run that made it. It reads only, and it opens no model.
package mlflow

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
)

// Options of New. The zero value asks without credentials.
type Options struct {
	HTTP *http.Client // Defaults to one that waits 60 s for an answer to begin
	// Username and Password are for Basic authentication, Token for Bearer.
	Username, Password, Token string
}

// Client asks one MLflow tracking server.
type Client struct {
	base *url.URL
	o    Options
}

// New makes a client of the server at uri, such as http://mlflow:5000. It does not connect. A user and password in uri count
// as Options' do. Returns InvalidArgument for what is no http or https address.
func New(uri string, o Options) (*Client, error) {
	base, err := url.Parse(uri)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, "mlflow", "mlflow: expected the address of an MLflow server, such as http://mlflow:5000")
	}
	if base.User != nil {
		o.Username = base.User.Username()
		o.Password, _ = base.User.Password()
		base.User = nil // it must not get into lineage or messages
	}
	base.RawQuery, base.Fragment = "", ""
	if o.HTTP == nil {
		o.HTTP = &http.Client{Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			ResponseHeaderTimeout: 60 * time.Second,
		}}
	}
	return &Client{base: base, o: o}, nil
}

// URI is the server's address without credentials.
func (c *Client) URI() string { return strings.TrimRight(c.base.String(), "/") }

const (
	api       = "/api/2.0/mlflow/"
	artifacts = "/api/2.0/mlflow-artifacts/artifacts"
	// maxAnswer bounds an answer that is JSON.
	maxAnswer = 16 << 20
)

// get asks a route of the tracking API.
func (c *Client) get(ctx context.Context, route string, q url.Values, out any) error {
	body, err := c.open(ctx, http.MethodGet, api+route, q, nil)
	if err != nil {
		return err
	}
	return decode(body, route, out)
}

func (c *Client) post(ctx context.Context, route string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	body, err := c.open(ctx, http.MethodPost, api+route, nil, strings.NewReader(string(b)))
	if err != nil {
		return err
	}
	return decode(body, route, out)
}

func decode(body io.ReadCloser, route string, out any) error {
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil {
		return freshet.Errorf(freshet.Unavailable, "MLflow: %s: %w", route, err)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return freshet.Errorf(freshet.Internal, "MLflow: %s: the answer is not what an MLflow server says: %w", route, err)
	}
	return nil
}

// open sends a request and gives the body of a 200; the caller closes it.
func (c *Client) open(ctx context.Context, method, path string, q url.Values, body io.Reader) (io.ReadCloser, error) {
	target := c.URI() + path
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, freshet.Errorf(freshet.InvalidArgument, "MLflow: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case c.o.Token != "":
		req.Header.Set("Authorization", "Bearer "+c.o.Token)
	case c.o.Username != "":
		req.SetBasicAuth(c.o.Username, c.o.Password)
	}
	res, err := c.o.HTTP.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, freshet.Errorf(freshet.Unavailable, "no answer from MLflow at %s (%w); check the address", c.URI(), err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	return nil, c.refused(path, res)
}

// refused turns an error of MLflow into one of ours: error_code decides, not the status.
func (c *Client) refused(path string, res *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // whatever came
	var problem struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(b, &problem) // other servers answer other things
	code := freshet.Unavailable
	switch {
	case problem.Code == "RESOURCE_DOES_NOT_EXIST" || problem.Code == "NOT_FOUND" || problem.Code == "" && res.StatusCode == http.StatusNotFound:
		code = freshet.NotFound
	case res.StatusCode == http.StatusUnauthorized:
		code = freshet.Unauthenticated
	case res.StatusCode == http.StatusForbidden:
		code = freshet.PermissionDenied
	case res.StatusCode/100 == 4:
		code = freshet.InvalidArgument
	}
	said := problem.Message
	if said == "" {
		said = fmt.Sprintf("%.200s", strings.TrimSpace(string(b)))
	}
	switch {
	case strings.Contains(said, "Invalid Host header"):
		said += "; start the MLflow server with --allowed-hosts for the name that you use"
	case code == freshet.Unauthenticated:
		said += "; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
	}
	return freshet.Errorf(code, "MLflow at %s: %s: %s: %s", c.URI(), path, res.Status, said)
}
