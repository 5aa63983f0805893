package trainingset

import (
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/table"
)

// plan says where each column of the output comes from.
type plan struct {
	input   []string // columns of the file of entities
	time    int      // among them
	kinds   []kindPlan
	columns []column
}

// kindPlan is what is asked about one kind of entity.
type kindPlan struct {
	kind   freshet.EntityKind
	fields []string
	keys   []int // of the fields, among the input columns
	views  []*feature.View
	width  int // of all values of views
}

// column is one feature of the output.
type column struct {
	name string
	typ  expression.Type
	kind int // among the plan's kinds

	table *table.Table // nil: of a view
	at    int          // in the table's columns, or among all values of the kind's views
}

func (p *plan) names() []string {
	names := slices.Clone(p.input)
	for _, c := range p.columns {
		names = append(names, c.name)
	}
	return names
}

// newPlan resolves the features that are asked for, and finds the columns of their keys.
func newPlan(rel *release.Opened, input []string, o Options) (*plan, error) {
	p := &plan{input: input}
	if p.time = slices.Index(input, o.TimeColumn); p.time < 0 {
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, o.TimeColumn, "%s has no column %q for the time of each row; it has %s. --time-column names another",
			o.Entities, o.TimeColumn, strings.Join(input, ", "))
	}
	if len(o.Features) == 0 {
		return nil, freshet.FieldErrorf(freshet.InvalidArgument, "features", "no features: name some, such as view.feature or view")
	}
	for _, name := range o.Features {
		if err := p.add(rel, name, o); err != nil {
			return nil, err
		}
	}
	for i, c := range p.columns {
		taken := slices.Contains(input, c.name) || slices.ContainsFunc(p.columns[:i], func(other column) bool { return other.name == c.name })
		if taken && o.FullNames {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, c.name, "column %q would be there twice; ask for it once, or rename it in %s", c.name, o.Entities)
		}
		if taken {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, c.name, "column %q would be there twice; --full-names calls it by its view, too", c.name)
		}
	}
	return p, nil
}

// add resolves one item of the list: a view or table, or one feature or column of it.
func (p *plan) add(rel *release.Opened, item string, o Options) error {
	source, name, one := strings.Cut(item, ".")
	if v, ok := rel.View(freshet.ViewName(source)); ok {
		return p.addView(rel, v, name, one, o)
	}
	if t, ok := rel.Project().Table(freshet.TableName(source)); ok {
		opened, ok := rel.Table(t.Name)
		if !ok {
			return freshet.FieldErrorf(freshet.Unsupported, source, "features: table %s gets its rows through the doors and keeps no past; leave it out", source)
		}
		kind, err := p.kind(rel, t.Entity, o)
		if err != nil {
			return err
		}
		return p.addTable(kind, t.Name, opened, name, one, o)
	}
	var names []string
	for _, v := range rel.Project().Views {
		names = append(names, string(v.Name()))
	}
	for _, t := range rel.Project().Tables {
		names = append(names, string(t.Name))
	}
	return freshet.FieldErrorf(freshet.NotFound, "features", "features: %q is no view or table of the project%s", source, expression.Hint(source, names))
}

func (p *plan) addView(rel *release.Opened, v *feature.View, name string, one bool, o Options) error {
	kind, err := p.kind(rel, v.Entity(), o)
	if err != nil {
		return err
	}
	k := &p.kinds[kind]
	base := 0
	for i, other := range k.views {
		if other == v {
			return p.addFeatures(kind, base, v, name, one, o)
		}
		base += len(k.views[i].Features())
	}
	k.views = append(k.views, v)
	k.width += len(v.Features())
	return p.addFeatures(kind, base, v, name, one, o)
}

