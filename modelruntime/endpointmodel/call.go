package endpointmodel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/sony/gobreaker/v2"

	freshet "github.com/freshet-ml/freshet"
)

// caller sends requests to one endpoint.
type caller struct {
	document    *document
	name        string // of the endpoint, for errors and metrics
	url         string
	contentType string
	client      *http.Client
	breaker     *gobreaker.CircuitBreaker[struct{}]
	metrics     *metrics
	now         func() time.Time
}

// answer is an answer of 200.
type answer struct {
	header http.Header
	body   []byte
}

// The circuit breaker: after so many failures in a row nobody is asked for a while, then one request tries.
const (
	breakerFailures = 5
	breakerOpen     = 5 * time.Second
)

func newCaller(d *document, p protocol, x *metrics) *caller {
	c := &caller{document: d, url: d.base.JoinPath(p.path()).String(), contentType: p.contentType(), metrics: x, now: time.Now}
	c.name = d.Protocol + " " + d.base.Host
	if d.Model != "" {
		c.name += "/" + d.Model
	}
	c.client = &http.Client{
		Transport: &http.Transport{
			Proxy:           http.ProxyFromEnvironment,
			MaxConnsPerHost: d.Connections, MaxIdleConnsPerHost: d.Connections, IdleConnTimeout: time.Minute,
			DisableCompression: true, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
		},
		// Another address than the file's is not asked, and gets no secret.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.breaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name: c.name, Timeout: breakerOpen,
		ReadyToTrip:  func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= breakerFailures },
		IsSuccessful: func(err error) bool { return err == nil || freshet.CodeOf(err) == freshet.InvalidArgument },
		IsExcluded:   func(err error) bool { _, ok := errors.AsType[*givenUp](err); return ok },
	})
	return c
}

// givenUp is an error of a request that its caller has no more time for, or does not want any more: it says nothing about
// the endpoint.
type givenUp struct{ error }

func (e *givenUp) Unwrap() error { return e.error }

// retryable is a failure after which the same request may do better, though not before a while if the endpoint said so.
type retryable struct {
	error
	after time.Duration
}

func (e *retryable) Unwrap() error { return e.error }

// call sends body, and again after a failure that may pass, as long as the file's timeout and ctx allow. An answer that read cannot
// read is a failure of the endpoint too.
func (c *caller) call(outer context.Context, body []byte, more map[string]string, limit int64, read func(answer) error) error {
	ctx, cancel := context.WithTimeout(outer, c.document.timeout)
	defer cancel()
	for attempt := 0; ; attempt++ {
		start := c.now()
		_, err := c.breaker.Execute(func() (none struct{}, err error) {
			a, err := c.send(ctx, body, more, limit)
			if err != nil && outer.Err() != nil {
				return none, &givenUp{outer.Err()}
			}
			if err != nil {
				return none, err
			}
			if err := read(a); err != nil {
				return none, freshet.Errorf(freshet.Internal, "its answer does not fit: %w", err)
			}
			return none, nil
		})
		if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
			err = freshet.Errorf(freshet.Unavailable, "it failed %d times in a row and is not asked for %v", breakerFailures, breakerOpen)
			c.metrics.observe(c.name, "open", 0)
			return err
		}
		c.metrics.observe(c.name, outcome(err), c.now().Sub(start))
		again, ok := errors.AsType[*retryable](err)
		if !ok || attempt == c.document.retries || !pause(ctx, max(again.after, time.Millisecond<<(2*attempt))) {
			return err
		}
		c.metrics.retried(c.name)
	}
}

// pause waits before the next attempt; false if the time is over, or would be.
func pause(ctx context.Context, wait time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= 2*wait {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// send sends one request.
func (c *caller) send(ctx context.Context, body []byte, more map[string]string, limit int64) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", c.contentType)
	req.Header.Set("User-Agent", "freshet")
	for name, value := range more {
		req.Header.Set(name, value)
	}
	if err := c.authorize(ctx, req, body); err != nil {
		return answer{}, err
	}
	res, err := c.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return answer{}, c.late()
		}
		return answer{}, &retryable{error: freshet.Errorf(freshet.Unavailable, "it cannot be reached: %w", err)}
	}
	defer res.Body.Close()
	read, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return answer{}, c.late()
	case err != nil:
		return answer{}, &retryable{error: freshet.Errorf(freshet.Unavailable, "its answer ended early: %w", err)}
	case res.StatusCode != http.StatusOK:
		err := refusal(res.StatusCode, read)
		if again, ok := errors.AsType[*retryable](err); ok {
			again.after = c.retryAfter(res.Header)
		}
		return answer{}, err
	case int64(len(read)) > limit:
		return answer{}, freshet.Errorf(freshet.Internal, "its answer is over %d bytes", limit)
	}
	return answer{res.Header, read}, nil
}

// retryAfter is how long the endpoint wants to be left alone, 0 if it does not say: seconds, or a date.
func (c *caller) retryAfter(h http.Header) time.Duration {
	said := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(said, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(said); err == nil {
		return at.Sub(c.now())
	}
	return 0
}

func (c *caller) late() error {
	return freshet.Errorf(freshet.DeadlineExceeded, "it did not answer within %v", c.document.timeout)
}

// authorize adds what proves who asks.
func (c *caller) authorize(ctx context.Context, req *http.Request, body []byte) error {
	d := c.document
	if d.TokenEnv != "" {
		token, err := secret(d.TokenEnv)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if d.AWS != nil {
		return sign(ctx, req, body, d.AWS, c.now())
	}
	return nil
}

// secret reads a variable. It is not kept, and not shown.
func secret(name string) (string, error) {
	value := os.Getenv(name)
	if value == "" {
		return "", freshet.Errorf(freshet.Unavailable, "the environment variable %s is not set; the endpoint needs it", name)
	}
	return value, nil
}
