package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/table"
)

// feastAsk is a request for features, however it was sent.
type feastAsk struct {
	refs     []string // view:feature
	service  *string  // wins over refs
	full     bool     // columns are called view__feature
	versions bool     // name the views in the answer
	entities []feastEntity
	// text is the text of a join key's value.
	text func(field string, value []byte) (string, error)
}

// feastEntity is a column of the request: one value for each row, as it was sent.
type feastEntity struct {
	name   string
	values [][]byte
}

// feastBlock are the columns of one view or table.
type feastBlock struct {
	name   string
	entity feature.EntitySpec
	view   *feature.View // or
	file   *table.Table  // or
	pushed *table.Spec
	picks  []int    // of its features
	names  []string // of picks, as they are asked for
}

// feastPlan is what a request means.
type feastPlan struct {
	blocks []*feastBlock
	keys   []feastEntity // the join keys, in the order of the request
	rows   int
}

// plan finds the features and join keys that ask names.
func (ask *feastAsk) plan(rel *release.Opened) (*feastPlan, error) {
	refs := ask.refs
	if ask.service != nil {
		var err error
		if refs, err = feastService(rel, *ask.service); err != nil {
			return nil, err
		}
	}
	if len(refs) == 0 {
		return nil, feastText("No features specified for retrieval")
	}
	p := &feastPlan{}
	for _, ref := range refs {
		if err := p.add(rel, ref); err != nil {
			return nil, err
		}
	}
	if err := ask.checkNames(p); err != nil {
		return nil, err
	}
	if len(ask.entities) > 0 {
		p.rows = len(ask.entities[0].values)
	}
	for _, e := range ask.entities {
		if len(e.values) != p.rows {
			return nil, feastText("All entity rows must have the same columns.")
		}
	}
	if n := p.rows * len(refs); n > maxValues {
		return nil, freshet.Errorf(freshet.TooLarge, "entities: %d rows of %d features are %d values; expected at most %d, ask for less at once", p.rows, len(refs), n, maxValues)
	}
	return p, p.join(ask.entities)
}

// feastService is what a pipeline's expressions read about its own entity.
func feastService(rel *release.Opened, name string) (refs []string, err error) {
	pipeline, ok := rel.Pipeline(freshet.PipelineName(name))
	if !ok {
		return nil, feastRaised(http.StatusNotFound, "FeatureServiceNotFoundException",
			"Feature service %s does not exist in project %s", clip(name, 64), rel.Project().Name)
	}
	for _, u := range pipeline.Plan.Views {
		for _, f := range u.View.Features() {
			if !u.Candidate {
				refs = append(refs, string(u.View.Name())+":"+string(f.Name))
			}
		}
	}
	for _, u := range pipeline.Plan.Tables {
		for _, column := range u.Columns {
			if !u.Candidate {
				refs = append(refs, string(u.Table)+":"+column)
			}
		}
	}
	return refs, nil
}

// add finds what a reference names. Columns of one view stand together, in the order of the request.
func (p *feastPlan) add(rel *release.Opened, ref string) error {
	view, name, ok := strings.Cut(ref, ":")
	if !ok {
		return feastText("Invalid feature reference '%s'. Expected view:feature", clip(ref, 128))
	}
	at := slices.IndexFunc(p.blocks, func(b *feastBlock) bool { return b.name == view })
	if at < 0 {
		b, err := newFeastBlock(rel, view)
		if err != nil {
			return err
		}
		at = len(p.blocks)
		p.blocks = append(p.blocks, b)
	}
	b := p.blocks[at]
	pick := b.find(name)
	if pick < 0 {
		return feastText("'Feature %s not found in projection %s'", clip(name, 64), view)
	}
	b.picks, b.names = append(b.picks, pick), append(b.names, name)
	return nil
}

func newFeastBlock(rel *release.Opened, name string) (*feastBlock, error) {
	b := &feastBlock{name: name}
	var err error
	if view, ok := rel.View(freshet.ViewName(name)); ok {
		b.view = view
		b.entity, err = entitySpec(rel, view.Entity())
		return b, err
	}
	t, ok := rel.Project().Table(freshet.TableName(name))
	if !ok {
		return nil, feastRaised(http.StatusNotFound, "FeatureViewNotFoundException",
			"Feature view %s does not exist in project %s", clip(name, 64), rel.Project().Name)
	}
	b.entity, err = entitySpec(rel, t.Entity)
	if t.Push {
		b.pushed = &t.Spec
		return b, err
	}
	if b.file, ok = rel.Table(t.Name); !ok {
		return nil, freshet.Errorf(freshet.Internal, "table %s is declared and not opened", name)
	}
	return b, err
}

