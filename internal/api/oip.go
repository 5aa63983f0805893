package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/ondemand"
	"github.com/freshet-ml/freshet/internal/release"
)

// The OIP door speaks the Open Inference Protocol v2 over HTTP, with its extensions for binary tensors and model
// repositories, as KServe's, Triton's and MLServer's clients do. Its models are those of the live release, and any other version that is
// asked for by its number, which is loaded for that.

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

// getOIPModelReady answers for one model: it is loaded as long as its release is live, and another version when it is asked for.
func (a *API) getOIPModelReady(w *response, r *http.Request) error {
	m, err := a.oipModel(r)
	if err != nil {
		return err
	}
	defer m.unpin()
	ready := a.draining.Err() == nil
	b := appendText([]byte(`{"name":`), m.Name)
	if !ready {
		w.json(http.StatusServiceUnavailable, append(b, `,"ready":false}`...))
		return nil
	}
	w.json(http.StatusOK, append(b, `,"ready":true}`...))
	return nil
}

// oipAsked is a model that a path names, and what it is of: unpin it.
type oipAsked struct {
	*release.Model
	release *release.Opened // nil: it is a version that was loaded because it was asked for
	loaded  ondemand.Pinned
}

func (m *oipAsked) unpin() {
	if m.release != nil {
		m.release.Unpin()
		return
	}
	m.loaded.Unpin()
}

// appendParameters says where the answer comes from: the release, or the digest of a version that is in none that is live.
func (m *oipAsked) appendParameters(b []byte) []byte {
	if m.release != nil {
		return append(appendText(append(b, `"parameters":{"release":`...), m.release.ID()), '}')
	}
	return append(appendText(append(b, `"parameters":{"digest":`...), m.Digest), '}')
}

// oipModel finds the model that a path names.
func (a *API) oipModel(r *http.Request) (oipAsked, error) {
	name, version := r.PathValue("name"), r.PathValue("version")
	rel, err := a.live()
	if err != nil {
		return oipAsked{}, err
	}
	if m, ok := rel.Model(freshet.ModelName(name)); version == "" || ok && versionOf(m) == version {
		m, err := modelOf(rel, name, version)
		if err != nil {
			rel.Unpin()
			return oipAsked{}, a.withVersion(r.Context(), name, err)
		}
		return oipAsked{Model: m, release: rel}, nil
	}
	rel.Unpin()
	number, err := numberOf(name, version)
	if err != nil {
		return oipAsked{}, err
	}
	loaded, err := a.deps.Loaded.Pin(r.Context(), freshet.ModelName(name), number)
	if err != nil {
		return oipAsked{}, err
	}
	if err := takesNumbers(loaded.Model); err != nil {
		loaded.Unpin()
		return oipAsked{}, err
	}
	return oipAsked{Model: loaded.Model, loaded: loaded}, nil
}

// withVersion says of a model that the live release does not have, and the registry has, how it is asked.
func (a *API) withVersion(ctx context.Context, name string, err error) error {
	if freshet.CodeOf(err) != freshet.NotFound {
		return err
	}
	n, lookup := a.newest(ctx, freshet.ModelName(name))
	if lookup != nil {
		return err
	}
	return freshet.FieldErrorf(freshet.NotFound, "model", "there is no model %.64q in the live release; ask a version of the registry: /v2/models/%.64s/versions/%d", name, name, n)
}

// numberOf reads a version that is asked for.
func numberOf(model, version string) (int, error) {
	n, err := strconv.Atoi(version)
	if err != nil || n < 1 {
		return 0, freshet.FieldErrorf(freshet.NotFound, "version", "model %.64s has no version %.64q; expected that of the live release, or the number of one of the registry", model, version)
	}
	return n, nil
}

// getOIPModel tells what a model takes and gives: one FP64 input for each column of its signature.
func (a *API) getOIPModel(w *response, r *http.Request) error {
	m, err := a.oipModel(r)
	if err != nil {
		return err
	}
	defer m.unpin()
	s := m.Signature()
	b := appendText([]byte(`{"name":`), m.Name)
	b = appendText(append(b, `,"versions":[`...), versionOf(m.Model))
	for _, other := range a.deps.Loaded.List() {
		if other.Model == m.Name && other.Version != m.Version && other.Ready {
			b = append(strconv.AppendInt(append(b, `,"`...), int64(other.Version), 10), '"')
		}
	}
	b = append(b, `],"platform":"freshet","inputs":[`...)
	for i, c := range s.Inputs {
		b = appendTensor(comma(b, i), c.Name)
	}
	b = append(b, `],"outputs":[`...)
	for i, name := range s.Outputs {
		b = appendTensor(comma(b, i), name)
	}
	w.json(http.StatusOK, append(m.appendParameters(append(b, `],`...)), '}'))
	return nil
}

func appendTensor(b []byte, name string) []byte {
	return append(appendText(append(b, `{"name":`...), name), `,"datatype":"FP64","shape":[-1]}`...)
}
