package api

import (
	"net/http"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/registry"
)

// postModelMetrics keeps what was measured of a version beside it: the version itself never changes.
func (a *API) postModelMetrics(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	var asked struct {
		Metrics map[string]float64 `json:"metrics"`
		Source  string             `json:"source"`
		Reason  string             `json:"reason"`
	}
	if err := a.readJSON(w, r, &asked); err != nil {
		return err
	}
	_, v, err := a.modelVersion(r)
	if err != nil {
		return err
	}
	e := registry.Evaluation{Model: v.Model, Version: v.Number, Metrics: asked.Metrics, Source: asked.Source}
	m, err := a.deps.Versions.AddMetrics(r.Context(), e, actorOf(r), asked.Reason)
	if err != nil {
		return err
	}
	return w.value(http.StatusCreated, shownVersion(m, v, a.deps.Live.Load()))
}

// getModelArtifact gives the files of a version as a tar, whose bytes are verified before the first is sent.
func (a *API) getModelArtifact(w *response, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	_, v, err := a.modelVersion(r)
	if err != nil {
		return err
	}
	select {
	case a.uploads <- struct{}{}:
		defer func() { <-a.uploads }()
	default:
		return freshet.Errorf(freshet.ResourceExhausted, "%d artifacts are on their way already; try again", maxUploads)
	}
	artifact, err := a.deps.Versions.Open(r.Context(), v)
	if err != nil {
		return err
	}
	defer artifact.Close()
	w.Header()["Content-Type"] = []string{"application/x-tar"}
	w.WriteHeader(http.StatusOK)
	if err := modelregistry.WriteTar(w, artifact); err != nil {
		panic(http.ErrAbortHandler) // the answer has begun: that it ends early must be seen
	}
	return nil
}
