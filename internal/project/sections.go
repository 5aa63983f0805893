package project

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
)

var (
	projectKeys = []string{"project", "entities", "events", "lateness", "embedder", "views", "tables", "models", "pipelines", "segment", "push"}
	eventKeys   = []string{"keys", "fields"}
	viewKeys    = []string{"entity", "from", "where", "window", "features"}
	tableKeys   = []string{"entity", "file", "push", "columns"}
)

// fieldTypes are the types of event fields; a vector also says its length.
var fieldTypes = []string{"string", "int", "float", "bool", "time", "strings", "vector 3"}

// project reads the whole file into p. Later sections are read also if an earlier one is wrong, but what depends on a
// wrong one is not checked against it.
func (r *reader) project(p *Project, root *node) {
	s, ok := r.section(root, "", projectKeys, nil)
	if !ok {
		return
	}
	r.root = root
	if n := s.need("project"); n != nil {
		p.Name = r.scalar(n, "project")
		if p.Name != "" {
			r.name(n, p.Name, "project")
		}
	}
	p.Lateness = DefaultLateness
	if s.get("lateness") != nil {
		p.Lateness = s.duration("lateness", 0)
	}
	if n := s.need("entities"); n != nil {
		r.entities(p, n)
	}
	r.events(p, s.get("events"))
	good := r.schema(p, s)
	r.setEmbedder(p, s.get("embedder"))
	good = r.views(p, s.get("views"), good) && good
	good = r.tables(p, s.get("tables")) && good
	r.segment(p, s.get("segment"))
	r.models(p, s.get("models"))
	r.push(p, s.get("push"))
	r.pipelines(p, s.get("pipelines"), good)
}

func (r *reader) entities(p *Project, n *node) {
	if n.kind == mapNode && len(n.entries) == 0 {
		r.issue(n, "entities: there must be at least one, such as user: { key: user_id }")
	}
	r.named(n, "entities", func(kind string, key, value *node) {
		path := "entities." + kind
		s, ok := r.section(value, path, []string{"key"}, nil)
		if !ok {
			return
		}
		if s.need("key") == nil {
			return
		}
		fields, nodes := s.texts("key")
		for i, f := range fields {
			if r.name(nodes[i], f, path+": key") && slices.Contains(fields[:i], f) {
				r.issue(nodes[i], "%s: key: %s stands twice", path, f)
			}
		}
		p.Entities = append(p.Entities, feature.EntitySpec{Kind: freshet.EntityKind(kind), KeyFields: fields})
	})
}

func (r *reader) events(p *Project, n *node) {
	r.named(n, "events", func(name string, key, value *node) {
		path := "events." + name
		s, ok := r.section(value, path, eventKeys, nil)
		if !ok {
			return
		}
		s.need("keys")
		e := feature.EventSpec{Type: freshet.EventType(name)}
		e.Keys, _ = s.texts("keys")
		r.named(s.get("fields"), path+".fields", func(field string, key, value *node) {
			if typ := r.scalar(value, path+".fields."+field); typ != "" {
				r.fieldType(value, path+".fields."+field, typ)
				e.Fields = append(e.Fields, feature.FieldSpec{Name: field, Type: typ})
			}
		})
		p.Events = append(p.Events, e)
	})
}

// fieldType reports a type that is none; the length of a vector is checked by package feature.
func (r *reader) fieldType(n *node, what, typ string) {
	if !slices.Contains(fieldTypes, typ) && !strings.HasPrefix(typ, "vector ") {
		r.issue(n, "%s: %s: no such type%s", what, typ, expression.Hint(typ, fieldTypes))
	}
}

// schema compiles entities and events; false if they are wrong.
func (r *reader) schema(p *Project, s section) bool {
	before := len(r.issues)
	keyFields := []string{}
	for _, e := range p.Entities {
		keyFields = append(keyFields, e.KeyFields...)
	}
	r.named(s.get("events"), "events", func(name string, _, value *node) {
		if value.kind != mapNode {
			return
		}
		keys, nodes := section{r: r, path: "events." + name, node: value}.texts("keys")
		for i, k := range keys {
			if !slices.Contains(keyFields, k) {
				r.issue(nodes[i], "events.%s: keys: %s is the key of no entity%s", name, k, expression.Hint(k, keyFields))
			}
		}
	})
	schema, err := feature.NewSchema(p.Entities, p.Events)
	if err != nil {
		r.definition(s.node, "", err)
		return false
	}
	p.Schema = schema
	return len(r.issues) == before && len(p.Entities) > 0
}

