package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
)

// maxFlags bounds the flags of one request.
const maxFlags = 100

// getPredictions answers the newest predictions of an entity for several flags, or without flags all there are.
func (a *API) getPredictions(w *response, r *http.Request) error {
	rel, entity, spec, err := a.predictionsOf(r)
	if err != nil {
		return err
	}
	defer rel.Unpin()
	q, err := parseQuery(r, "flags", "after", "wait")
	if err != nil {
		return err
	}
	until, err := q.barrier()
	if err != nil {
		return err
	}
	wanted, unknown, err := resolveFlags(rel, entity.Kind, q)
	if err != nil {
		return err
	}
	stale, err := a.awaitAll(r.Context(), until, entity, wanted)
	if err != nil {
		return err
	}
	stored, err := a.deps.Predictions.List(r.Context(), entity)
	if err != nil {
		return err
	}
	withdrawn := a.deps.Live.Set().Roles().Withdrawn
	out := a.buffer()
	defer a.returnBuffer(out)
	b := append((*out)[:0], `{"predictions":{`...)
	n := 0
	for i, flag := range wanted {
		at := slices.IndexFunc(stored, func(p freshet.Prediction) bool { return p.Pipeline == flag.pipeline })
		if at < 0 || withdrawn[stored[at].Release] {
			asked := release.Request{Pipeline: flag.pipeline, Entity: entity}
			var p freshet.Prediction
			if at < 0 {
				p, err = a.deps.Predictor.Fallback(r.Context(), rel, asked)
			} else {
				p, err = a.again(r.Context(), rel, stored[at], asked)
			}
			if freshet.CodeOf(err) == freshet.NotFound {
				continue // nothing to say
			}
			if err != nil {
				return err
			}
			stored, at = append(stored, p), len(stored)
		}
		if n++; n > 1 {
			b = append(b, ',')
		}
		b = appendText(b, flag.name)
		b = append(b, ':')
		b = appendPrediction(b, &stored[at], spec, marks{stale: stale[i]})
	}
	b = append(b, `},"unknown":[`...)
	for i, name := range unknown {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, name)
	}
	b = append(b, ']')
	if slices.Contains(stale, true) {
		b = append(b, `,"stale":true`...)
	}
	*out = append(b, '}')
	w.tagged(r, *out)
	return nil
}

// getPrediction answers the newest prediction of an entity for one pipeline.
func (a *API) getPrediction(w *response, r *http.Request) error {
	rel, entity, spec, err := a.predictionsOf(r)
	if err != nil {
		return err
	}
	defer rel.Unpin()
	q, err := parseQuery(r, "explain", "after", "wait")
	if err != nil {
		return err
	}
	explain, err := q.flag("explain")
	if err != nil {
		return err
	}
	until, err := q.barrier()
	if err != nil {
		return err
	}
	pipeline, err := pipelineOf(rel, freshet.PipelineName(r.PathValue("pipeline")))
	if err != nil {
		return err
	}
	if pipeline.Entity != entity.Kind {
		return freshet.FieldErrorf(freshet.NotFound, "pipeline", "pipeline %s predicts for %s, not for %s", pipeline.Name, pipeline.Entity, entity.Kind)
	}
	stale, err := a.awaitAll(r.Context(), until, entity, []flag{{pipeline: pipeline.Name}})
	if err != nil {
		return err
	}
	get := a.deps.Predictions.Get
	if explain {
		get = a.deps.Predictions.GetExplained
	}
	p, err := get(r.Context(), entity, pipeline.Name)
	switch asked := (release.Request{Pipeline: pipeline.Name, Entity: entity, Explain: explain}); {
	case freshet.CodeOf(err) == freshet.NotFound:
		p, err = a.deps.Predictor.Fallback(r.Context(), rel, asked)
	case err == nil && a.deps.Live.Set().Roles().Withdrawn[p.Release]:
		p, err = a.again(r.Context(), rel, p, asked)
	}
	if err != nil {
		return err
	}
	out := a.buffer()
	defer a.returnBuffer(out)
	*out = appendPrediction((*out)[:0], &p, spec, marks{stale: stale[0], explain: explain})
	w.tagged(r, *out)
	return nil
}

