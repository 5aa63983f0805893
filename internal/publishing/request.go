package publishing

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/registry"
)

// Plan says what the request would change, and why it cannot be followed if it cannot. Nothing changes. The error is one of the
// request itself, or of the server.
func (p *Publisher) Plan(ctx context.Context, req deployment.Request) (deployment.Plan, error) {
	plan, _, opened, err := p.plan(ctx, req)
	if opened != nil {
		_ = opened.Close() // its models have answered nothing yet
	}
	return plan, err
}

// plan opens what is asked for. opened is nil if there are problems; otherwise the caller closes it.
func (p *Publisher) plan(ctx context.Context, req deployment.Request) (plan deployment.Plan, order deployment.Order, opened *release.Opened, err error) {
	if err := req.Check(); err != nil {
		return plan, order, nil, err
	}
	state, revision, err := p.Now(ctx)
	if err != nil {
		return plan, order, nil, err
	}
	text, order, err := p.order(ctx, req, state)
	if err != nil {
		return plan, order, nil, err
	}
	opened, problem := p.open(ctx, text, order)
	if problem == nil {
		if problem = p.cannot(req, opened.Project()); problem != nil {
			_ = opened.Close() // its models have answered nothing yet
			opened = nil
		}
	}
	if code := freshet.CodeOf(problem); code == freshet.Internal || code == freshet.Unavailable || ctx.Err() != nil {
		return plan, order, nil, problem
	}
	live := p.Live.Pin()
	if live != nil {
		defer live.Unpin()
	}
	if problem != nil {
		plan = deployment.Plan{
			Live: state.Live, Changes: []deployment.Difference{}, Shared: []string{}, Warnings: []string{}, Problems: deployment.ProblemsOf(problem),
		}
		plan.Next, plan.Revision = state.Next(), revision
		return plan, order, nil, nil
	}
	plan = deployment.Compare(live, opened, p.filled(), p.Views.Past(), math.Float64frombits(p.rate.Load()))
	plan.Live, plan.Next, plan.Revision = state.Live, state.Next(), revision
	for _, gap := range release.Missing(p.Live.Set(), opened) {
		for _, v := range gap.Views {
			plan.Warnings = append(plan.Warnings, "views."+string(v)+": it begins with the "+string(gap.Type)+" events that come in from now on: those of the past were not kept by "+string(gap.Kind))
		}
	}
	order.Release = opened.Manifest()
	return plan, order, opened, nil
}

// cannot says why what is asked for cannot be followed here, although it can be opened. Only who asks for a release is held to it: what is live serves
// without a channel, too.
func (p *Publisher) cannot(req deployment.Request, f *project.Project) error {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(req.Tables)) {
		var files []string
		for _, t := range f.Tables {
			if !t.Push {
				files = append(files, string(t.Name))
			}
		}
		problems = append(problems, unknown("tables", string(name), "table of a file", files))
	}
	for _, name := range slices.Sorted(maps.Keys(req.Models)) {
		var models []string
		for _, m := range f.Models {
			models = append(models, string(m.Name))
		}
		problems = append(problems, unknown("models", string(name), "model", models))
	}
	if p.Channels != nil {
		problems = append(problems, p.Channels.Check(f.Push))
	}
	return errors.Join(problems...)
}

// unknown is the error for a name that the project does not have: nothing would come of what was said of it.
func unknown(section, name, what string, names []string) error {
	if slices.Contains(names, name) {
		return nil
	}
	field := section + "." + name
	return freshet.FieldErrorf(freshet.Unprocessable, field, "%.80s: the project has no %s of this name%s", field, what, expression.Hint(name, names))
}

// filled tells which views an open release has.
func (p *Publisher) filled() deployment.Filled {
	open := map[freshet.ViewID]bool{}
	for _, v := range p.Live.Set().Views() {
		open[v.ID()] = true
	}
	return func(v freshet.ViewID) bool { return open[v] }
}

// order is what req asks for, with all that it leaves to the server filled in.
func (p *Publisher) order(ctx context.Context, req deployment.Request, state deployment.Releases) (text []byte, o deployment.Order, err error) {
	o = deployment.Order{Shadow: req.Shadow, Canary: req.Canary, Bake: req.Bake.Seconds(), Accept: req.Accept}
	base := state.Release(state.Live)
	if req.Release != "" {
		if base = state.Release(req.Release); base == nil {
			return nil, o, freshet.FieldErrorf(freshet.NotFound, "release", "release: there is no release %.80q; freshet releases lists all", string(req.Release))
		}
	}
	text = []byte(req.Project)
	if len(text) == 0 {
		if base == nil {
			return nil, o, freshet.FieldErrorf(freshet.InvalidArgument, "project", "project: nothing is live yet; send the project file's text")
		}
		if text, err = p.text(ctx, base.Order.Release.Project); err != nil {
			return nil, o, err
		}
	}
	o.Tables, o.Versions = map[freshet.TableName]freshet.Digest{}, map[freshet.ModelName]int{}
	if base != nil {
		maps.Copy(o.Tables, base.Tables)
		o.Embedder = base.Embedder
	}
	maps.Copy(o.Tables, req.Tables)
	o.Embedder = cmp.Or(req.Embedder, o.Embedder)
	if req.Release != "" {
		maps.Copy(o.Versions, base.Versions)
		return text, o, nil
	}
	models, _, err := p.Versions.Now(ctx)
	if err != nil {
		return nil, o, err
	}
	for _, m := range models.All() {
		o.Versions[m.Name] = len(m.Versions)
	}
	for name, asked := range req.Models {
		n, err := version(models.Model(name), name, asked)
		if err != nil {
			return nil, o, err
		}
		o.Versions[name] = n
	}
	return text, o, nil
}

