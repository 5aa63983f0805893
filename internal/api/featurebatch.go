package api

import (
	"encoding/json"
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

// Bounds of one batch read.
const (
	maxEntities = 1000
	maxNames    = 1000
	maxValues   = 100_000 // entities × names
)

// batchRead is the body of POST /v1/features. What may also stand in the query may stand here.
type batchRead struct {
	Features []string        `json:"features"`
	Entities []keyFields     `json:"entities"`
	At       json.RawMessage `json:"at"`
	AsOf     *string         `json:"as_of"`
	After    *string         `json:"after"`
	Wait     *string         `json:"wait"`
}

// postFeatures answers several features of several entities at one moment.
func (a *API) postFeatures(w *response, r *http.Request) error {
	rel, err := a.live()
	if err != nil {
		return err
	}
	defer rel.Unpin()
	q, err := parseQuery(r, "at", "as_of", "after", "wait")
	if err != nil {
		return err
	}
	var asked batchRead
	if err := a.readJSON(w, r, &asked); err != nil {
		return err
	}
	if q, err = asked.into(q); err != nil {
		return err
	}
	read, err := a.featureRead(q)
	if err != nil {
		return err
	}
	if err := asked.check(); err != nil {
		return err
	}
	columns, err := a.columnsOf(rel, asked.Features)
	if err != nil {
		return err
	}
	if n := len(asked.Entities) * len(columns.names); n > maxValues {
		return freshet.FieldErrorf(freshet.TooLarge, "entities", "entities: %d of them × %d features are %d values; expected at most %d, ask for less at once",
			len(asked.Entities), len(columns.names), n, maxValues)
	}
	keys, err := columns.keys(asked.Entities)
	if err != nil {
		return err
	}
	stale, err := a.awaitRows(r.Context(), read.barrier, slices.Concat(keys...)...)
	if err != nil {
		return err
	}
	f := a.frame(len(columns.names) * len(asked.Entities))
	defer a.returnFrame(f)
	values, scratch := f.values, f.scratch // column after column
	defer func() { f.scratch = scratch }()
	at := read.moment(a)
	for g, group := range columns.groups {
		for row, key := range keys[g] {
			scratch, err = a.deps.Values.Values(r.Context(), rel, group.views, key, at, read.known, scratch[:0])
			if err != nil {
				return err
			}
			for _, p := range group.picks {
				values[p.column*len(asked.Entities)+row] = scratch[p.value]
			}
			for _, l := range group.lookups {
				if at, ok := l.table.Find(key); ok {
					values[l.column*len(asked.Entities)+row] = l.table.Value(at, l.from)
				}
			}
			for _, p := range group.pushed {
				found, ok, err := a.deps.Tables.Find(r.Context(), p.spec, key, scratch[:0])
				if err != nil {
					return err
				}
				if !ok {
					continue
				}
				for _, pick := range p.picks {
					values[pick.column*len(asked.Entities)+row] = found.Values[pick.value]
				}
			}
		}
	}
	a.answerColumns(w, columns, values, len(asked.Entities), at, rel.ID(), stale)
	return nil
}

func (a *API) answerColumns(w *response, c *columns, values []expression.Value, rows int, at freshet.Timestamp, id freshet.ReleaseID, stale bool) {
	out := a.buffer()
	defer a.returnBuffer(out)
	b := append((*out)[:0], c.head...)
	for i := range c.names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for j, v := range values[i*rows : (i+1)*rows] {
			if j > 0 {
				b = append(b, ',')
			}
			b = v.AppendJSON(b)
		}
		b = append(b, ']')
	}
	b = append(b, `],"at":`...)
	b = appendTime(b, at)
	b = append(b, `,"release":`...)
	b = appendText(b, string(id))
	if stale {
		b = append(b, `,"stale":true`...)
	}
	*out = append(b, '}')
	w.json(http.StatusOK, *out)
}

// into joins what the body says about when and how to read with what the query says.
func (f *batchRead) into(q query) (query, error) {
	joined := query{}
	for name, value := range q {
		joined[name] = value
	}
	given := map[string]*string{"as_of": f.AsOf, "after": f.After, "wait": f.Wait}
	if len(f.At) > 0 && string(f.At) != "null" {
		text := string(f.At)
		if f.At[0] == '"' {
			if err := json.Unmarshal(f.At, &text); err != nil {
				return nil, invalid("at", "%.64q: expected a text or a number", f.At)
			}
		}
		given["at"] = &text
	}
	for name, value := range given {
		if value == nil {
			continue
		}
		if _, twice := joined[name]; twice {
			return nil, invalid(name, "given in the query and in the body; expected once")
		}
		joined[name] = *value
	}
	return joined, nil
}