func (p *plan) addFeatures(kind, base int, v *feature.View, name string, one bool, o Options) error {
	found := false
	var names []string
	for i, f := range v.Features() {
		names = append(names, string(f.Name))
		if one && string(f.Name) != name {
			continue
		}
		found = true
		p.columns = append(p.columns, column{name: o.name(string(v.Name()), string(f.Name)), typ: f.Type, kind: kind, at: base + i})
	}
	if !found {
		return freshet.FieldErrorf(freshet.NotFound, "features", "features: view %s has no feature %q%s", v.Name(), name, expression.Hint(name, names))
	}
	return nil
}

func (p *plan) addTable(kind int, t freshet.TableName, opened *table.Table, name string, one bool, o Options) error {
	found := false
	var names []string
	for i, c := range opened.Columns() {
		names = append(names, c.Name)
		// The key stands in the rows already.
		if one && c.Name != name || !one && slices.Contains(p.kinds[kind].fields, c.Name) {
			continue
		}
		found = true
		p.columns = append(p.columns, column{
			name: o.name(string(t), c.Name), typ: expression.Type{Kind: c.Kind, Int: c.Int}, kind: kind, table: opened, at: i,
		})
	}
	if !found {
		return freshet.FieldErrorf(freshet.NotFound, "features", "features: table %s has no column %q%s", t, name, expression.Hint(name, names))
	}
	return nil
}

func (o Options) name(source, feature string) string {
	if o.FullNames {
		return source + "__" + feature
	}
	return feature
}

// kind is the place of an entity kind among the plan's; its key must be in the rows.
func (p *plan) kind(rel *release.Opened, kind freshet.EntityKind, o Options) (int, error) {
	if i := slices.IndexFunc(p.kinds, func(k kindPlan) bool { return k.kind == kind }); i >= 0 {
		return i, nil
	}
	entity, ok := rel.Project().Entity(kind)
	if !ok {
		return 0, freshet.Errorf(freshet.Internal, "the project has no entity %s", kind)
	}
	k := kindPlan{kind: kind, fields: entity.KeyFields}
	for _, field := range entity.KeyFields {
		at := slices.Index(p.input, field)
		if at < 0 {
			return 0, freshet.FieldErrorf(freshet.InvalidArgument, field, "%s has no column %q, which names the %s; it has %s", o.Entities, field, kind, strings.Join(p.input, ", "))
		}
		k.keys = append(k.keys, at)
	}
	p.kinds = append(p.kinds, k)
	return len(p.kinds) - 1, nil
}

// moment is the time of a row.
func (p *plan) moment(cells []cell) (freshet.Timestamp, error) {
	t, err := cells[p.time].moment()
	if err != nil {
		return 0, freshet.Errorf("", "column %s: %w", p.input[p.time], err)
	}
	return t, nil
}

// key is the entity key of a row.
func (k *kindPlan) key(cells []cell) (freshet.Key, error) {
	values := make([]string, len(k.keys))
	for i, at := range k.keys {
		v, err := cells[at].key()
		if err != nil {
			return "", freshet.Errorf("", "column %s: %w", k.fields[i], err)
		}
		values[i] = v
	}
	return freshet.JoinKey(values...), nil
}

// row is a place for the values of one row of the output.
func (p *plan) row() []expression.Value { return make([]expression.Value, len(p.columns)) }

// fill puts the values of a row into values: those of views from the results, those of tables from the tables.
func (p *plan) fill(values []expression.Value, cells []cell, row int64, results *results) error {
	for i := range p.kinds {
		k := &p.kinds[i]
		key, err := k.key(cells)
		if err != nil {
			return err
		}
		var ofViews []expression.Value
		if len(k.views) > 0 {
			if ofViews, err = results.next(freshet.PartitionOf(key), row, k.width); err != nil {
				return err
			}
		}
		for j, c := range p.columns {
			if c.kind != i {
				continue
			}
			if c.table == nil {
				values[j] = ofViews[c.at]
				continue
			}
			values[j] = expression.Value{}
			if at, ok := c.table.Find(key); ok {
				values[j] = c.table.Value(at, c.at)
			}
		}
	}
	return nil
}
