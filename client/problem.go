package client

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
)

// Problem is an error as the server told it (RFC 9457). It is in the chain of the error that a method returns:
// freshet.CodeOf and freshet.FieldOf are usually enough, errors.AsType[*Problem] gives the rest.
type Problem struct {
	Status    int           // HTTP status
	Code      freshet.Code  // from the document, or by the status if there is none
	Field     string        // the field at fault; "" if none
	Detail    string        // what was wrong and what was expected
	RequestID string        // names the request in the server's log
	Errors    []Rejection   // one for each event that was refused; nil for other requests
	After     time.Duration // how long the server asks to wait before trying again; 0 if it does not say
}

// Error is the detail; for a fault of the server it also names the request in the server's log.
func (p *Problem) Error() string {
	if p.Status >= 500 && p.RequestID != "" {
		return fmt.Sprintf("%s (request %s)", p.Detail, p.RequestID)
	}
	return p.Detail
}

// readProblem turns an answer that is not 2xx into an error of the vocabulary.
func (c *Client) readProblem(r request, res *http.Response) error {
	p := &Problem{
		Status:    res.StatusCode,
		Code:      codeOf(res.StatusCode),
		RequestID: res.Header.Get("X-Request-Id"),
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.After = time.Duration(min(seconds, 3600)) * time.Second
	}
	var document struct {
		Title     string       `json:"title"`
		Detail    string       `json:"detail"`
		Code      freshet.Code `json:"code"`
		Field     string       `json:"field"`
		Errors    []Rejection  `json:"errors"`
		RequestID string       `json:"request_id"`
	}
	body, err := readBounded(res.Body, maxProblemBytes)
	if err != nil || !isJSON(res.Header) || json.Unmarshal(body, &document) != nil {
		p.Detail = c.foreign(r, res)
		return wrap(p)
	}
	p.Field, p.Errors = document.Field, document.Errors
	p.Detail = firstOf(document.Detail, document.Title, res.Status)
	p.RequestID = firstOf(document.RequestID, p.RequestID)
	if known(document.Code) {
		p.Code = document.Code
	}
	return wrap(p)
}

func wrap(p *Problem) error { return freshet.FieldErrorf(p.Code, p.Field, "%w", p) }

// foreign describes an answer that is no problem document: a proxy's, or that of another program.
func (c *Client) foreign(r request, res *http.Response) string {
	if to := res.Header.Get("Location"); res.StatusCode/100 == 3 && to != "" {
		return fmt.Sprintf("%s %s: redirected to %s; use that server's address", r.method, c.URL()+r.path, to)
	}
	return fmt.Sprintf("%s %s: answered %s without saying why; check that %s is a Freshet server",
		r.method, c.URL()+r.path, res.Status, c.URL())
}

func isJSON(h http.Header) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (t == "application/json" || strings.HasSuffix(t, "+json"))
}

// codeOf is the code of a status whose body does not say one.
func codeOf(status int) freshet.Code {
	switch status {
	case http.StatusUnauthorized:
		return freshet.Unauthenticated
	case http.StatusForbidden:
		return freshet.PermissionDenied
	case http.StatusNotFound:
		return freshet.NotFound
	case http.StatusConflict:
		return freshet.Conflict
	case http.StatusPreconditionFailed:
		return freshet.PreconditionFailed
	case http.StatusRequestEntityTooLarge:
		return freshet.TooLarge
	case http.StatusUnsupportedMediaType:
		return freshet.Unsupported
	case http.StatusUnprocessableEntity:
		return freshet.Unprocessable
	case http.StatusTooManyRequests:
		return freshet.ResourceExhausted
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return freshet.Unavailable
	case http.StatusGatewayTimeout:
		return freshet.DeadlineExceeded
	}
	if status/100 == 4 {
		return freshet.InvalidArgument
	}
	return freshet.Internal
}

// known reports whether code is of the closed list; a newer server may have others, for which the status stands in.
func known(code freshet.Code) bool {
	switch code {
	case freshet.InvalidArgument, freshet.Unauthenticated, freshet.PermissionDenied, freshet.NotFound, freshet.Conflict,
		freshet.PreconditionFailed, freshet.TooLarge, freshet.Unsupported, freshet.Unprocessable,
		freshet.ResourceExhausted, freshet.Internal, freshet.Unavailable, freshet.DeadlineExceeded:
		return true
	}
	return false
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
