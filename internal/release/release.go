// Package release is a kit: the releases that are open. An Opened holds a project file's views and pipelines, its
// tables and its models as one immutable value, and it is the only way to any of them: a prediction that starts with one
// Opened cannot mix two releases. Live holds what is open at once, the live release, a candidate, a former one kept warm,
// and gives the one that serves an entity by one pointer load. The package opens and looks up; it never predicts and never
// stores.
//
// A release comes and goes like this:
//
//	o, err := release.Open(…)                       // held by its opener
//	live.Update(… roles.Preparing = o …)            // the receiver fills its views beside the others
//	o.Close()                                       // from now on the role holds it
//	receiver.AwaitFilled(ctx, o.ViewIDs())
//	live.Update(… roles.Candidate, roles.Share = o, 0.05 …)
//	live.Update(… roles.Former, roles.Live = roles.Live, o …)
//	live.Update(… roles.Former = nil …)             // closed when its last job has ended: OnRetired
//	receiver.DropUnused()                           // and the rows of its views are gone
package release

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/table"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Opened is a release with everything it needs in memory.
type Opened struct {
	hold
	manifest  freshet.Release
	project   *project.Project
	tables    map[freshet.TableName]*table.Table
	give      []func() error // of tables and models
	models    map[freshet.ModelName]*Model
	pipelines []*Pipeline
	kinds     map[freshet.EventType][]freshet.EntityKind
	routes    map[freshet.EventType]map[freshet.EntityKind]Route
	records   sync.Pool
	scratches map[freshet.ViewID]*sync.Pool
}

// Model is an opened model of the release.
type Model struct {
	Name    freshet.ModelName
	Digest  freshet.Digest
	Version int // in the registry; 0 if it is not from there
	modelruntime.Model
}

// Label names the model in predictions: "ranker@7", or "ranker@" and the first twelve digits of its digest if it is not from
// the registry.
func (m *Model) Label() string {
	if m.Version > 0 {
		return string(m.Name) + "@" + strconv.Itoa(m.Version)
	}
	const prefix = len("sha256:")
	return string(m.Name) + "@" + string(m.Digest[prefix:prefix+12])
}

// Pipeline is a pipeline of the release, bound to its model.
type Pipeline struct {
	*project.Pipeline
	Plan  *project.Plan
	Model *Model
	// Ranked is the table whose rows are scored, nil if the entity itself is. Candidate is how its columns get into the frame.
	Ranked           *table.Table
	Candidate        Lookup
	EntityLookups    []Lookup // other tables: the row of the entity
	CandidateLookups []Lookup // and that of each candidate
	EntityViews      ViewUses // likewise the views
	CandidateViews   ViewUses
	// Texts is the model if it has columns of texts, else nil.
	Texts modelruntime.Ranker
	// Codes has, for each input that is a text of the candidate, the number that the model gives it in each row of Ranked.
	Codes [][]float64
	Ties  int // the input by which equal scores are ordered, before their ids; −1: none
	// Order is how to make the fallback's prediction, if that is the order of a table: a pipeline without a model, whose one
	// input, if there is one, orders the rows.
	Order *Pipeline
	// Common is, of an Order that says the same to everybody, what it said last; else nil.
	Common *Common
}

// ErrNotANumber is the fault of a model that answers NaN and does not say of itself that it may.
var ErrNotANumber = errors.New("the answer is not a number")

// Request asks for one prediction.
type Request struct {
	Pipeline   freshet.PipelineName
	Entity     freshet.Entity
	Context    map[string]expression.Value
	Candidates []Candidate // nil: all rows of the pipeline's table
	Top        int         // 0: the pipeline's
	Explain    bool        // keep inputs and features in the prediction
}

// Candidate is one thing to rank: a row of the pipeline's table by its key, or a row given with the request.
type Candidate struct {
	Key freshet.Key
	Row []byte // a JSON object with the columns of the table; nil: the row of Key
}

// Manifest is what the release consists of, by digest.
func (o *Opened) Manifest() freshet.Release { return o.manifest }

// ID is the release's name.
func (o *Opened) ID() freshet.ReleaseID { return o.manifest.ID }

// Project is the project file that the release was made of.
func (o *Opened) Project() *project.Project { return o.project }

// View finds a view by name.
func (o *Opened) View(name freshet.ViewName) (*feature.View, bool) {
	i := slices.IndexFunc(o.project.Views, func(v *feature.View) bool { return v.Name() == name })
	if i < 0 {
		return nil, false
	}
	return o.project.Views[i], true
}

// Table finds a table of a file by name. Push tables stand in Project.
func (o *Opened) Table(name freshet.TableName) (*table.Table, bool) {
	t, ok := o.tables[name]
	return t, ok
}

// Model finds a model by name.
func (o *Opened) Model(name freshet.ModelName) (*Model, bool) {
	m, ok := o.models[name]
	return m, ok
}

// Models are all models in the order of their names.
func (o *Opened) Models() []*Model {
	models := make([]*Model, 0, len(o.models))
	for _, name := range slices.Sorted(maps.Keys(o.models)) {
		models = append(models, o.models[name])
	}
	return models
}

// Pipeline finds a pipeline by name.
func (o *Opened) Pipeline(name freshet.PipelineName) (*Pipeline, bool) {
	i := slices.IndexFunc(o.pipelines, func(p *Pipeline) bool { return p.Name == name })
	if i < 0 {
		return nil, false
	}
	return o.pipelines[i], true
}

// Pipelines are all pipelines in the order of the project file.
func (o *Opened) Pipelines() []*Pipeline { return o.pipelines }

// Kinds are the entity kinds that an event of type t is appended for: those of the views and pipelines that listen to it,
// or, so that the event is kept at all, the first kind whose key it has.
func (o *Opened) Kinds(t freshet.EventType) []freshet.EntityKind { return o.kinds[t] }

// Route is what an event does for one of its entities.
type Route struct {
	Views     []*feature.View
	ViewIDs   []freshet.ViewID // of Views
	Pipelines []*Pipeline      // may make a job each; Triggers decides
}

// Route is what an event of type t does for its entity of kind.
func (o *Opened) Route(t freshet.EventType, kind freshet.EntityKind) Route { return o.routes[t][kind] }

// ViewIDs are the ids of all views.
func (o *Opened) ViewIDs() []freshet.ViewID {
	ids := make([]freshet.ViewID, len(o.project.Views))
	for i, v := range o.project.Views {
		ids[i] = v.ID()
	}
	return ids
}

// Record lends a record to decode events into; give it back with Return.
func (o *Opened) Record() *feature.Record { return o.records.Get().(*feature.Record) }

// Return takes back a record that Record has lent. Nothing of it may be used afterwards.
func (o *Opened) Return(r *feature.Record) { o.records.Put(r) }

// Scratch lends the scratch of a view; give it back with ReturnScratch.
func (o *Opened) Scratch(v *feature.View) *feature.Scratch {
	return o.scratches[v.ID()].Get().(*feature.Scratch)
}

// ReturnScratch takes back what Scratch has lent.
func (o *Opened) ReturnScratch(v *feature.View, s *feature.Scratch) { o.scratches[v.ID()].Put(s) }