// views compiles the views; false if one is wrong.
func (r *reader) views(p *Project, n *node, schemaIsGood bool) bool {
	before := len(r.issues)
	r.named(n, "views", func(name string, key, value *node) {
		path := "views." + name
		s, ok := r.section(value, path, viewKeys, nil)
		if !ok {
			return
		}
		if isReserved(name) {
			r.issue(key, "%s: %s has a meaning of its own in pipelines; choose another name", path, name)
		}
		spec := feature.ViewSpec{Name: freshet.ViewName(name), Where: s.text("where"), Lateness: p.Lateness, Embedder: r.embedder}
		complete := true
		for _, k := range []string{"entity", "from", "window", "features"} {
			complete = s.need(k) != nil && complete
		}
		earlier := len(r.issues)
		spec.Entity = r.entityOf(s)
		spec.From = r.from(p, s, spec.Entity)
		complete = complete && len(r.issues) == earlier
		spec.Windows, _ = s.texts("window")
		r.named(s.get("features"), path+".features", func(name string, _, value *node) {
			if value.kind == scalarNode {
				spec.Features = append(spec.Features, feature.FeatureSpec{Name: freshet.FeatureName(name), Expression: value.text})
				return
			}
			r.issue(value, "%s.features.%s: expected an expression", path, name)
		})
		// Without its entity and events nothing can be said about a view's expressions, and without features nothing is left.
		if !schemaIsGood || !complete || len(spec.Features) == 0 && r.reportedIn(s.get("features")) {
			return
		}
		view, err := feature.NewView(p.Schema, spec)
		if err != nil {
			r.definition(value, path, err)
			return
		}
		p.Views = append(p.Views, view)
	})
	return len(r.issues) == before
}

// entityOf is the entity that a view, table or pipeline is about; "" if it is none, which is reported.
func (r *reader) entityOf(s section) freshet.EntityKind {
	kind := s.text("entity")
	if kind == "" || !r.declared(s.get("entity"), s.path+": entity", "entity", kind, "entities") {
		return ""
	}
	return freshet.EntityKind(kind)
}

// from is the list of event types of a view or pipeline, each of which must have the keys of its entity.
func (r *reader) from(p *Project, s section, kind freshet.EntityKind) []freshet.EventType {
	names, nodes := s.texts("from")
	var types []freshet.EventType
	entity, _ := p.Entity(kind)
	for i, name := range names {
		t := freshet.EventType(name)
		if !r.declared(nodes[i], s.path+": from", "event type", name, "events") {
			continue
		}
		if slices.Contains(types, t) {
			r.issue(nodes[i], "%s: from: %s stands twice", s.path, name)
			continue
		}
		event, _ := p.Event(t)
		for _, f := range entity.KeyFields {
			if !slices.Contains(event.Keys, f) {
				r.issue(nodes[i], "%s: from: %s has no key %s of entity %s", s.path, name, f, kind)
			}
		}
		types = append(types, t)
	}
	return types
}

// definition reports what package feature said about the part of the file at n, each error at its place.
func (r *reader) definition(n *node, path string, err error) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			r.definition(n, path, e)
		}
		return
	}
	d, ok := errors.AsType[*feature.DefinitionError](err)
	if !ok {
		r.issue(n, "%s%v", section{path: path}.prefix(), err)
		return
	}
	at, exact := n.find(d.Element)
	if r.reported(at) {
		return
	}
	line, column := at.line, at.column
	if exact && at.kind == scalarNode && !isList(d.Element) {
		line, column = r.place(at, d.Offset)
	}
	r.issueAt(line, column, "%s: %v", strings.TrimPrefix(path+"."+d.Element, "."), d.Err)
}

func isList(element string) bool { return strings.HasSuffix(element, "]") }

// find goes down the path "events.play.keys[0]" as far as it leads. A key whose value is a map stands for the whole.
func (n *node) find(path string) (at *node, exact bool) {
	for path != "" {
		var step string
		step, path, _ = strings.Cut(path, ".")
		step, index, indexed := strings.Cut(strings.TrimSuffix(step, "]"), "[")
		i := slices.IndexFunc(n.entries, func(e entry) bool { return e.key.text == step })
		if i < 0 {
			return n, false
		}
		if n.entries[i].value.kind == nullNode {
			return n.entries[i].key, false
		}
		n = n.entries[i].value
		if k, err := strconv.Atoi(index); indexed && err == nil && k < len(n.items) {
			n = n.items[k]
		}
	}
	return n, true
}

func (r *reader) models(p *Project, n *node) {
	r.named(n, "models", func(name string, key, value *node) {
		s, ok := r.section(value, "models."+name, []string{"path"}, nil)
		if !ok || s.need("path") == nil {
			return
		}
		path := s.text("path")
		r.localPath(s.get("path"), "models."+name+": path", path)
		p.Models = append(p.Models, Model{Name: freshet.ModelName(name), Path: path})
	})
}

// localPath: a project file may have come from elsewhere, so it reads below its own folder only.
func (r *reader) localPath(n *node, what, path string) {
	if path != "" && !filepath.IsLocal(filepath.FromSlash(path)) {
		r.issue(n, "%s: %s must be relative to the project file and below its folder", what, path)
	}
}