// find is the place of a feature among all that the view or table has; −1 if it has none of that name.
func (b *feastBlock) find(name string) int {
	if b.view != nil {
		return slices.IndexFunc(b.view.Features(), func(f feature.Feature) bool { return string(f.Name) == name })
	}
	if b.file != nil {
		return columnIndex(b.file.Columns(), name)
	}
	return columnIndex(b.pushed.Columns, name)
}

func columnIndex(columns []table.Column, name string) int {
	return slices.IndexFunc(columns, func(c table.Column) bool { return c.Name == name })
}

// typeOf is the type of a feature of the view or table.
func (b *feastBlock) typeOf(i int) expression.Type {
	if b.view != nil {
		return b.view.Features()[i].Type
	}
	if b.file != nil {
		return b.file.Columns()[i].Type()
	}
	return b.pushed.Columns[i].Type()
}

func columnNames(columns []table.Column) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
}

// checkNames refuses two columns of the same name.
func (ask *feastAsk) checkNames(p *feastPlan) error {
	seen := map[string]bool{}
	var twice []string
	for _, b := range p.blocks {
		for _, name := range b.names {
			name = b.column(name, ask.full)
			if seen[name] && !slices.Contains(twice, name) {
				twice = append(twice, name)
			}
			seen[name] = true
		}
	}
	if len(twice) == 0 {
		return nil
	}
	mend := "To resolve this collision, either use the full feature name by setting 'full_feature_names=True', or ensure that the features in question have different names."
	if ask.full {
		mend = "To resolve this collision, ask for each feature once."
	}
	return feastRaised(http.StatusUnprocessableEntity, "FeatureNameCollisionError", "Duplicate features named %s found.\n%s", strings.Join(twice, ", "), mend)
}

// column is the name of a feature in the answer.
func (b *feastBlock) column(name string, full bool) string {
	if full {
		return b.name + "__" + name
	}
	return name
}

// join takes the join keys of all blocks from the request.
func (p *feastPlan) join(entities []feastEntity) error {
	var needed, missing []string
	for _, b := range p.blocks {
		needed = append(needed, b.entity.KeyFields...)
	}
	for _, e := range entities {
		if slices.Contains(needed, e.name) {
			p.keys = append(p.keys, e)
		}
	}
	for _, name := range needed {
		if p.key(name) == nil && !slices.Contains(missing, "'"+name+"'") {
			missing = append(missing, "'"+name+"'")
		}
	}
	if missing != nil {
		return feastText("Missing join key values for keys: [%s]. Each needs a column in entities.", strings.Join(missing, ", "))
	}
	return nil
}

// key is the column of a join key; nil if the request has none.
func (p *feastPlan) key(name string) *feastEntity {
	i := slices.IndexFunc(p.keys, func(e feastEntity) bool { return e.name == name })
	if i < 0 {
		return nil
	}
	return &p.keys[i]
}

// keysOf are the keys of the rows for one entity kind.
func (p *feastPlan) keysOf(spec feature.EntitySpec, text func(string, []byte) (string, error)) ([]freshet.Key, error) {
	keys := make([]freshet.Key, p.rows)
	values := make([]string, len(spec.KeyFields))
	for row := range keys {
		for i, name := range spec.KeyFields {
			v, err := text(name, p.key(name).values[row])
			if err != nil {
				return nil, feastText("entities: row %d: %w", row, err)
			}
			values[i] = v
		}
		keys[row] = freshet.JoinKey(values...)
	}
	return keys, nil
}

// pushTable finds a table that takes rows; ok is false if name is none, and why says more if it is something else.
func pushTable(rel *release.Opened, name string) (t project.Table, ok bool, why string) {
	if t, ok = rel.Project().Table(freshet.TableName(name)); ok && t.Push {
		return t, true, ""
	}
	if ok {
		return t, false, "table " + name + " comes from a file; only a table with push: true takes rows"
	}
	if _, ok := rel.View(freshet.ViewName(name)); ok {
		return t, false, "view " + name + " is computed from events; only a table with push: true takes rows"
	}
	return t, false, ""
}
