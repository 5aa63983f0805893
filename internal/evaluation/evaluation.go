// Package evaluation is a kit: how good the predictions of a release would have been on events of the past. It goes through
// the events in the order in which they happened, asks for the prediction of each user one millisecond before the user's last
// target event, and compares (time-ordered leave-last-one-out): features are read as of then, and nothing later leaks in. It
// asks the pipeline as it would serve, with candidates and keep. It never trains and never changes a server.
package evaluation

import (
	"context"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/offlinemetrics"
	"github.com/freshet-ml/freshet/internal/release"
)

// Options say what to compare.
type Options struct {
	Pipeline freshet.PipelineName
	Target   freshet.EventType // the events to be foretold; "": the first of the pipeline's types that can be
	Where    string            // an expression over their fields; "": all
	// Label is an expression over their fields that says what the score should have been. With one, the score of the event's own
	// candidate (or of the entity) is compared with it; without one, the place of the candidate in the whole list.
	Label       string
	Ks          []int // cut-offs of ranking metrics, each at least 1
	ExcludeSeen bool  // take candidates out of the list that the user had target events with before
	Seed        uint64
	Progress    func(done, total int) // of events; may be nil
}

// Report is what came out. Its JSON is stored with a model version.
type Report struct {
	Pipeline   freshet.PipelineName               `json:"pipeline"`
	Model      string                             `json:"model"`
	Release    freshet.Digest                     `json:"release_digest"`
	Split      string                             `json:"split"`
	Target     freshet.EventType                  `json:"target"`
	Where      string                             `json:"where,omitempty"`
	Label      string                             `json:"label,omitempty"`
	Events     int                                `json:"events"`
	Duplicates int                                `json:"duplicates"`
	Users      int                                `json:"users"`               // compared
	Unknown    int                                `json:"unknown"`             // left out: the target's candidate is not in the table
	Removed    int                                `json:"removed,omitempty"`   // left out of labelled rows: the pipeline's keep takes the candidate away
	Fallbacks  int                                `json:"fallbacks,omitempty"` // of those compared: answers that are not the model's
	Candidates int                                `json:"candidates,omitempty"`
	Seed       uint64                             `json:"seed"`
	Metrics    map[string]float64                 `json:"metrics"`
	Intervals  map[string]offlinemetrics.Interval `json:"intervals,omitempty"`
}

// predictor makes predictions: internal/orchestration, plugged in by the server.
type predictor interface {
	Predict(ctx context.Context, rel *release.Opened, req release.Request) (freshet.Prediction, error)
}

// Run compares. InvalidArgument and NotFound name what is wrong with o; an event that rel cannot read ends it.
func Run(ctx context.Context, rel *release.Opened, events *Events, past *Past, p predictor, o Options) (Report, error) {
	e, err := newRun(rel, events, past, p, o)
	if err != nil {
		return Report{}, err
	}
	events.sort()
	if err := e.findTargets(); err != nil {
		return Report{}, err
	}
	if err := e.replay(ctx); err != nil {
		return Report{}, err
	}
	return e.finish()
}

// run is the work of one Run.
type run struct {
	o        Options
	rel      *release.Opened
	pipeline *release.Pipeline
	events   *Events
	past     *Past
	p        predictor
	where    *expression.Program // nil: all
	label    *expression.Program // nil: ranking

	last    map[freshet.Key]int // by user, the index of the target
	seen    map[freshet.Key][]freshet.Key
	ranking *offlinemetrics.Ranking
	labels  []float64
	scores  []float64
	report  Report
}

func newRun(rel *release.Opened, events *Events, past *Past, p predictor, o Options) (*run, error) {
	pipeline, ok := rel.Pipeline(o.Pipeline)
	if !ok {
		return nil, freshet.FieldErrorf(freshet.NotFound, "pipeline", "the project has no pipeline %q", o.Pipeline)
	}
	e := &run{
		o: o, rel: rel, pipeline: pipeline, events: events, past: past, p: p,
		last: map[freshet.Key]int{}, seen: map[freshet.Key][]freshet.Key{}, ranking: offlinemetrics.NewRanking(o.Ks...),
	}
	if err := e.chooseTarget(); err != nil {
		return nil, err
	}
	env, err := rel.Project().Schema.Env(e.o.Target)
	if err != nil {
		return nil, err
	}
	if e.where, err = compile(env, "where", o.Where); err != nil {
		return nil, err
	}
	if e.where != nil && e.where.Type().Kind != expression.Bool {
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, "where", "where: %s is a %s; expected a condition, such as seconds > 30", o.Where, e.where.Type())
	}
	if e.label, err = compile(env, "label", o.Label); err != nil {
		return nil, err
	}
	if e.label == nil && pipeline.Ranked == nil {
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, "label", "pipeline %s has no candidates to rank: a label says what its score should have been, such as completed", o.Pipeline)
	}
	return e, nil
}

func compile(env expression.Env, name, text string) (*expression.Program, error) {
	if text == "" {
		return nil, nil
	}
	tree, err := expression.Parse(text)
	if err == nil {
		var p *expression.Program
		if p, err = tree.Compile(env); err == nil {
			return p, nil
		}
	}
	return nil, freshet.FieldErrorf(freshet.InvalidArgument, name, "%s: %w", name, err)
}

// chooseTarget takes the type that was asked for, or the first of the pipeline's that has the key of a candidate.
func (e *run) chooseTarget() error {
	can := func(t freshet.EventType) bool {
		spec, ok := e.rel.Project().Event(t)
		return ok && e.hasKey(spec.Keys, e.pipeline.Entity) && (e.pipeline.Ranked == nil || e.hasKey(spec.Keys, e.candidateKind()))
	}
	if e.o.Target != "" {
		if !can(e.o.Target) {
			return freshet.FieldErrorf(freshet.InvalidArgument, "target", "target: %s is no event type with the keys of the pipeline's %s and of its candidates", e.o.Target, e.pipeline.Entity)
		}
		return nil
	}
	for _, t := range e.pipeline.From {
		if can(t) {
			e.o.Target = t
			return nil
		}
	}
	return freshet.FieldErrorf(freshet.InvalidArgument, "target", "target: none of the pipeline's event types has the key of a candidate; name the type of the events that should be foretold")
}

func (e *run) candidateKind() freshet.EntityKind {
	t, _ := e.rel.Project().Table(e.pipeline.Candidates)
	return t.Entity
}

func (e *run) hasKey(keys []string, kind freshet.EntityKind) bool {
	entity, ok := e.rel.Project().Entity(kind)
	if !ok {
		return false
	}
	return !slices.ContainsFunc(entity.KeyFields, func(field string) bool { return !slices.Contains(keys, field) })
}
