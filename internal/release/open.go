package release

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/pushtable"
	"github.com/freshet-ml/freshet/internal/table"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Open is OpenFrom for the files in p's own folder.
func Open(p *project.Project, runtimes []modelruntime.Runtime) (*Opened, error) {
	return OpenFrom(context.Background(), p, Folder(p), runtimes)
}

// OpenFrom opens a release that shares nothing with others.
func OpenFrom(ctx context.Context, p *project.Project, source Source, runtimes []modelruntime.Runtime) (*Opened, error) {
	return NewOpener(runtimes).Open(ctx, p, source)
}

// Opener opens releases. A table or a model that several of them have open at once is loaded once and shared: a release that differs in
// a model costs no second id map, and one that differs in an id map no second model. It may be used concurrently.
type Opener struct {
	runtimes []modelruntime.Runtime
	tables   shared[tableKey, *table.Table]
	models   shared[freshet.Digest, modelruntime.Model]
}

// NewOpener returns an opener of models that runtimes open.
func NewOpener(runtimes []modelruntime.Runtime) *Opener {
	return &Opener{runtimes: runtimes, models: shared[freshet.Digest, modelruntime.Model]{end: modelruntime.Model.Close}}
}

// Open loads the tables and models that p names from source, binds its pipelines to them, and gives the whole as a release
// that has no name yet. The caller holds it until Close. The error joins everything that is wrong: a missing file, a table
// without a column, a model input that nothing gives.
func (opener *Opener) Open(ctx context.Context, p *project.Project, source Source) (*Opened, error) {
	o := &Opened{
		project: p,
		tables:  map[freshet.TableName]*table.Table{},
		models:  map[freshet.ModelName]*Model{},
	}
	o.refs.Store(1)
	var problems []error
	for _, t := range p.Tables {
		if t.Push {
			continue // its rows are live data: they belong to no release
		}
		opened, give, err := opener.table(ctx, source, t)
		if err != nil {
			problems = append(problems, freshet.FieldErrorf("", "tables."+string(t.Name), "table %s: %w", t.Name, err))
			continue
		}
		o.tables[t.Name] = opened
		o.give = append(o.give, give)
	}
	for _, m := range p.Models {
		opened, give, err := opener.model(ctx, source, m)
		if err != nil {
			problems = append(problems, freshet.FieldErrorf("", "models."+string(m.Name), "model %s: %w", m.Name, err))
			continue
		}
		o.models[m.Name] = opened
		o.give = append(o.give, give)
	}
	if len(problems) > 0 {
		o.Close()
		return nil, errors.Join(problems...)
	}
	for _, pipeline := range p.Pipelines {
		bound, err := o.bind(pipeline)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		o.pipelines = append(o.pipelines, bound)
	}
	if len(problems) > 0 {
		o.Close()
		return nil, errors.Join(problems...)
	}
	o.route()
	if err := o.checkRoutes(); err != nil {
		o.Close()
		return nil, err
	}
	o.pool()
	o.describe()
	return o, nil
}

// Name says under which name and since when the release is known. It is called before the release goes live.
func (o *Opened) Name(id freshet.ReleaseID, created freshet.Timestamp) {
	o.manifest.ID, o.manifest.CreatedAt = id, created
}