func (f *batchRead) check() error {
	switch {
	case len(f.Features) == 0:
		return invalid("features", "missing; expected a list of view.feature, view or table.column")
	case len(f.Features) > maxNames:
		return freshet.FieldErrorf(freshet.TooLarge, "features", "features: %d of them; expected at most %d", len(f.Features), maxNames)
	case f.Entities == nil:
		return invalid("entities", `missing; expected a list of objects of key fields, such as {"user_id": "u1"}`)
	case len(f.Entities) > maxEntities:
		return freshet.FieldErrorf(freshet.TooLarge, "entities", "entities: %d of them; expected at most %d", len(f.Entities), maxEntities)
	}
	return nil
}

// columns are the features asked for, by the entity kind that they are about.
type columns struct {
	names  []string
	head   []byte // of the answer, with the names
	groups []*group
}

// group are the columns of one entity kind.
type group struct {
	spec    feature.EntitySpec
	views   []*feature.View
	first   []int // for each view the place of its first feature among the values of all
	width   int   // features of all views
	picks   []pick
	lookups []lookup
	pushed  []*pushed
}

// pushed are the columns of one push table.
type pushed struct {
	spec  *table.Spec
	picks []pick
}

// pick takes a feature of a view into a column.
type pick struct{ value, column int }

// lookup takes a column of a table into a column.
type lookup struct {
	table        *table.Table
	from, column int
}

// askedColumns are the columns of the request before. It is immutable.
type askedColumns struct {
	rel     *release.Opened
	names   []string
	columns *columns
}

// columnsOf is columnsOf, which takes longer than reading the features of one entity. Clients ask for the same features again
// and again, so that the last answer is kept.
func (a *API) columnsOf(rel *release.Opened, names []string) (*columns, error) {
	if last := a.asked.Load(); last != nil && last.rel == rel && slices.Equal(last.names, names) {
		return last.columns, nil
	}
	c, err := columnsOf(rel, names)
	if err == nil {
		a.asked.Store(&askedColumns{rel, names, c})
	}
	return c, err
}

// valueFrame is the memory of one batch read.
type valueFrame struct{ values, scratch []expression.Value }

// frame gives room for n values, all null.
func (a *API) frame(n int) *valueFrame {
	f, ok := a.frames.Get().(*valueFrame)
	if !ok {
		f = &valueFrame{}
	}
	f.values = slices.Grow(f.values[:0], n)[:n]
	return f
}

// returnFrame takes a frame back. What its values refer to is let go.
func (a *API) returnFrame(f *valueFrame) {
	clear(f.values)
	clear(f.scratch[:cap(f.scratch)])
	if cap(f.values) <= maxKeptValues {
		a.frames.Put(f)
	}
}

// maxKeptValues bounds the memory that frames hold when nobody reads.
const maxKeptValues = 16 << 10

// columnsOf finds what the names mean: view.feature, view, or table.column.
func columnsOf(rel *release.Opened, names []string) (*columns, error) {
	c := &columns{}
	for _, name := range names {
		if err := c.add(rel, name); err != nil {
			return nil, err
		}
		if len(c.names) > maxNames {
			return nil, freshet.FieldErrorf(freshet.TooLarge, "features", "features: more than %d when views are written out; ask for less at once", maxNames)
		}
	}
	c.head = append(c.head, `{"names":[`...)
	for i, name := range c.names {
		if i > 0 {
			c.head = append(c.head, ',')
		}
		c.head = appendText(c.head, name)
	}
	c.head = append(c.head, `],"columns":[`...)
	return c, nil
}

func (c *columns) add(rel *release.Opened, name string) error {
	owner, part, dotted := strings.Cut(name, ".")
	if view, ok := rel.View(freshet.ViewName(owner)); ok {
		return c.addView(rel, view, freshet.FeatureName(part), dotted)
	}
	if t, ok := rel.Project().Table(freshet.TableName(owner)); ok {
		var names []string
		for _, column := range t.Spec.Columns {
			names = append(names, column.Name)
		}
		if !slices.Contains(names, part) {
			return unknownFeature(name, "table "+owner+" has no column "+clip(part, 64), part, names)
		}
		if t.Push {
			return c.addPushed(rel, t, slices.Index(names, part))
		}
		return c.addColumn(rel, t.Name, t.Entity, part)
	}
	var owners []string
	for _, v := range rel.Project().Views {
		owners = append(owners, string(v.Name()))
	}
	for _, t := range rel.Project().Tables {
		owners = append(owners, string(t.Name))
	}
	return unknownFeature(name, "there is no view or table "+clip(owner, 64), owner, owners)
}

