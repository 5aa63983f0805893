package api

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/refused"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/tablestore"
)

// segmentTaker makes events and rows of the messages of one request.
type segmentTaker struct {
	rel      *release.Opened
	open     *release.Set
	batch    *batch
	ingest   freshet.Timestamp
	maxDepth int
	traits   []traitRow
	refused  []refused.Event
}

// take takes one message: as an event, as a row of traits, or as both.
func (t *segmentTaker) take(m *segmentMessage) (refusalCause, error) {
	if cause, err := m.read(t.maxDepth); err != nil {
		return cause, err
	}
	p := t.rel.Project()
	call, typ := callOf(p, m)
	if call.Table != "" {
		row, err := t.row(p, m, call)
		if err != nil {
			return causeInvalid, err
		}
		t.traits = append(t.traits, row)
	}
	event, ok := p.Event(typ)
	if !ok && call.Table != "" {
		return "", nil
	}
	if !ok {
		return causeUnknownType, unknownCall(p, m, typ)
	}
	raw := eventOf(p, m, call, event.Type, fieldNames(p, event.Type))
	if err := t.batch.add(t.rel, t.open, raw, t.ingest, t.maxDepth); err != nil {
		return causeInvalid, err
	}
	return "", nil
}

// callOf is what the project says about a message, and the event type that it becomes, which the project may not have.
func callOf(p *project.Project, m *segmentMessage) (call project.SegmentCall, typ freshet.EventType) {
	if m.call == "track" {
		call = p.Segment.Track[m.event]
		typ = freshet.EventType(m.event)
		if _, exact := p.Event(typ); !exact {
			typ = freshet.EventType(snakeCase(m.event))
		}
	} else {
		call, typ = p.Segment.Calls[m.call], freshet.EventType(m.call)
	}
	if call.Type != "" {
		typ = call.Type
	}
	return call, typ
}

func unknownCall(p *project.Project, m *segmentMessage, typ freshet.EventType) error {
	names := make([]string, len(p.Events))
	for i, e := range p.Events {
		names[i] = string(e.Type)
	}
	if m.call == "track" {
		return freshet.FieldErrorf(freshet.InvalidArgument, "event", "event: %.64q: there is no event type %.64s%s", m.event, typ, expression.Hint(string(typ), names))
	}
	return freshet.FieldErrorf(freshet.InvalidArgument, "type", "type: the project has no event type %s, and its section segment names none for %s", typ, m.call)
}

func fieldNames(p *project.Project, t freshet.EventType) []string {
	e, _ := p.Event(t)
	names := slices.Clone(e.Keys)
	for _, f := range e.Fields {
		names = append(names, f.Name)
	}
	return names
}

// eventOf writes a message as the native API takes it. What the type has no field for is kept, for types to come.
func eventOf(p *project.Project, m *segmentMessage, call project.SegmentCall, typ freshet.EventType, fields []string) []byte {
	w := eventWriter{out: []byte{'{'}, seen: map[string]bool{}}
	if m.id != "" {
		w.text("event_id", m.id)
	}
	w.text("type", string(typ))
	if m.hasHappened {
		w.moment("event_time", m.happened)
		if m.hasSent {
			w.moment("sent_time", m.sent)
		}
	}
	for _, reserved := range []string{"event_id", "event_time", "sent_time", "ingest_time", "event_type"} {
		w.seen[reserved] = true // a property of that name is none of ours
	}
	used := m.renamed(fields, w.set, call.Fields, p.Segment.Fields)
	w.text(userField(p), m.who())
	for _, own := range []struct{ name, text string }{
		{"anonymous_id", m.anonymous}, {"group_id", m.group}, {"previous_id", m.previous}, {"name", m.name}, {"category", m.category}, {"event", m.event},
	} {
		if own.text != "" {
			w.text(own.name, own.text)
		}
	}
	m.others(fields, used, w.set)
	return append(w.out, '}')
}

