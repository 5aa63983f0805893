package api

import (
	"mime"
	"net/http"
	"strconv"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/modelruntime"
)

// modelError is what the runtime of SageMaker calls an error of the model behind an endpoint.
var modelError = sageMakerError{http.StatusFailedDependency, "ModelError"}

// sageMakerModel makes a route's function of one for an endpoint: there is no 404 in this API.
func (a *API) sageMakerModel(handle func(*response, *http.Request) error) func(*response, *http.Request) error {
	return a.sageMaker(func(w *response, r *http.Request) error {
		err := handle(w, r)
		if freshet.CodeOf(err) == freshet.NotFound {
			return freshet.Errorf(freshet.InvalidArgument, "%w", err)
		}
		return err
	})
}

// postEndpoint answers InvokeEndpoint: an endpoint is a model of the live release, whose name is the production variant.
func (a *API) postEndpoint(w *response, r *http.Request) error {
	rel, err := a.live()
	if err != nil {
		return err
	}
	defer rel.Unpin()
	m, err := endpointOf(rel, r)
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
	err = readEndpoint(r.Header, sent.buf, m.Signature(), x, a.o.MaxDepth)
	if err == nil {
		if err = a.score(r.Context(), m, x, maxModelTime); err != nil {
			err = refusedBySignature(err)
		}
	}
	if err != nil {
		a.failModel(w, r, err)
		return nil
	}
	w.Header()["X-Amzn-Invoked-Production-Variant"] = []string{string(rel.ID())}
	out := a.buffer()
	defer a.returnBuffer(out)
	if r.Header.Get("Accept") == "text/csv" {
		*out = appendCSV((*out)[:0], m.Signature(), x)
		w.send(http.StatusOK, "text/csv; charset=utf-8", *out)
		return nil
	}
	*out = appendPredictions((*out)[:0], m.Signature(), x)
	w.json(http.StatusOK, *out)
	return nil
}

// endpointOf finds the model of an endpoint, and refuses to be asked for another one than it would give.
func endpointOf(rel *release.Opened, r *http.Request) (*release.Model, error) {
	if variant := r.Header.Get("X-Amzn-Sagemaker-Target-Variant"); variant != "" && variant != string(rel.ID()) {
		return nil, invalid("TargetVariant", "there is no variant %.64q; release %s is live", variant, rel.ID())
	}
	for _, header := range []string{"Target-Model", "Target-Container-Hostname", "Inference-Component"} {
		if r.Header.Get("X-Amzn-Sagemaker-"+header) != "" {
			return nil, invalid(header, "an endpoint here is one model; leave X-Amzn-SageMaker-%s out", header)
		}
	}
	m, err := modelOf(rel, r.PathValue("name"), "")
	if freshet.CodeOf(err) == freshet.NotFound {
		return nil, freshet.FieldErrorf("", "EndpointName", "Endpoint %.64s not found: %w", r.PathValue("name"), err)
	}
	return m, err
}

// readEndpoint reads a payload by its content type; without one, which SDKs send, its first character tells.
func readEndpoint(h http.Header, text []byte, s modelruntime.Signature, x *matrix, maxDepth int) error {
	sent := h.Get("Content-Type")
	t, _, err := mime.ParseMediaType(sent)
	switch {
	case err == nil && t == "application/json", sent == "" && isJSON(text):
		return readMLflowJSON(text, s, x, maxDepth)
	case err == nil && t == "text/csv", sent == "":
		return readModelCSV(text, s, x, false)
	}
	return &unreadType{freshet.Errorf(freshet.Unsupported, "content type %.64q is not read; expected text/csv or application/json", sent)}
}

// failModel answers what the model behind an endpoint refuses, with what a container would have answered inside.
func (a *API) failModel(w *response, r *http.Request, err error) {
	v := a.judge(w, r, err)
	if w.status != 0 {
		return
	}
	if v.shut || v.code == freshet.Unavailable || v.code == freshet.DeadlineExceeded || v.code == freshet.ResourceExhausted {
		a.failSageMaker(w, r, err)
		return
	}
	inner := appendMLflowError(nil, err, v)
	h := w.Header()
	h.Set("X-Amzn-Errortype", modelError.name)
	b := append([]byte(`{"__type":"ModelError","Message":`), appendText(nil, clip("Received client or server error ("+strconv.Itoa(v.status)+") from the model: "+v.detail, maxDetail))...)
	b = strconv.AppendInt(append(b, `,"OriginalStatusCode":`...), int64(v.status), 10)
	b = appendText(append(b, `,"OriginalMessage":`...), string(inner))
	w.json(modelError.status, append(appendText(append(b, `,"LogStreamArn":`...), ""), '}'))
}

// appendCSV writes one line a row, without a header.
func appendCSV(b []byte, s modelruntime.Signature, x *matrix) []byte {
	width := len(s.Outputs)
	for i, v := range x.outputs {
		b = appendNumber(b, v)
		if i%width == width-1 {
			b = append(b, '\n')
		} else {
			b = append(b, ',')
		}
	}
	return b
}
