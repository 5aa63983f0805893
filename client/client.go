// Package client is the Go client of Freshet's HTTP API. Each method is one request: it encodes, sends, and turns the
// answer or the problem document into Go values. It never retries, caches or logs: what a retry may repeat is the
// caller's decision (freshet.CodeOf says what went wrong, events that carry an event_id can always be sent again).
package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
)

const (
	maxAnswerBytes  = 64 << 20 // an answer beyond this is refused: no server makes this process run out of memory
	maxProblemBytes = 1 << 20
	gzipFrom        = 64 << 10 // below, compressing costs more than it saves on any but the slowest line
)

// Options of a Client. The zero value works.
type Options struct {
	// HTTP sends the requests. Defaults to a client that keeps 64 connections, needs 5 s at most to connect and waits 90 s
	// for an answer to begin; everything else is bounded by the context of the call.
	HTTP *http.Client
	// Key is sent as "Authorization: Bearer KEY". A server without keys ignores it.
	Key string
	// UserAgent names the program in the server's logs. Defaults to "freshet-go".
	UserAgent string
}

// Client talks to one server. It may be used by many goroutines at once.
type Client struct {
	base      *url.URL
	http      *http.Client
	key       string
	userAgent string
	gzips     sync.Pool // of *gzip.Writer: a new one costs a megabyte
}

// New makes a client of the server at baseURL, such as "http://127.0.0.1:8787"; a path is kept as prefix. It does not
// connect. Returns InvalidArgument if baseURL is no http or https URL with a host.
func New(baseURL string, o *Options) (*Client, error) {
	base, err := url.Parse(baseURL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, "server",
			"server %q: expected a URL such as http://127.0.0.1:8787", baseURL)
	}
	if base.RawQuery != "" || base.Fragment != "" {
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, "server",
			"server %q: expected a URL without a query, such as http://127.0.0.1:8787", baseURL)
	}
	if o == nil {
		o = &Options{}
	}
	c := &Client{base: base, http: o.HTTP, key: o.Key, userAgent: o.UserAgent}
	if c.http == nil {
		c.http = defaultHTTP()
	}
	if c.userAgent == "" {
		c.userAgent = "freshet-go"
	}
	return c, nil
}

func defaultHTTP() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: 90 * time.Second, // longer than the longest wait, 30 s, and the slowest body, 60 s
			MaxIdleConns:          64,
			MaxIdleConnsPerHost:   64,
			IdleConnTimeout:       90 * time.Second,
			ForceAttemptHTTP2:     true,
		},
		// A redirected POST would silently become a GET; the answer names the URL to use instead.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// URL is the address of the server, without a slash at its end.
func (c *Client) URL() string { return strings.TrimRight(c.base.String(), "/") }

// request is one call before it is sent.
type request struct {
	method      string
	path        string // escaped, from "/"
	query       url.Values
	contentType string
	body        []byte
	stream      io.Reader // instead of body, sent as it is read
	actor       string    // who decides, for the audit
	ifMatch     string
}

// call sends r and decodes a 2xx answer into out, which may be nil. Errors are those of open.
func (c *Client) call(ctx context.Context, r request, out any) error {
	res, err := c.open(ctx, r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := readBounded(res.Body, maxAnswerBytes)
	if err != nil {
		if freshet.CodeOf(err) == freshet.TooLarge {
			return freshet.Errorf("", "%s %s: %w; ask for less at once", r.method, c.URL()+r.path, err)
		}
		return c.noAnswer(r, err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return freshet.Errorf(freshet.Internal, "%s %s: the answer is not the JSON expected (%w); is this a Freshet server?",
			r.method, c.URL()+r.path, err)
	}
	return nil
}

// open sends r and gives a 2xx answer, whose body the caller closes. Every other answer is returned as an error that holds a
// *Problem; no answer at all is Unavailable, or DeadlineExceeded when ctx's deadline has passed.
func (c *Client) open(ctx context.Context, r request) (*http.Response, error) {
	target := c.URL() + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := c.newRequest(ctx, r, target)
	if err != nil {
		return nil, freshet.Errorf(freshet.InvalidArgument, "%s %s: %w", r.method, c.URL()+r.path, err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.noAnswer(r, err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		defer res.Body.Close()
		return nil, c.readProblem(r, res)
	}
	return res, nil
}

func (c *Client) newRequest(ctx context.Context, r request, target string) (*http.Request, error) {
	body, encoding, err := c.pack(r.body)
	if err != nil {
		return nil, err
	}
	if r.stream != nil {
		body = r.stream
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set("Accept", "application/json")
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	if r.actor != "" {
		req.Header.Set("Freshet-Actor", r.actor)
	}
	if r.ifMatch != "" {
		req.Header.Set("If-Match", r.ifMatch)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	return req, nil
}

// pack gives the body as it is sent: large ones by gzip.
func (c *Client) pack(body []byte) (r io.Reader, encoding string, err error) {
	if body == nil {
		return nil, "", nil
	}
	if len(body) < gzipFrom {
		return bytes.NewReader(body), "", nil
	}
	var packed bytes.Buffer
	w, ok := c.gzips.Get().(*gzip.Writer)
	if ok {
		w.Reset(&packed)
	} else if w, err = gzip.NewWriterLevel(&packed, gzip.BestSpeed); err != nil {
		return nil, "", err
	}
	defer c.gzips.Put(w)
	if _, err := w.Write(body); err != nil {
		return nil, "", err
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return &packed, "gzip", nil
}

// noAnswer is the error for a request that got no complete answer. The cause stays in its chain, so that callers can
// tell a canceled context.
func (c *Client) noAnswer(r request, err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // the URL stands in our message already
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return freshet.Errorf(freshet.DeadlineExceeded, "%s %s: no answer in time: %w", r.method, c.URL()+r.path, err)
	}
	if errors.Is(err, context.Canceled) {
		return freshet.Errorf(freshet.Unavailable, "%s %s: given up: %w", r.method, c.URL()+r.path, err)
	}
	return freshet.Errorf(freshet.Unavailable,
		"no answer from %s (%w); check that the address is right and that a server runs there (freshet serve)", c.URL(), err)
}

// readBounded reads all of r. Returns TooLarge if there are more than limit bytes.
func readBounded(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, freshet.Errorf(freshet.TooLarge, "the answer is over %d bytes", limit)
	}
	return body, nil
}

// post makes a request with a JSON body.
func post(path string, query url.Values, body any) (request, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return request{}, freshet.Errorf(freshet.InvalidArgument, "POST %s: the request cannot be written as JSON: %w", path, err)
	}
	return request{method: http.MethodPost, path: path, query: query, contentType: "application/json", body: b}, nil
}