// userField is the field that holds who a message is about.
func userField(p *project.Project) string {
	if e, ok := p.Entity(freshet.EntityKind("user")); ok && len(e.KeyFields) == 1 {
		return e.KeyFields[0]
	}
	return "user_id"
}

// eventWriter writes the members of an event; of two of one name it keeps the first.
type eventWriter struct {
	out  []byte
	seen map[string]bool
}

func (w *eventWriter) set(name string, value []byte) {
	if w.seen[name] {
		return
	}
	w.seen[name] = true
	if len(w.out) > 1 {
		w.out = append(w.out, ',')
	}
	w.out = append(append(appendText(w.out, name), ':'), value...)
}

func (w *eventWriter) text(name, value string) { w.set(name, appendText(nil, value)) }

func (w *eventWriter) moment(name string, t tablestore.Moment) {
	w.set(name, strconv.AppendInt(nil, int64(freshet.TimestampOf(t.Time())), 10))
}

// renamed gives set each of targets that one of the renames fills, and returns what it has used. The first map wins.
func (m *segmentMessage) renamed(targets []string, set func(name string, value []byte), renames ...map[string]string) (used map[string]bool) {
	used = map[string]bool{}
	for _, names := range renames {
		for _, from := range slices.Sorted(maps.Keys(names)) {
			if !slices.Contains(targets, names[from]) || used[from] {
				continue
			}
			if value := m.find(from); value != nil {
				set(names[from], value)
				used[from] = true
			}
		}
	}
	return used
}

// others gives set the properties or traits that are not used: first those whose names are targets as they are, then all
// others in snake case.
func (m *segmentMessage) others(targets []string, used map[string]bool, set func(name string, value []byte)) {
	names := slices.Sorted(maps.Keys(m.fields))
	for _, name := range names {
		if !used[name] && slices.Contains(targets, name) {
			set(name, m.fields[name])
		}
	}
	for _, name := range names {
		if !used[name] && !slices.Contains(targets, name) {
			set(snakeCase(name), m.fields[name])
		}
	}
}

// find is the value of a name as it is sent: of a property or trait, an id, the name or category of a page, or a path into
// one of them or into the context ("context.page.url"). It is nil if there is none.
func (m *segmentMessage) find(name string) []byte {
	if value, ok := m.fields[name]; ok {
		return value
	}
	for own, text := range map[string]string{
		"userId": m.user, "anonymousId": m.anonymous, "groupId": m.group, "previousId": m.previous, "name": m.name, "category": m.category, "event": m.event,
	} {
		if own == name && text != "" {
			return appendText(nil, text)
		}
	}
	head, rest, ok := strings.Cut(name, ".")
	if !ok {
		return nil
	}
	if head != "context" {
		return inside(m.fields[head], rest)
	}
	for _, context := range m.contexts {
		if value := inside(context, rest); value != nil {
			return value
		}
	}
	return nil
}

// inside follows a path into an object.
func inside(object json.RawMessage, path string) json.RawMessage {
	for more := true; more; {
		var members map[string]json.RawMessage
		if json.Unmarshal(object, &members) != nil {
			return nil
		}
		if value, ok := members[path]; ok {
			return value
		}
		var step string
		if step, path, more = strings.Cut(path, "."); !more {
			return nil
		}
		object = members[step]
	}
	return nil
}

// snakeCase writes a name in small letters with _ between its words: "Play Finished" and "playFinished" are play_finished,
// "contentID" is content_id.
func snakeCase(name string) string {
	letters := []rune(name)
	out := make([]rune, 0, len(letters)+4)
	gap := false
	for i, c := range letters {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			gap = true
			continue
		}
		if unicode.IsUpper(c) && i > 0 {
			before := letters[i-1]
			ends := i+1 < len(letters) && unicode.IsLower(letters[i+1])
			gap = gap || unicode.IsLower(before) || unicode.IsDigit(before) || unicode.IsUpper(before) && ends
		}
		if gap && len(out) > 0 {
			out = append(out, '_')
		}
		gap = false
		out = append(out, unicode.ToLower(c))
	}
	return string(out)
}
