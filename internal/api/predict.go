package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/release"
)

// maxCandidates bounds the candidates that one request may give, and the items it may ask for.
const maxCandidates = 10_000

// predictRequest is the body of POST /v1/predict/{pipeline}.
type predictRequest struct {
	Entity     keyFields                  `json:"entity"`
	Context    map[string]json.RawMessage `json:"context"`
	Candidates []json.RawMessage          `json:"candidates"` // ids, or rows of the candidates table
	Top        *int                       `json:"top"`
	Store      bool                       `json:"store"`
}

// postPredict computes a prediction now.
func (a *API) postPredict(w *response, r *http.Request) error {
	q, err := parseQuery(r, "explain")
	if err != nil {
		return err
	}
	explain, err := q.flag("explain")
	if err != nil {
		return err
	}
	var asked predictRequest
	if err := a.readJSON(w, r, &asked); err != nil {
		return err
	}
	rel, pipeline, spec, err := a.predictorOf(freshet.PipelineName(r.PathValue("pipeline")), asked.Entity)
	if err != nil {
		return err
	}
	defer rel.Unpin()
	req, err := asked.request(pipeline, spec)
	if err != nil {
		return err
	}
	req.Explain = explain
	p, err := a.deps.Predictor.Predict(r.Context(), rel, req)
	if err != nil {
		return err
	}
	m := marks{explain: explain}
	if asked.Store {
		stored, err := a.deps.Predictions.Put(r.Context(), p)
		if err != nil {
			return err
		}
		m.stored = &stored
	}
	a.answerPrediction(w, &p, spec, m)
	return nil
}

// predictorOf pins the release that predicts for the entity.
func (a *API) predictorOf(name freshet.PipelineName, entity keyFields) (rel *release.Opened, p *release.Pipeline, spec feature.EntitySpec, err error) {
	rel, err = a.serving(func(rel *release.Opened) (freshet.Key, error) {
		var err error
		if p, spec, err = pipelineAndEntity(rel, name); err != nil {
			return "", err
		}
		key, _ := entity.key(spec) // a bad one is told when the request is checked
		return key, nil
	})
	return rel, p, spec, err
}

func pipelineAndEntity(rel *release.Opened, name freshet.PipelineName) (*release.Pipeline, feature.EntitySpec, error) {
	p, err := pipelineOf(rel, name)
	if err != nil {
		return nil, feature.EntitySpec{}, err
	}
	spec, err := entitySpec(rel, p.Entity)
	return p, spec, err
}

// request checks what was asked and puts it into the predictor's words.
func (p *predictRequest) request(pipeline *release.Pipeline, spec feature.EntitySpec) (release.Request, error) {
	req := release.Request{Pipeline: pipeline.Name}
	if p.Entity == nil {
		return req, invalid("entity", "missing; expected an object with %s", strings.Join(spec.KeyFields, ", "))
	}
	for field := range p.Entity {
		if !slices.Contains(spec.KeyFields, field) {
			return req, invalid(clip(field, 64), "no key field of entity %s; expected %s", spec.Kind, strings.Join(spec.KeyFields, ", "))
		}
	}
	key, err := p.Entity.key(spec)
	if err != nil {
		return req, err
	}
	req.Entity = freshet.Entity{Kind: spec.Kind, Key: key}
	if req.Context, err = release.ParseContext(p.Context); err != nil {
		return req, err
	}
	if p.Top != nil {
		if *p.Top < 1 || *p.Top > maxCandidates {
			return req, invalid("top", "%d: expected a whole number from 1 to %d", *p.Top, maxCandidates)
		}
		req.Top = *p.Top
	}
	req.Candidates, err = p.candidates(pipeline)
	return req, err
}

func (p *predictRequest) candidates(pipeline *release.Pipeline) ([]release.Candidate, error) {
	switch {
	case p.Candidates == nil:
		return nil, nil
	case pipeline.Pipeline.Candidates == "":
		return nil, invalid("candidates", "pipeline %s ranks nothing: it has no candidates table", pipeline.Name)
	case len(p.Candidates) > maxCandidates:
		return nil, freshet.FieldErrorf(freshet.TooLarge, "candidates", "candidates: %d of them; expected at most %d", len(p.Candidates), maxCandidates)
	}
	candidates := make([]release.Candidate, len(p.Candidates)) // an empty list asks for nothing to be ranked, not for all
	for i, raw := range p.Candidates {
		if raw[0] == '{' {
			candidates[i].Row = raw
			continue
		}
		v, err := keyValue("candidates", raw)
		if err != nil {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, "candidates", "candidates[%d]: %.64q: expected an id, or an object with the columns of a row", i, raw)
		}
		candidates[i].Key = freshet.Key(v)
	}
	return candidates, nil
}
