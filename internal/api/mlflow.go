package api

import (
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/modelruntime"
)

// The MLflow door answers as MLflow's scoring server does, so that clients of `mlflow models serve` need another address
// only. It is also what a model container of SageMaker must answer: /ping and /invocations.

// mlflow makes a route's function of one that answers errors as MLflow does.
func (a *API) mlflow(handle func(*response, *http.Request) error) func(*response, *http.Request) error {
	return func(w *response, r *http.Request) error {
		if err := handle(w, r); err != nil {
			a.failMLflow(w, r, err)
		}
		return nil
	}
}

// unreadType is a content type that is not read: MLflow says so in plain text.
type unreadType struct{ error }

func (e *unreadType) Unwrap() error { return e.error }

// failMLflow answers err in MLflow's form.
func (a *API) failMLflow(w *response, r *http.Request, err error) {
	v := a.judge(w, r, err)
	if w.status != 0 {
		return
	}
	detail := clip(v.detail, maxDetail)
	if _, ok := errors.AsType[*unreadType](err); ok {
		w.send(http.StatusUnsupportedMediaType, "text/plain; charset=utf-8", []byte(detail))
		return
	}
	b := a.buffer()
	defer a.returnBuffer(b)
	*b = appendMLflowError((*b)[:0], err, v)
	w.json(v.status, *b)
}

func appendMLflowError(b []byte, err error, v verdict) []byte {
	code, state, class := "BAD_REQUEST", "KAM00", "INVALID_PARAMETER_VALUE"
	switch v.code {
	case freshet.NotFound:
		code, class = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_DOES_NOT_EXIST"
	case freshet.Unavailable, freshet.DeadlineExceeded:
		code, class = "TEMPORARILY_UNAVAILABLE", "TEMPORARILY_UNAVAILABLE"
	case freshet.ResourceExhausted, freshet.TooLarge:
		code, class = "REQUEST_LIMIT_EXCEEDED", "REQUEST_LIMIT_EXCEEDED"
	case freshet.Internal:
		code, class = "INTERNAL_ERROR", "INTERNAL_ERROR"
	}
	if _, ok := errors.AsType[*schemaError](err); ok {
		code, state, class = "INVALID_PARAMETER_VALUE", "KAM01", "SCHEMA_ENFORCEMENT_FAILED"
	}
	b = append(append(b, `{"error_code":"`...), code...)
	b = appendText(append(b, `","message":`...), clip(v.detail, maxDetail))
	b = append(append(b, `,"sqlstate":"`...), state...)
	return append(append(append(b, `","error_class":"`...), class...), `"}`...)
}

// getMLflowHealth is for those who watch a scoring server or a feature server.
func (a *API) getMLflowHealth(w *response, _ *http.Request) error {
	status := http.StatusOK
	if a.deps.Live.Load() == nil || len(a.reasons()) > 0 {
		status = http.StatusServiceUnavailable
	}
	w.json(status, []byte("\n"))
	return nil
}

// getMLflowVersion answers with Freshet's version, as plain text under MLflow's own content type.
func (a *API) getMLflowVersion(w *response, _ *http.Request) error {
	w.json(http.StatusOK, []byte(a.deps.Version))
	return nil
}

// postInvocations scores rows with the model that the path names, or with the default one.
func (a *API) postInvocations(w *response, r *http.Request) error {
	csv, err := mlflowForm(r.Header)
	if err != nil {
		return err
	}
	rel, err := a.live()
	if err != nil {
		return err
	}
	defer rel.Unpin()
	w.of(rel)
	name, err := a.invoked(rel, r.PathValue("name"))
	if err != nil {
		return err
	}
	m, err := modelOf(rel, name, "")
	if err != nil {
		return err
	}
	sent, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	defer a.returnBody(sent)
	x := a.matrix()
	defer a.returnMatrix(x)
	if csv {
		err = readModelCSV(sent.buf, m.Signature(), x, true)
	} else {
		err = readMLflowJSON(sent.buf, m.Signature(), x, a.o.MaxDepth)
	}
	if err != nil {
		return err
	}
	if err := a.score(r.Context(), m, x, maxModelTime); err != nil {
		return refusedBySignature(err)
	}
	out := a.buffer()
	defer a.returnBuffer(out)
	*out = appendPredictions((*out)[:0], m.Signature(), x)
	w.json(http.StatusOK, *out)
	return nil
}

// refusedBySignature marks what the model refuses about rows that could be read.
func refusedBySignature(err error) error {
	if freshet.CodeOf(err) == freshet.InvalidArgument {
		return &schemaError{err}
	}
	return err
}

// mlflowForm tells by the content type whether a body is CSV or JSON.
func mlflowForm(h http.Header) (csv bool, err error) {
	sent := h.Get("Content-Type")
	t, params, err := mime.ParseMediaType(sent)
	if err != nil || t != "application/json" && t != "text/csv" {
		return false, &unreadType{freshet.Errorf(freshet.Unsupported, "This predictor only supports the following content types: Types: ['text/csv', 'application/json']. Got '%s'.", clip(sent, 128))}
	}
	for name, value := range params {
		if name != "charset" {
			return false, &unreadType{freshet.Errorf(freshet.Unsupported, "Unrecognized content type parameters: %s.", clip(name, 64))}
		}
		if !strings.EqualFold(value, "utf-8") {
			return false, &unreadType{freshet.Errorf(freshet.Unsupported, "The scoring server only supports UTF-8")}
		}
	}
	return t == "text/csv", nil
}

// invoked is the model that bare /invocations means.
func (a *API) invoked(rel *release.Opened, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	if a.o.DefaultModel != "" {
		return a.o.DefaultModel, nil
	}
	models := rel.Models()
	if len(models) == 1 {
		return string(models[0].Name), nil
	}
	return "", freshet.Errorf(freshet.NotFound, "the live release has %d models: ask POST /models/{name}/invocations, or start the server with --default-model", len(models))
}

// appendPredictions writes {"predictions": …}: numbers, or lists where the model has several outputs.
func appendPredictions(b []byte, s modelruntime.Signature, x *matrix) []byte {
	b = append(b, `{"predictions":[`...)
	width := len(s.Outputs)
	for i, v := range x.outputs {
		if i > 0 {
			b = append(b, ',')
		}
		if width > 1 && i%width == 0 {
			b = append(b, '[')
		}
		b = appendNumber(b, v)
		if width > 1 && i%width == width-1 {
			b = append(b, ']')
		}
	}
	return append(b, `]}`...)
}
