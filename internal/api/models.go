package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/registry"
)

// getModels lists all models with their newest versions.
func (a *API) getModels(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	state, revision, err := a.deps.Versions.Now(r.Context())
	if err != nil {
		return err
	}
	rel := a.deps.Live.Load()
	answer := struct {
		Models   []modelSummary    `json:"models"`
		Revision registry.Revision `json:"revision"`
	}{Models: []modelSummary{}, Revision: revision}
	for _, m := range state.All() {
		answer.Models = append(answer.Models, summaryOf(m, rel))
	}
	return w.value(http.StatusOK, answer)
}

// getModel shows a model with all its versions and the history of its aliases.
func (a *API) getModel(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	m, revision, err := a.model(r)
	if err != nil {
		return err
	}
	detail, err := a.detailOf(r.Context(), m, revision)
	if err != nil {
		return err
	}
	return w.value(http.StatusOK, detail)
}

// getModelVersion shows one version, by number or alias.
func (a *API) getModelVersion(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	m, v, err := a.modelVersion(r)
	if err != nil {
		return err
	}
	shown, err := a.versionOf(r.Context(), m, v, a.deps.Live.Load())
	if err != nil {
		return err
	}
	return w.value(http.StatusOK, shown)
}

// modelVersion is the version that a path names, by number or alias.
func (a *API) modelVersion(r *http.Request) (*registry.Model, registry.ModelVersion, error) {
	m, _, err := a.model(r)
	if err != nil {
		return nil, registry.ModelVersion{}, err
	}
	asked := r.PathValue("version")
	number, ok := m.Aliases[asked]
	if !ok {
		if number, err = strconv.Atoi(asked); err != nil {
			return nil, registry.ModelVersion{}, freshet.FieldErrorf(freshet.NotFound, "version", "version: model %s has no alias %.80q; expected a version number or an alias", m.Name, asked)
		}
	}
	v, ok := m.Version(number)
	if !ok {
		return nil, v, freshet.FieldErrorf(freshet.NotFound, "version", "version: model %s has no version %d; it has %d", m.Name, number, len(m.Versions))
	}
	return m, v, nil
}

func (a *API) model(r *http.Request) (*registry.Model, registry.Revision, error) {
	name := freshet.ModelName(r.PathValue("name"))
	state, revision, err := a.deps.Versions.Now(r.Context())
	if err != nil {
		return nil, 0, err
	}
	m := state.Model(name)
	if m == nil {
		return nil, 0, freshet.FieldErrorf(freshet.NotFound, "name", "name: there is no model %.80q; GET /v1/models lists all", string(name))
	}
	return m, revision, nil
}

// putAlias moves an alias to a version.
func (a *API) putAlias(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	var asked struct {
		Version int    `json:"version"`
		Reason  string `json:"reason"`
	}
	if err := a.readJSON(w, r, &asked); err != nil {
		return err
	}
	if asked.Version < 1 {
		return invalid("version", "%d: expected the number of a version, from 1; DELETE removes an alias", asked.Version)
	}
	return a.moveAlias(w, r, asked.Version, asked.Reason)
}

// deleteAlias removes an alias.
func (a *API) deleteAlias(w *response, r *http.Request) error {
	q, err := parseQuery(r, "reason")
	if err != nil {
		return err
	}
	return a.moveAlias(w, r, 0, q["reason"])
}

func (a *API) moveAlias(w *response, r *http.Request, version int, reason string) error {
	expected, err := ifMatch(r)
	if err != nil {
		return err
	}
	change := registry.AliasChange{Model: freshet.ModelName(r.PathValue("name")), Alias: r.PathValue("alias"), Version: version}
	if _, err := a.deps.Versions.SetAlias(r.Context(), expected, change, actorOf(r), reason); err != nil {
		return err
	}
	return a.getModel(w, withoutQuery(r))
}

func withoutQuery(r *http.Request) *http.Request {
	plain := r.Clone(r.Context())
	plain.URL.RawQuery = ""
	return plain
}

// ifMatch is the revision that a decision was made at: the header If-Match, quoted or not; 0 if none is given.
func ifMatch(r *http.Request) (registry.Revision, error) {
	sent := r.Header.Get("If-Match")
	if sent == "" || sent == "*" {
		return 0, nil
	}
	n, err := strconv.ParseUint(strings.Trim(sent, `"`), 10, 64)
	if err != nil || n == 0 {
		return 0, invalid("If-Match", "%.64q: expected a revision of the log of decisions, such as \"12\"", sent)
	}
	return registry.Revision(n), nil
}

// actorHeader says who decides: while there are no keys, whatever name the client gives.
const actorHeader = "Freshet-Actor"

// actorOf is who a decision is put down to.
func actorOf(r *http.Request) string {
	if name := strings.TrimSpace(r.Header.Get(actorHeader)); name != "" {
		return name
	}
	return "anonymous"
}