func unknownFeature(name, what, wrong string, names []string) error {
	return freshet.FieldErrorf(freshet.NotFound, "features", "features: %.128q: %s%s", name, what, expression.Hint(clip(wrong, 64), names))
}

func (c *columns) addView(rel *release.Opened, view *feature.View, name freshet.FeatureName, dotted bool) error {
	g, err := c.group(rel, view.Entity())
	if err != nil {
		return err
	}
	first := g.view(view)
	found := false
	for i, f := range view.Features() {
		if dotted && f.Name != name {
			continue
		}
		found = true
		g.picks = append(g.picks, pick{value: first + i, column: len(c.names)})
		c.names = append(c.names, string(view.Name())+"."+string(f.Name))
	}
	if found {
		return nil
	}
	var names []string
	for _, f := range view.Features() {
		names = append(names, string(f.Name))
	}
	return unknownFeature(string(view.Name())+"."+string(name), "view "+string(view.Name())+" has no feature "+clip(string(name), 64), string(name), names)
}

func (c *columns) addColumn(rel *release.Opened, name freshet.TableName, kind freshet.EntityKind, column string) error {
	g, err := c.group(rel, kind)
	if err != nil {
		return err
	}
	t, ok := rel.Table(name)
	if !ok {
		return freshet.Errorf(freshet.Internal, "table %s is declared and not opened", name)
	}
	from := slices.IndexFunc(t.Columns(), func(c table.Column) bool { return c.Name == column })
	if from < 0 {
		return freshet.Errorf(freshet.Internal, "table %s is opened without its column %s", name, column)
	}
	g.lookups = append(g.lookups, lookup{table: t, from: from, column: len(c.names)})
	c.names = append(c.names, string(name)+"."+column)
	return nil
}

func (c *columns) addPushed(rel *release.Opened, t project.Table, column int) error {
	g, err := c.group(rel, t.Entity)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(g.pushed, func(p *pushed) bool { return p.spec.Name == t.Name })
	if at < 0 {
		g.pushed = append(g.pushed, &pushed{spec: &t.Spec})
		at = len(g.pushed) - 1
	}
	g.pushed[at].picks = append(g.pushed[at].picks, pick{value: column, column: len(c.names)})
	c.names = append(c.names, string(t.Name)+"."+t.Spec.Columns[column].Name)
	return nil
}

// group finds or makes the columns of kind.
func (c *columns) group(rel *release.Opened, kind freshet.EntityKind) (*group, error) {
	for _, g := range c.groups {
		if g.spec.Kind == kind {
			return g, nil
		}
	}
	spec, err := entitySpec(rel, kind)
	if err != nil {
		return nil, err
	}
	c.groups = append(c.groups, &group{spec: spec})
	return c.groups[len(c.groups)-1], nil
}

// view finds or adds a view and returns the place of its first feature.
func (g *group) view(v *feature.View) int {
	if i := slices.Index(g.views, v); i >= 0 {
		return g.first[i]
	}
	g.views = append(g.views, v)
	g.first = append(g.first, g.width)
	g.width += len(v.Features())
	return g.first[len(g.first)-1]
}

// keys are the keys of the entities, for each group of columns.
func (c *columns) keys(entities []keyFields) ([][]freshet.Key, error) {
	var known []string
	for _, g := range c.groups {
		known = append(known, g.spec.KeyFields...)
	}
	keys := make([][]freshet.Key, len(c.groups))
	for i, entity := range entities {
		for field := range entity {
			if !slices.Contains(known, field) {
				return nil, entityError(i, invalid(clip(field, 64), "no key field of the features asked for; expected %s", strings.Join(known, ", ")))
			}
		}
		for g := range c.groups {
			key, err := entity.key(c.groups[g].spec)
			if err != nil {
				return nil, entityError(i, err)
			}
			keys[g] = append(keys[g], key)
		}
	}
	return keys, nil
}

func entityError(i int, err error) error { return freshet.Errorf("", "entities[%d]: %w", i, err) }