// table loads a table, or gives one that is open already. give is for when it is needed no more.
func (opener *Opener) table(ctx context.Context, source Source, t project.Table) (opened *table.Table, give func() error, err error) {
	f, err := source.Table(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	closed := sync.OnceValue(f.Close)
	defer closed()
	return opener.tables.take(ctx, keyOf(f.Digest, t.Spec), func() (*table.Table, error) {
		opened, err := table.Read(f, f.Size(), t.Spec)
		if err == nil {
			err = closed() // before others may use what was read
		}
		if err != nil {
			return nil, freshet.Errorf("", "%s: %w", t.File, err)
		}
		return opened, nil
	})
}

// model opens a model, or gives one that is open already. give is for when it is needed no more.
func (opener *Opener) model(ctx context.Context, source Source, m project.Model) (opened *Model, give func() error, err error) {
	artifact, err := source.Model(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	defer artifact.Close() // a model holds what it needs in memory
	model, give, err := opener.models.take(ctx, artifact.Digest, func() (modelruntime.Model, error) {
		return modelruntime.Open(artifact, opener.runtimes)
	})
	if err != nil {
		return nil, nil, err
	}
	return &Model{Name: m.Name, Digest: artifact.Digest, Version: artifact.Version, Model: model}, give, nil
}

func (o *Opened) bind(p *project.Pipeline) (*Pipeline, error) {
	model := o.models[p.Model]
	plan, err := p.Bind(model.Signature().Inputs)
	if err != nil {
		return nil, freshet.FieldErrorf("", "pipelines."+string(p.Name), "%w", err) // it says where
	}
	bound := o.plug(p, plan)
	if err := bound.use(model); err != nil {
		return nil, freshet.FieldErrorf("", "pipelines."+string(p.Name), "pipeline %s: %w", p.Name, err)
	}
	if order := p.FallbackOrder(); order != nil {
		bound.Order = o.plug(order, order.OrderPlan())
		if isCommon(bound.Order) {
			bound.Order.Common = &Common{}
		}
	}
	return bound, nil
}

// plug gives a plan the tables that it reads.
func (o *Opened) plug(p *project.Pipeline, plan *project.Plan) *Pipeline {
	bound := &Pipeline{Pipeline: p, Plan: plan, Ranked: o.tables[p.Candidates], Ties: -1}
	for _, u := range plan.Tables {
		declared, _ := o.project.Table(u.Table)
		lookup := newLookup(o.tables[u.Table], &declared.Spec, u)
		switch {
		case u.Candidate && u.Table == p.Candidates:
			bound.Candidate = lookup
		case u.Candidate:
			bound.CandidateLookups = append(bound.CandidateLookups, lookup)
		default:
			bound.EntityLookups = append(bound.EntityLookups, lookup)
		}
	}
	for _, u := range plan.Views {
		if u.Candidate {
			bound.CandidateViews.add(u)
			continue
		}
		bound.EntityViews.add(u)
	}
	return bound
}

// route says for each event type where its events go.
func (o *Opened) route() {
	o.kinds = map[freshet.EventType][]freshet.EntityKind{}
	o.routes = map[freshet.EventType]map[freshet.EntityKind]Route{}
	for _, e := range o.project.Events {
		o.routes[e.Type] = map[freshet.EntityKind]Route{}
		for _, entity := range o.project.Entities {
			r := o.routeTo(e.Type, entity.Kind)
			if r.Views == nil && r.Pipelines == nil {
				continue
			}
			o.routes[e.Type][entity.Kind] = r
			o.kinds[e.Type] = append(o.kinds[e.Type], entity.Kind)
		}
		if o.kinds[e.Type] == nil {
			o.kinds[e.Type] = firstKind(o.project.Entities, e)
		}
	}
}

// checkRoutes: an event about more entities than the log takes could never be sent.
func (o *Opened) checkRoutes() error {
	var problems []error
	for _, e := range o.project.Events {
		if n := len(o.kinds[e.Type]); n > freshet.MaxEntities {
			problems = append(problems, freshet.FieldErrorf(freshet.InvalidArgument, "events."+string(e.Type),
				"event type %s: the views and pipelines that listen to it are about %d entities; at most %d can be: send events of several types", e.Type, n, freshet.MaxEntities))
		}
	}
	return errors.Join(problems...)
}

func (o *Opened) routeTo(t freshet.EventType, kind freshet.EntityKind) Route {
	var r Route
	for _, v := range o.project.Views {
		if v.Entity() == kind && v.Listens(t) {
			r.Views = append(r.Views, v)
			r.ViewIDs = append(r.ViewIDs, v.ID())
		}
	}
	for _, p := range o.pipelines {
		if p.Entity == kind && slices.Contains(p.From, t) {
			r.Pipelines = append(r.Pipelines, p)
		}
	}
	return r
}

func firstKind(entities []feature.EntitySpec, e feature.EventSpec) []freshet.EntityKind {
	for _, entity := range entities {
		has := func(field string) bool { return slices.Contains(e.Keys, field) }
		if !slices.ContainsFunc(entity.KeyFields, func(f string) bool { return !has(f) }) {
			return []freshet.EntityKind{entity.Kind}
		}
	}
	return nil
}

func (o *Opened) pool() {
	schema := o.project.Schema
	o.records.New = func() any { return schema.NewRecord() }
	o.scratches = map[freshet.ViewID]*sync.Pool{}
	for _, v := range o.project.Views {
		o.scratches[v.ID()] = &sync.Pool{New: func() any { return v.NewScratch() }}
	}
}

func (o *Opened) describe() {
	m := freshet.Release{
		Project:   o.project.Digest,
		Views:     map[freshet.ViewName]freshet.Digest{},
		Models:    map[freshet.ModelName]freshet.Digest{},
		Tables:    map[freshet.TableName]freshet.Digest{},
		Pipelines: map[freshet.PipelineName]freshet.Digest{},
	}
	for _, v := range o.project.Views {
		m.Views[v.Name()] = v.Digest()
	}
	for name, model := range o.models {
		m.Models[name] = model.Digest
	}
	for name, t := range o.tables {
		m.Tables[name] = t.Digest()
	}
	for _, t := range o.project.Tables {
		if t.Push {
			m.Tables[t.Name] = pushtable.Digest(&t.Spec)
		}
	}
	for _, p := range o.pipelines {
		m.Pipelines[p.Name] = p.Digest
	}
	m.Digest = digest(m)
	o.manifest = m
}

// digest is the SHA-256 of the manifest's content as JSON, without its name and time: the same content has the same
// digest on every machine.
func digest(m freshet.Release) freshet.Digest {
	m.ID, m.CreatedAt, m.Digest = "", 0, ""
	b, err := json.Marshal(m) // maps are written in the order of their keys
	if err != nil {
		panic(err) // only strings in it
	}
	return freshet.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(b)))
}

// ParseContext turns the context object of a request into values. Numbers, texts and booleans are good.
func ParseContext(raw map[string]json.RawMessage) (map[string]expression.Value, error) {
	values := make(map[string]expression.Value, len(raw))
	for name, b := range raw {
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, "context."+name, "context.%s: %w", name, err)
		}
		switch v := v.(type) {
		case nil:
			values[name] = expression.Value{}
		case float64:
			values[name] = expression.Value{Kind: expression.Number, Num: v}
		case string:
			values[name] = expression.Value{Kind: expression.String, Str: v}
		case bool:
			values[name] = expression.Value{Kind: expression.Bool}
			if v {
				values[name] = expression.Value{Kind: expression.Bool, Num: 1}
			}
		default:
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, "context."+name, "context.%s: expected a number, a text or true or false", name)
		}
	}
	return values, nil
}
