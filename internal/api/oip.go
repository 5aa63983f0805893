package api

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
)

// The OIP door speaks the Open Inference Protocol v2 over HTTP, with its extensions for binary tensors and model
// repositories, as KServe's, Triton's and MLServer's clients do. Its models are those of the live release.

// oip makes a route's function of one that answers errors as the protocol has them.
func (a *API) oip(handle func(*response, *http.Request) error) func(*response, *http.Request) error {
	return func(w *response, r *http.Request) error {
		if err := handle(w, r); err != nil {
			a.failOIP(w, r, err)
		}
		return nil
	}
}

// failOIP answers {"error": text}. A precondition that fails is a bad request: the protocol knows no other status for it.
func (a *API) failOIP(w *response, r *http.Request, err error) {
	v := a.judge(w, r, err)
	if w.status != 0 {
		return
	}
	if v.status == http.StatusConflict || v.status == http.StatusPreconditionFailed {
		v.status = http.StatusBadRequest
	}
	b := appendText([]byte(`{"error":`), clip(v.detail, maxDetail))
	w.json(v.status, append(b, '}'))
}

// getOIPServer tells what the server is.
func (a *API) getOIPServer(w *response, _ *http.Request) error {
	b := appendText([]byte(`{"name":"freshet","version":`), a.deps.Version)
	w.json(http.StatusOK, append(b, `,"extensions":["binary_tensor_data","model_repository","parameters"]}`...))
	return nil
}

func (a *API) getOIPLive(w *response, _ *http.Request) error {
	w.json(http.StatusOK, []byte(`{"live":true}`))
	return nil
}

func (a *API) getOIPReady(w *response, _ *http.Request) error {
	if a.deps.Live.Load() == nil || len(a.reasons()) > 0 {
		w.json(http.StatusServiceUnavailable, []byte(`{"ready":false}`))
		return nil
	}
	w.json(http.StatusOK, []byte(`{"ready":true}`))
	return nil
}

// getOIPModelReady answers for one model: it is loaded as long as its release is live.
func (a *API) getOIPModelReady(w *response, r *http.Request) error {
	rel, m, err := a.oipModel(r)
	if err != nil {
		return err
	}
	defer rel.Unpin()
	ready := a.draining.Err() == nil
	b := appendText([]byte(`{"name":`), m.Name)
	if !ready {
		w.json(http.StatusServiceUnavailable, append(b, `,"ready":false}`...))
		return nil
	}
	w.json(http.StatusOK, append(b, `,"ready":true}`...))
	return nil
}

// oipModel finds the model that a path names, and the release that it is of: unpin it.
func (a *API) oipModel(r *http.Request) (*release.Opened, *release.Model, error) {
	rel, err := a.live()
	if err != nil {
		return nil, nil, err
	}
	m, err := modelOf(rel, r.PathValue("name"), r.PathValue("version"))
	if err != nil {
		rel.Unpin()
		return nil, nil, err
	}
	return rel, m, nil
}

// getOIPModel tells what a model takes and gives: one FP64 input for each column of its signature.
func (a *API) getOIPModel(w *response, r *http.Request) error {
	rel, m, err := a.oipModel(r)
	if err != nil {
		return err
	}
	defer rel.Unpin()
	s := m.Signature()
	b := appendText([]byte(`{"name":`), m.Name)
	b = append(appendText(append(b, `,"versions":[`...), versionOf(m)), `],"platform":"freshet","inputs":[`...)
	for i, c := range s.Inputs {
		b = appendTensor(comma(b, i), c.Name)
	}
	b = append(b, `],"outputs":[`...)
	for i, name := range s.Outputs {
		b = appendTensor(comma(b, i), name)
	}
	b = append(appendText(append(b, `],"parameters":{"release":`...), rel.ID()), `}}`...)
	w.json(http.StatusOK, b)
	return nil
}

func appendTensor(b []byte, name string) []byte {
	return append(appendText(append(b, `{"name":`...), name), `,"datatype":"FP64","shape":[-1]}`...)
}

// postOIPIndex lists the models that can be asked. The body may be empty.
func (a *API) postOIPIndex(w *response, r *http.Request) error {
	var asked struct {
		Ready bool `json:"ready"` // all that is listed is ready
	}
	if err := a.readOIPOptional(w, r, &asked); err != nil {
		return err
	}
	b := []byte(`[`)
	if rel := a.deps.Live.Pin(); rel != nil {
		defer rel.Unpin()
		for i, m := range rel.Models() {
			b = appendText(append(comma(b, i), `{"name":`...), m.Name)
			b = append(appendText(append(b, `,"version":`...), versionOf(m)), `,"state":"READY","reason":""}`...)
		}
	}
	w.json(http.StatusOK, append(b, ']'))
	return nil
}

// readOIPOptional reads a body that may be empty.
func (a *API) readOIPOptional(w *response, r *http.Request, v any) error {
	sent, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	defer a.returnBody(sent)
	if len(bytes.TrimLeft(sent.buf, spaces)) == 0 {
		return nil
	}
	return a.decodeForeign(sent.buf, v)
}

// oipLoad is the body of load and unload.
type oipLoad struct {
	Parameters map[string]any `json:"parameters"`
}

// postOIPLoad answers load and unload. Models come and go with releases, so a model that the live release has can be neither
// loaded anew nor unloaded, and files are never taken from here.
func (a *API) postOIPLoad(w *response, r *http.Request) error {
	var asked oipLoad
	if err := a.readOIPOptional(w, r, &asked); err != nil {
		return err
	}
	for name := range asked.Parameters {
		if name == "config" || strings.HasPrefix(name, "file:") {
			return invalid(clip(name, 64), "files and configurations are not taken here; publish a model version instead")
		}
	}
	rel, m, err := a.oipModel(r)
	if err != nil {
		return err
	}
	defer rel.Unpin()
	return freshet.FieldErrorf(freshet.PreconditionFailed, "model", "model %s is pinned by the live release: it is loaded as long as that is live; deploy another release to change it", m.Name)
}
