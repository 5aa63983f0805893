package project

import (
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
)

var (
	segmentKeys = []string{"track", "page", "screen", "identify", "group", "alias", "fields"}
	callKeys    = []string{"type", "fields"}
	traitKeys   = []string{"type", "table", "fields"}
)

// Segment says how messages of Segment's tracking API become events and rows, where the file says it; the zero value says
// nothing. It is immutable.
type Segment struct {
	Track  map[string]SegmentCall // by the name of the event as it is sent
	Calls  map[string]SegmentCall // page, screen, identify, group and alias
	Fields map[string]string      // property or trait as it is sent → field, for all messages
}

// SegmentCall is what becomes of one kind of message.
type SegmentCall struct {
	Type   freshet.EventType // "": the one that is named like the message
	Table  freshet.TableName // of traits, by user or group; "": none
	Fields map[string]string // before those of Segment
}

// segment reads the section about Segment's tracking API; events and tables are known.
func (r *reader) segment(p *Project, n *node) {
	if n == nil {
		return
	}
	s, ok := r.section(n, "segment", segmentKeys, nil)
	if !ok {
		return
	}
	p.Segment = Segment{Track: map[string]SegmentCall{}, Calls: map[string]SegmentCall{}}
	if track := s.get("track"); track != nil {
		r.segmentTrack(p, track)
	}
	for _, call := range segmentKeys[1:6] {
		if value := s.get(call); value != nil {
			p.Segment.Calls[call] = r.segmentCall(p, value, "segment."+call, freshet.EventType(call), call == "identify" || call == "group")
		}
	}
	p.Segment.Fields = r.renames(s.get("fields"), "segment.fields", p.everyField())
}

func (r *reader) segmentTrack(p *Project, n *node) {
	if n.kind != mapNode {
		r.issue(n, "segment.track: expected a map from names of events, as they are sent, to event types")
		return
	}
	for _, e := range n.entries {
		if e.key.text == "" {
			r.issue(e.key, "segment.track: expected the name of an event as it is sent")
			continue
		}
		p.Segment.Track[e.key.text] = r.segmentCall(p, e.value, "segment.track."+e.key.text, "", false)
	}
}

// segmentCall reads an event type, or a map that may also say more. named is the type without one.
func (r *reader) segmentCall(p *Project, n *node, path string, named freshet.EventType, traits bool) (c SegmentCall) {
	if n.kind == scalarNode {
		c.Type = r.segmentType(n, path, r.scalar(n, path))
		return c
	}
	keys := callKeys
	if traits {
		keys = traitKeys
	}
	s, ok := r.section(n, path, keys, nil)
	if !ok {
		return c
	}
	if named == "" && s.need("type") == nil {
		return c
	}
	before := len(r.issues)
	if given := s.get("type"); given != nil {
		c.Type = r.segmentType(given, path+": type", s.text("type"))
		named = c.Type
	}
	targets := p.fieldsOf(named)
	if t := s.get("table"); t != nil && traits {
		c.Table = r.traitTable(p, t, path+": table", s.text("table"))
		if table, ok := p.Table(c.Table); ok {
			targets = append(targets, table.columnNames()...)
		}
	}
	if len(r.issues) > before {
		return c // what may be filled is unknown
	}
	if fields := s.get("fields"); fields != nil && len(targets) == 0 {
		r.issue(fields, "%s: fields: there is no event type %s whose fields could be filled; name one with type", path, named)
		return c
	}
	c.Fields = r.renames(s.get("fields"), path+".fields", targets)
	return c
}

func (r *reader) segmentType(n *node, what, name string) freshet.EventType {
	if name == "" || !r.declared(n, what, "event type", name, "events") {
		return ""
	}
	return freshet.EventType(name)
}

// traitTable is a table that traits can fill: its rows are pushed, and one value is its key.
func (r *reader) traitTable(p *Project, n *node, what, name string) freshet.TableName {
	if name == "" || !r.declared(n, what, "table", name, "tables") {
		return ""
	}
	t, ok := p.Table(freshet.TableName(name))
	switch {
	case !ok: // reported where it stands
		return ""
	case !t.Push:
		r.issue(n, "%s: table %s comes from a file; only a table with push: true takes rows", what, name)
		return ""
	case len(t.Spec.KeyFields) > 1:
		r.issue(n, "%s: the key of table %s is %s, and a message has one id", what, name, strings.Join(t.Spec.KeyFields, ", "))
		return ""
	}
	return t.Name
}

// renames reads a map from names as they are sent to fields, which are some of valid.
func (r *reader) renames(n *node, path string, valid []string) map[string]string {
	if n == nil {
		return nil
	}
	if n.kind != mapNode {
		r.issue(n, "%s: expected a map from names as they are sent to fields", path)
		return nil
	}
	fields := map[string]string{}
	for _, e := range n.entries {
		what := path + "." + e.key.text
		if e.key.text == "" {
			r.issue(e.key, "%s: expected the name of a property or trait as it is sent", path)
			continue
		}
		if field := r.scalar(e.value, what); field != "" && r.one(e.value, what, "field or column", field, valid) {
			fields[e.key.text] = field
		}
	}
	return fields
}

// fieldsOf are the keys and fields of an event type; none if there is no such.
func (p *Project) fieldsOf(t freshet.EventType) []string {
	e, _ := p.Event(t)
	names := slices.Clone(e.Keys)
	for _, f := range e.Fields {
		names = append(names, f.Name)
	}
	return names
}

// everyField are the fields that some message could fill.
func (p *Project) everyField() (names []string) {
	for _, e := range p.Events {
		names = append(names, p.fieldsOf(e.Type)...)
	}
	for _, t := range p.Tables {
		if t.Push {
			names = append(names, t.columnNames()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
