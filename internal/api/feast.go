package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/freshet-ml/freshet"
)

// The Feast door speaks the dialect of Feast's Python feature server: its SDK, curl and gRPC clients read features of views
// and tables and push rows. A feature view is a view or a table, a push source a push table, a feature service a pipeline.

// feast makes a route's function of one that answers errors in Feast's own form.
func (a *API) feast(handle func(*response, *http.Request) error) func(*response, *http.Request) error {
	return func(w *response, r *http.Request) error {
		if err := handle(w, r); err != nil {
			a.failFeast(w, r, err)
		}
		return nil
	}
}

// feastError is an error with the body that Feast's clients read.
type feastError struct {
	status int
	body   []byte
	err    error
}

func (e *feastError) Error() string { return e.err.Error() }
func (e *feastError) Unwrap() error { return e.err }

// feastText is a mistake of the client. Feast's server answers such with 500, which its SDK would send again.
func feastText(format string, args ...any) error {
	err := freshet.Errorf(freshet.InvalidArgument, format, args...)
	return &feastError{status: http.StatusUnprocessableEntity, body: appendText(nil, clip(err.Error(), maxDetail)), err: err}
}

// feastRaised is an error that the SDK raises as the exception of that class: a JSON text that holds JSON.
func feastRaised(status int, class, format string, args ...any) error {
	code := freshet.InvalidArgument
	if status == http.StatusNotFound {
		code = freshet.NotFound
	}
	err := freshet.Errorf(code, format, args...)
	inner := []byte(`{"module": "feast.errors", "class": "` + class + `", "message": `)
	inner = append(appendText(inner, clip(err.Error(), maxDetail)), '}')
	return &feastError{status: status, body: appendText(nil, string(inner)), err: err}
}

// feastInvalid is an error about the shape of a body, as FastAPI has it.
func feastInvalid(kind, message string, loc ...string) error {
	b := append([]byte(`{"detail":[{"type":"`), kind...)
	b = append(b, `","loc":["body"`...)
	for _, l := range loc {
		b = appendText(append(b, ','), clip(l, 64))
	}
	b = append(b, `],"msg":`...)
	b = appendText(b, clip(message, maxDetail))
	b = append(b, `,"input":null}]}`...)
	return &feastError{status: http.StatusUnprocessableEntity, body: b, err: freshet.Errorf(freshet.InvalidArgument, "%s: %s", strings.Join(append([]string{"body"}, loc...), "."), message)}
}

func feastMissing(field string) error { return feastInvalid("missing", "Field required", field) }

// failFeast answers err in Feast's form. Its SDK reads every error body as JSON.
func (a *API) failFeast(w *response, r *http.Request, err error) {
	v := a.judge(w, r, err)
	if w.status != 0 {
		return
	}
	if e, ok := errors.AsType[*feastError](err); ok {
		w.json(e.status, e.body)
		return
	}
	w.json(v.status, appendText(nil, clip(v.detail, maxDetail)))
}

// readFeast reads a body; one that cannot be read is told of as FastAPI does.
func (a *API) readFeast(w *response, r *http.Request, v any) error {
	err := a.readForeign(w, r, v)
	if freshet.CodeOf(err) != freshet.InvalidArgument {
		return err
	}
	if s, ok := errors.AsType[*statusError](err); ok && (s.close || s.status != http.StatusBadRequest) {
		return err
	}
	if field := freshet.FieldOf(err); field != "" {
		return feastInvalid("type_error", err.Error(), strings.Split(field, ".")...)
	}
	return feastInvalid("model_attributes_type", err.Error())
}