// version finds the version of a model by number or alias.
func version(m *registry.Model, name freshet.ModelName, asked string) (int, error) {
	field := "models." + string(name)
	if m == nil {
		return 0, freshet.FieldErrorf(freshet.NotFound, field, "%s: there is no model of that name; freshet publish makes a first version", field)
	}
	if n, ok := m.Aliases[asked]; ok {
		return n, nil
	}
	n, err := strconv.Atoi(asked)
	if err != nil {
		return 0, freshet.FieldErrorf(freshet.NotFound, field, "%s: %.80q is neither an alias nor the number of a version", field, asked)
	}
	if _, ok := m.Version(n); !ok {
		return 0, freshet.FieldErrorf(freshet.NotFound, field, "%s: there is no version %d; it has %d", field, n, len(m.Versions))
	}
	return n, nil
}

// open opens what an order says, from the registry.
func (p *Publisher) open(ctx context.Context, text []byte, o deployment.Order) (*release.Opened, error) {
	parsed, err := project.ParseWith(project.FileName, text, p.words(ctx, o.Embedder))
	if err != nil {
		return nil, err
	}
	source, err := p.files(ctx, o.Tables, o.Versions)
	if err != nil {
		return nil, err
	}
	return p.opener.Open(ctx, parsed, source)
}

// Deploy has what is asked for go live, step by step, after it has returned: Run goes the steps. Returns the plan, and the release
// if there is something to do. A request that cannot be followed is Unprocessable, one while another release is on its way
// Conflict.
func (p *Publisher) Deploy(ctx context.Context, req deployment.Request, by deployment.By) (deployment.Plan, *deployment.Release, error) {
	plan, order, opened, err := p.plan(ctx, req)
	if err != nil {
		return plan, nil, err
	}
	if len(plan.Problems) > 0 {
		first := plan.Problems[0]
		return plan, nil, freshet.FieldErrorf(freshet.Unprocessable, first.Field, "%s", first.Detail)
	}
	if plan.Unchanged {
		if err := opened.Close(); err != nil {
			return plan, nil, err
		}
		state, _, err := p.Now(ctx)
		if err != nil {
			return plan, nil, err
		}
		return plan, nil, state.Free() // what is live now may not be for long
	}
	r, err := p.begin(ctx, opened, order, plan.Live, by)
	return plan, r, err
}

// begin decides that a release that is open, and that begin takes over, is to follow the release live. Another one that has gone live since the
// order was filled in from that one would be taken back without a word: Conflict.
func (p *Publisher) begin(ctx context.Context, opened *release.Opened, order deployment.Order, live freshet.ReleaseID, by deployment.By) (*deployment.Release, error) {
	order = used(order, opened)
	text := opened.Project().Text
	if _, err := p.Registry.Put(ctx, opened.Project().Digest, bytes.NewReader(text)); err != nil { // first: an entry never names what is not there
		_ = opened.Close() // err says more
		return nil, err
	}
	var id freshet.ReleaseID
	state, err := p.decide(ctx, func(s deployment.Releases, at registry.Revision) (registry.Draft, error) {
		if err := expect(by.Revision, at); err != nil {
			return registry.Draft{}, err
		}
		if err := s.Free(); err != nil {
			return registry.Draft{}, err
		}
		if s.Live != live {
			return registry.Draft{}, freshet.Errorf(freshet.Conflict, "release %s has gone live while this was made ready to follow %s: deploy again", s.Live, live)
		}
		id = s.Next()
		opened.Name(id, freshet.TimestampOf(p.o.Now()))
		order.Release = opened.Manifest()
		if err := p.there(ctx, order); err != nil {
			return registry.Draft{}, err
		}
		p.opened[id] = opened
		return registry.NewDraft(deployment.KindDeploy, by.Actor, by.Reason, order)
	})
	if err != nil {
		p.discard(opened)
		return nil, err
	}
	return state.Release(id), nil
}

// used is order with the files of this release alone.
func used(order deployment.Order, opened *release.Opened) deployment.Order {
	tables, versions := map[freshet.TableName]freshet.Digest{}, map[freshet.ModelName]int{}
	for _, t := range opened.Project().Tables {
		if !t.Push {
			tables[t.Name] = order.Tables[t.Name]
		}
	}
	for _, m := range opened.Models() {
		versions[m.Name] = m.Version
	}
	order.Tables, order.Versions, order.Embedder = tables, versions, ""
	if e := opened.Project().Embedder; e != nil {
		order.Embedder = e.Digest
	}
	return order
}

// discard closes a release that was not decided.
func (p *Publisher) discard(opened *release.Opened) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, o := range p.opened {
		if o == opened {
			delete(p.opened, id)
		}
	}
	_ = opened.Close() // it has served nobody
}
