package evaluation

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/offlinemetrics"
	"github.com/freshet-ml/freshet/internal/release"
)

// findTargets notes the last target event of each user.
func (e *run) findTargets() error {
	for i := range e.events.list {
		if e.events.list[i].Type != e.o.Target {
			continue
		}
		rec, err := e.events.decode(i)
		if err != nil {
			return err
		}
		if !e.isTarget(rec) {
			continue
		}
		user, _ := rec.Key(e.pipeline.Entity)
		if _, known := e.last[user]; !known {
			user = freshet.Key(strings.Clone(string(user))) // the record's texts change with the next event
		}
		e.last[user] = i
	}
	if len(e.last) == 0 {
		return freshet.FieldErrorf(freshet.Unprocessable, "target", "none of the %d events is a %s that meets the condition: there is nothing to compare with", e.events.Len(), e.o.Target)
	}
	return nil
}

func (e *run) isTarget(rec *feature.Record) bool {
	if rec.Type != e.o.Target {
		return false
	}
	if e.label != nil {
		if _, ok := e.label.Number(rec.Slots()); !ok {
			return false // no label, nothing to compare with
		}
	}
	if e.where == nil {
		return true
	}
	yes, ok := e.where.Bool(rec.Slots())
	return ok && yes
}

// replay goes through the events. Those of one millisecond are asked about before any of them is applied: a prediction sees
// what was before its moment.
func (e *run) replay(ctx context.Context) error {
	list := e.events.list
	for from := 0; from < len(list); {
		through := from
		for through < len(list) && list[through].EventTime == list[from].EventTime {
			through++
		}
		for i := from; i < through; i++ {
			if err := e.ask(ctx, i); err != nil {
				return err
			}
		}
		for i := from; i < through; i++ {
			if err := e.apply(ctx, i); err != nil {
				return err
			}
		}
		if e.o.Progress != nil {
			e.o.Progress(through, len(list))
		}
		from = through
	}
	return nil
}

// ask compares the prediction before event i with it, if it is the target of its user.
func (e *run) ask(ctx context.Context, i int) error {
	if e.events.list[i].Type != e.o.Target {
		return nil
	}
	rec, err := e.events.decode(i)
	if err != nil {
		return err
	}
	user, _ := rec.Key(e.pipeline.Entity)
	if at, ok := e.last[user]; !ok || at != i {
		return nil
	}
	e.past.set(rec.EventTime - 1)
	user = freshet.Key(strings.Clone(string(user)))
	if e.label != nil {
		return e.askScore(ctx, rec, user)
	}
	return e.askRanking(ctx, rec, user)
}

func (e *run) askRanking(ctx context.Context, rec *feature.Record, user freshet.Key) error {
	item, _ := rec.Key(e.candidateKind())
	if _, ok := e.pipeline.Ranked.Find(item); !ok {
		e.report.Unknown++
		return nil
	}
	wanted := []freshet.Key{freshet.Key(strings.Clone(string(item)))}
	prediction, err := e.p.Predict(ctx, e.rel, release.Request{
		Pipeline: e.pipeline.Name, Entity: freshet.Entity{Kind: e.pipeline.Entity, Key: user}, Top: e.pipeline.Ranked.Len(),
	})
	if err != nil {
		return freshet.Errorf("", "%s %q: %w", e.pipeline.Entity, user, err)
	}
	ranked := make([]freshet.Key, 0, len(prediction.Items))
	for _, item := range prediction.Items {
		if !slices.Contains(e.seen[user], item.ID) {
			ranked = append(ranked, item.ID)
		}
	}
	e.note(prediction)
	e.ranking.Add(user, ranked, wanted)
	return nil
}

func (e *run) askScore(ctx context.Context, rec *feature.Record, user freshet.Key) error {
	label, _ := e.label.Number(rec.Slots())
	request := release.Request{Pipeline: e.pipeline.Name, Entity: freshet.Entity{Kind: e.pipeline.Entity, Key: user}, Top: 1}
	if e.pipeline.Ranked != nil {
		item, _ := rec.Key(e.candidateKind())
		if _, ok := e.pipeline.Ranked.Find(item); !ok {
			e.report.Unknown++
			return nil
		}
		request.Candidates = []release.Candidate{{Key: freshet.Key(strings.Clone(string(item)))}}
	}
	prediction, err := e.p.Predict(ctx, e.rel, request)
	if err != nil {
		return freshet.Errorf("", "%s %q: %w", e.pipeline.Entity, user, err)
	}
	if len(prediction.Items) == 0 {
		e.report.Removed++
		return nil
	}
	e.note(prediction)
	e.labels, e.scores = append(e.labels, label), append(e.scores, prediction.Items[0].Score)
	return nil
}

func (e *run) note(p freshet.Prediction) {
	e.report.Model = p.Model
	if p.Fallback {
		e.report.Fallbacks++
	}
}

func (e *run) apply(ctx context.Context, i int) error {
	rec, err := e.events.decode(i)
	if err != nil {
		return err
	}
	if e.o.ExcludeSeen && e.pipeline.Ranked != nil && e.isTarget(rec) {
		user, _ := rec.Key(e.pipeline.Entity)
		item, _ := rec.Key(e.candidateKind())
		if !slices.Contains(e.seen[user], item) {
			e.seen[freshet.Key(strings.Clone(string(user)))] = append(e.seen[user], freshet.Key(strings.Clone(string(item))))
		}
	}
	return e.past.apply(ctx, e.rel, rec)
}

// finish makes the report.
func (e *run) finish() (Report, error) {
	r := e.report
	r.Pipeline, r.Release, r.Split = e.pipeline.Name, e.rel.Manifest().Digest, "leave last one out by time"
	r.Target, r.Where, r.Label, r.Seed = e.o.Target, e.o.Where, e.o.Label, e.o.Seed
	r.Events, r.Duplicates, r.Metrics = e.events.Len(), e.events.Duplicates, map[string]float64{}
	if e.pipeline.Ranked != nil {
		r.Candidates = e.pipeline.Ranked.Len()
	}
	if e.label != nil {
		r.Users = len(e.labels)
		return r, e.pointwise(r.Metrics)
	}
	r.Users = e.ranking.Users()
	if r.Users == 0 {
		return r, freshet.Errorf(freshet.Unprocessable, "none of the %d targets is about a candidate of table %s", r.Unknown, e.pipeline.Candidates)
	}
	r.Intervals = e.ranking.Values(e.o.Seed)
	for name, v := range r.Intervals {
		r.Metrics[name] = v.Mean
	}
	for i, share := range e.ranking.Coverage(r.Candidates) {
		r.Metrics[offlinemetrics.At("coverage", e.o.Ks[i])] = share
	}
	return r, nil
}

// pointwise compares scores with labels: as probabilities if all labels are 0 or 1, else as numbers.
func (e *run) pointwise(into map[string]float64) error {
	metrics := map[string]func(labels, scores []float64) (float64, error){"rmse": offlinemetrics.RMSE, "mae": offlinemetrics.MAE, "r2": offlinemetrics.R2}
	if !slices.ContainsFunc(e.labels, func(y float64) bool { return y != 0 && y != 1 }) {
		metrics = map[string]func(labels, scores []float64) (float64, error){"auc": offlinemetrics.AUC, "logloss": offlinemetrics.LogLoss, "brier": offlinemetrics.Brier}
	}
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		v, err := metrics[name](e.labels, e.scores)
		if err != nil {
			return err
		}
		into[name] = v
	}
	return nil
}