// again is what serves in the place of a prediction whose release was taken back.
func (a *API) again(ctx context.Context, rel *release.Opened, was freshet.Prediction, asked release.Request) (freshet.Prediction, error) {
	p, err := a.deps.Predictor.Again(ctx, rel, was)
	if err != nil && ctx.Err() == nil {
		return a.deps.Predictor.Fallback(ctx, rel, asked) // it is as if nothing were stored
	}
	return p, err
}

// predictionsOf finds whose predictions r asks for, and the release that serves them: unpin it.
func (a *API) predictionsOf(r *http.Request) (rel *release.Opened, entity freshet.Entity, spec feature.EntitySpec, err error) {
	rel, err = a.serving(func(rel *release.Opened) (freshet.Key, error) {
		var err error
		if entity, spec, err = pathEntity(rel, r); err != nil {
			return "", err
		}
		if name := r.PathValue("pipeline"); name != "" {
			_, err = pipelineOf(rel, freshet.PipelineName(name))
		}
		return entity.Key, err
	})
	return rel, entity, spec, err
}

func pipelineOf(rel *release.Opened, name freshet.PipelineName) (*release.Pipeline, error) {
	p, ok := rel.Pipeline(name)
	if ok {
		return p, nil
	}
	var names []string
	for _, p := range rel.Pipelines() {
		names = append(names, string(p.Name))
	}
	return nil, freshet.FieldErrorf(freshet.NotFound, "pipeline", "there is no pipeline %.64q%s", name,
		expression.Hint(clip(string(name), 64), names))
}

// flag is a name that an app asks by, and the pipeline that it stands for.
type flag struct {
	name     string
	pipeline freshet.PipelineName
}

// resolveFlags finds the pipelines of the flags asked for: a pipeline's name goes before a flag of another one. Those that
// stand for nothing, for entities of this kind, are unknown. Without flags all pipelines of the kind are wanted.
func resolveFlags(rel *release.Opened, kind freshet.EntityKind, q query) (wanted []flag, unknown []string, err error) {
	var pipelines []*release.Pipeline
	for _, p := range rel.Pipelines() {
		if p.Entity == kind {
			pipelines = append(pipelines, p)
		}
	}
	text, given := q["flags"]
	if !given {
		for _, p := range pipelines {
			wanted = append(wanted, flag{string(p.Name), p.Name})
		}
		return wanted, nil, nil
	}
	names := strings.Split(text, ",")
	if len(names) > maxFlags {
		return nil, nil, invalid("flags", "%d flags; expected at most %d", len(names), maxFlags)
	}
	for _, name := range names {
		switch {
		case name == "":
			return nil, nil, invalid("flags", "a name is empty; expected names joined by commas")
		case slices.ContainsFunc(wanted, func(f flag) bool { return f.name == name }), slices.Contains(unknown, name):
			continue // asked for twice
		}
		if p, ok := byFlag(pipelines, name); ok {
			wanted = append(wanted, flag{name, p.Name})
		} else {
			unknown = append(unknown, name)
		}
	}
	return wanted, unknown, nil
}

func byFlag(pipelines []*release.Pipeline, name string) (*release.Pipeline, bool) {
	i := slices.IndexFunc(pipelines, func(p *release.Pipeline) bool { return string(p.Name) == name })
	if i < 0 {
		i = slices.IndexFunc(pipelines, func(p *release.Pipeline) bool { return slices.Contains(p.Flags, name) })
	}
	if i < 0 {
		return nil, false
	}
	return pipelines[i], true
}

// awaitAll waits for the jobs of all wanted pipelines under one time limit, and tells for each whether it is stale.
func (a *API) awaitAll(ctx context.Context, until barrier, entity freshet.Entity, wanted []flag) (stale []bool, err error) {
	stale = make([]bool, len(wanted))
	if !until.given {
		return stale, nil
	}
	waiting, cancel := a.waiting(ctx, until)
	defer cancel()
	for i, flag := range wanted { // one after the other: the answer needs all
		if stale[i], err = a.awaitJobs(ctx, waiting, until, jobqueue.Subject{Pipeline: flag.pipeline, Entity: entity}); err != nil {
			return nil, err
		}
	}
	return stale, nil
}
