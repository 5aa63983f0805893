package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet"
)

// statusOf is the one table from codes to HTTP statuses.
func statusOf(code freshet.Code) int {
	switch code {
	case freshet.InvalidArgument:
		return http.StatusBadRequest
	case freshet.Unauthenticated:
		return http.StatusUnauthorized
	case freshet.PermissionDenied:
		return http.StatusForbidden
	case freshet.NotFound:
		return http.StatusNotFound
	case freshet.Conflict:
		return http.StatusConflict
	case freshet.PreconditionFailed:
		return http.StatusPreconditionFailed
	case freshet.TooLarge:
		return http.StatusRequestEntityTooLarge
	case freshet.Unsupported:
		return http.StatusUnsupportedMediaType
	case freshet.Unprocessable:
		return http.StatusUnprocessableEntity
	case freshet.ResourceExhausted:
		return http.StatusTooManyRequests
	case freshet.Unavailable:
		return http.StatusServiceUnavailable
	case freshet.DeadlineExceeded:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// statusError is an error that HTTP has its own status for.
type statusError struct {
	status int
	close  bool // the connection cannot be used any more: its request was not read to the end
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// withStatus answers err with status instead of that of its code.
func withStatus(status int, err error) error { return &statusError{status: status, err: err} }

// closing answers err and then closes the connection, because the rest of the body is not worth reading.
func closing(err error) error {
	return &statusError{status: statusOf(freshet.CodeOf(err)), close: true, err: err}
}

// rejectedError is an error that lists what was rejected, as JSON.
type rejectedError struct {
	error
	list []byte
}

func (e *rejectedError) Unwrap() error { return e.error }

// verdict is what an error means for the answer, whatever form that has.
type verdict struct {
	err    error
	code   freshet.Code
	status int
	shut   bool   // the connection is closed afterwards
	detail string // what the client is told; nothing of it for a fault of the server
}

// judge says what err means, logs a fault of the server, and sets the headers that answers of any form have.
func (a *API) judge(w *response, r *http.Request, err error) verdict {
	err = ofContext(r, err)
	v := verdict{err: err, code: freshet.CodeOf(err)}
	v.status = statusOf(v.code)
	if s, ok := errors.AsType[*statusError](err); ok {
		v.status, v.shut = s.status, s.close
	}
	v.detail = err.Error()
	if v.code == freshet.Internal {
		a.faults.add(a.deps.Now(), r.Pattern, w.id)
		a.deps.Logger.Error("request failed", slog.String("request_id", w.id), slog.String("route", r.Pattern), slog.Any("error", err))
		v.detail = "a fault of the server; its log has the details under this request id"
	}
	if w.status != 0 {
		return v // too late for headers
	}
	h := w.Header()
	if v.shut {
		h.Set("Connection", "close")
	}
	if v.status == http.StatusTooManyRequests || v.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	h.Set("Cache-Control", "no-store")
	return v
}

// fail writes the problem document (RFC 9457) for err, unless an answer is on its way already.
func (a *API) fail(w *response, r *http.Request, err error) {
	v := a.judge(w, r, err)
	if w.status != 0 {
		return
	}
	b := a.buffer()
	defer a.returnBuffer(b)
	*b = appendProblem((*b)[:0], problem{
		status: v.status, code: v.code, field: freshet.FieldOf(v.err), detail: v.detail, errors: rejectedOf(v.err), requestID: w.id,
	})
	w.send(v.status, "application/problem+json", *b)
}

// clientGone is the status that is counted where nobody waits for the answer any more: none of HTTP's own, so that no
// alarm about faults of the server counts it.
const clientGone = 499

// ofContext gives the errors of contexts their codes.
func ofContext(r *http.Request, err error) error {
	if freshet.CodeOf(err) != freshet.Internal {
		return err
	}
	switch {
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return withStatus(clientGone, freshet.Errorf(freshet.Unavailable, "the request was given up: %w", err))
	case errors.Is(err, context.DeadlineExceeded):
		return freshet.Errorf(freshet.DeadlineExceeded, "it took longer than allowed: %w", err)
	case errors.Is(err, context.Canceled):
		return freshet.Errorf(freshet.Unavailable, "the request was given up: %w", err)
	}
	return err
}

func rejectedOf(err error) []byte {
	if e, ok := errors.AsType[*rejectedError](err); ok {
		return e.list
	}
	return nil
}

type problem struct {
	status        int
	code          freshet.Code
	field, detail string
	errors        []byte // a JSON list
	requestID     string
}

// maxDetail bounds a detail: what was sent is quoted in it.
const maxDetail = 2048

func appendProblem(b []byte, p problem) []byte {
	b = append(b, `{"type":"about:blank","title":`...)
	b = appendText(b, http.StatusText(p.status))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(p.status), 10)
	b = append(b, `,"detail":`...)
	b = appendText(b, clip(p.detail, maxDetail))
	b = append(b, `,"code":`...)
	b = appendText(b, string(p.code))
	if p.field != "" {
		b = append(b, `,"field":`...)
		b = appendText(b, clip(p.field, maxDetail))
	}
	if p.errors != nil {
		b = append(b, `,"errors":`...)
		b = append(b, p.errors...)
	}
	b = append(b, `,"request_id":`...)
	b = appendText(b, p.requestID)
	return append(b, '}')
}

// appendText writes s quoted. Bytes that are not UTF-8 become U+FFFD, as JSON cannot hold them: the only error that
// AppendQuote knows.
func appendText[S ~string](b []byte, s S) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}

// clip cuts a text at limit bytes.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}
