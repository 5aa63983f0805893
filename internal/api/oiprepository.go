package api

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// postOIPIndex lists the models that can be asked: those of the live release, and the versions that are loaded beside them. The
// body may be empty.
func (a *API) postOIPIndex(w *response, r *http.Request) error {
	var asked struct {
		Ready bool `json:"ready"`
	}
	if err := a.readOIPOptional(w, r, &asked); err != nil {
		return err
	}
	b, n := []byte(`[`), 0
	if rel := a.deps.Live.Pin(); rel != nil {
		defer rel.Unpin()
		for _, m := range rel.Models() {
			b = appendIndexed(comma(b, n), m.Name, versionOf(m), "READY")
			n++
		}
	}
	for _, v := range a.deps.Loaded.List() {
		state := "READY"
		if !v.Ready {
			state = "LOADING"
		}
		if v.Ready || !asked.Ready {
			b = appendIndexed(comma(b, n), v.Model, strconv.Itoa(v.Version), state)
			n++
		}
	}
	w.json(http.StatusOK, append(b, ']'))
	return nil
}

func appendIndexed(b []byte, name freshet.ModelName, version, state string) []byte {
	b = appendText(append(b, `{"name":`...), name)
	b = appendText(append(b, `,"version":`...), version)
	return append(append(append(b, `,"state":"`...), state...), `","reason":""}`...)
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

// postOIPLoad loads a version of a model before it is asked for: the parameter version says which, otherwise it is the newest one.
func (a *API) postOIPLoad(w *response, r *http.Request) error {
	name, number, err := a.oipLoadable(w, r)
	if err != nil {
		return err
	}
	if number == 0 {
		if number, err = a.newest(r.Context(), name); err != nil {
			return err
		}
	}
	loaded, err := a.deps.Loaded.Pin(r.Context(), name, number)
	if err != nil {
		return err
	}
	loaded.Unpin()
	w.json(http.StatusOK, []byte(`{}`))
	return nil
}

// postOIPUnload frees a version that was loaded, or all of a model. It is no error if none was.
func (a *API) postOIPUnload(w *response, r *http.Request) error {
	name, number, err := a.oipLoadable(w, r)
	if err != nil {
		return err
	}
	if _, err := a.newest(r.Context(), name); err != nil {
		return err
	}
	a.deps.Loaded.Unload(name, number)
	w.json(http.StatusOK, []byte(`{}`))
	return nil
}

// oipLoadable reads what load and unload ask for; number is 0 if they do not say which version. What the live release has comes and goes
// with it, and files are never taken from here.
func (a *API) oipLoadable(w *response, r *http.Request) (name freshet.ModelName, number int, err error) {
	var asked struct {
		Parameters map[string]any `json:"parameters"`
	}
	if err := a.readOIPOptional(w, r, &asked); err != nil {
		return "", 0, err
	}
	for name := range asked.Parameters {
		if name == "config" || strings.HasPrefix(name, "file:") {
			return "", 0, invalid(clip(name, 64), "files and configurations are not taken here; publish a model version instead")
		}
	}
	name = freshet.ModelName(r.PathValue("name"))
	version, said := asked.Parameters["version"].(string)
	if said {
		if number, err = numberOf(string(name), version); err != nil {
			return "", 0, err
		}
	}
	rel, err := a.live()
	if err != nil {
		return "", 0, err
	}
	defer rel.Unpin()
	if m, ok := rel.Model(name); ok && (!said || m.Version == number) {
		return "", 0, freshet.FieldErrorf(freshet.PreconditionFailed, "model", "model %s is pinned by the live release: it is loaded as long as that is live; deploy another release to change it, or name another version", m.Label())
	}
	return name, number, nil
}

// newest is the number of the newest version of a model.
func (a *API) newest(ctx context.Context, name freshet.ModelName) (int, error) {
	state, _, err := a.deps.Versions.Now(ctx)
	if err != nil {
		return 0, err
	}
	m := state.Model(name)
	if m == nil {
		var names []string
		for _, m := range state.All() {
			names = append(names, string(m.Name))
		}
		return 0, freshet.FieldErrorf(freshet.NotFound, "model", "there is no model %.64q%s", string(name), expression.Hint(clip(string(name), 64), names))
	}
	return len(m.Versions), nil
}
