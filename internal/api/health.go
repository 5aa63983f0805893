package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/freshet-ml/freshet"
)

// getHealth answers that the process lives.
func (a *API) getHealth(w *response, _ *http.Request) error {
	w.json(http.StatusOK, []byte(`{"status":"ok"}`))
	return nil
}

// getReady answers whether the server serves, and if not, why.
func (a *API) getReady(w *response, _ *http.Request) error {
	if reasons := a.reasons(); len(reasons) > 0 {
		return freshet.Errorf(freshet.Unavailable, "not ready: %s", strings.Join(reasons, "; "))
	}
	return w.value(http.StatusOK, struct {
		Status   string   `json:"status"`
		Degraded []string `json:"degraded,omitempty"` // what does not work all the same
	}{"ready", a.deps.Ready.Degraded()})
}

// reasons are why the server does not serve; empty if it does.
func (a *API) reasons() []string {
	reasons := append([]string{}, a.deps.Ready.Ready()...)
	if a.draining.Err() != nil {
		reasons = append(reasons, "the server is going down")
	}
	return reasons
}

func (a *API) getMetrics(w *response, r *http.Request) error {
	a.scrape.ServeHTTP(w, r)
	return nil
}

// getHome is for somebody who looks at the port with a browser or curl.
func (a *API) getHome(w *response, _ *http.Request) error {
	project, id := "none", "none"
	if rel := a.deps.Live.Load(); rel != nil {
		project, id = rel.Project().Name, string(rel.ID())
	}
	w.send(http.StatusOK, "text/plain; charset=utf-8", fmt.Appendf(nil, `Freshet %s
project %s, release %s

POST /v1/events                            send events
GET  /v1/features/{view}?user_id=…         features of one entity
POST /v1/features                          features of many
GET  /v1/users/{user}/predictions          predictions that were stored
POST /v1/predict/{pipeline}                a prediction now
GET  /v1/status  /v1/streams               how the server does
GET  /v1/dead-letters                      jobs that failed
POST /get-online-features  /push           for Feast's clients
GET  /FeatureGroup/{name}                  for SageMaker's
POST /v2/models/{model}/infer              models, by the Open Inference Protocol
POST /invocations                          for MLflow's clients
POST /endpoints/{model}/invocations        for SageMaker's
GET  /healthz  /readyz  /metrics           for machines
GET  /openapi.yaml                         all of it, in full
`, a.deps.Version, project, id))
	return nil
}
