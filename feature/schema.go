package feature

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// EntitySpec declares a kind of entity and the event fields that make its key, in order.
type EntitySpec struct {
	Kind      freshet.EntityKind
	KeyFields []string
}

// FieldSpec declares one field of an event type.
type FieldSpec struct {
	Name string
	Type string // "string", "int", "float", "bool", "time", "strings" or "vector N"
}

// EventSpec declares an event type: the key fields that each such event must have, and its typed fields.
type EventSpec struct {
	Type   freshet.EventType
	Keys   []string
	Fields []FieldSpec
}

// Schema knows the entities and the event types of a project: it decodes events and gives the names of expressions over
// events their types. It is immutable and safe for concurrent use.
type Schema struct {
	entities map[freshet.EntityKind][]string // key fields
	types    map[freshet.EventType]*eventType
	slots    int // how many values a record has
}

// Slots that every event has.
const (
	typeSlot = iota
	timeSlot
	freeSlots
)

// eventType is how events of one type are decoded.
type eventType struct {
	name     freshet.EventType
	fields   map[string]*field
	ordered  []*field // as declared: keys, then fields
	entities []entityKey
}

// field is a key or a typed field of an event type.
type field struct {
	name  string
	typ   expression.Type
	slot  int
	isKey bool
	read  reader
}

// entityKey says where the key of an entity stands.
type entityKey struct {
	kind  freshet.EntityKind
	slots []int
}

// reservedNames mean something of their own in an event or in an expression.
var reservedNames = []string{"event_id", "type", "event_time", "sent_time", "ingest_time", "event_type"}

// NewSchema checks and compiles the declarations. The error joins one *DefinitionError for each thing that is wrong; their
// elements are "entities.KIND", "entities.KIND.key[0]", "events.TYPE", "events.TYPE.keys[0]" and "events.TYPE.fields.NAME"
// (a list of one has no index).
func NewSchema(entities []EntitySpec, events []EventSpec) (*Schema, error) {
	s := &Schema{
		entities: map[freshet.EntityKind][]string{},
		types:    map[freshet.EventType]*eventType{},
		slots:    freeSlots,
	}
	b := schemaBuilder{schema: s, slotOf: map[string]int{}}
	for _, e := range entities {
		b.addEntity(e)
	}
	for _, e := range events {
		b.addEvent(e)
	}
	if len(b.problems) > 0 {
		return nil, errors.Join(b.problems...)
	}
	return s, nil
}

type schemaBuilder struct {
	schema   *Schema
	slotOf   map[string]int // by name and type
	problems []error
}

func (b *schemaBuilder) report(element, format string, args ...any) {
	err := freshet.Errorf(freshet.InvalidArgument, format, args...)
	b.problems = append(b.problems, &DefinitionError{Element: element, Err: err})
}

func (b *schemaBuilder) addEntity(e EntitySpec) {
	element := "entities." + string(e.Kind)
	if !isName(string(e.Kind)) {
		b.report(element, "entity %s: %s", e.Kind, nameRule)
	}
	if _, twice := b.schema.entities[e.Kind]; twice {
		b.report(element, "entity %s is declared twice", e.Kind)
		return
	}
	if len(e.KeyFields) == 0 {
		b.report(element, "entity %s: it needs a key field", e.Kind)
	}
	for i, key := range e.KeyFields {
		at := element + "." + indexed("key", i, len(e.KeyFields))
		b.checkField(at, key)
		if slices.Contains(e.KeyFields[:i], key) {
			b.report(at, "key %s of entity %s stands there twice", key, e.Kind)
		}
	}
	b.schema.entities[e.Kind] = slices.Clone(e.KeyFields)
}

func (b *schemaBuilder) addEvent(e EventSpec) {
	element := "events." + string(e.Type)
	if !isName(string(e.Type)) {
		b.report(element, "event type %s: %s", e.Type, nameRule)
	}
	if _, twice := b.schema.types[e.Type]; twice {
		b.report(element, "event type %s is declared twice", e.Type)
		return
	}
	t := &eventType{name: e.Type, fields: map[string]*field{}}
	for i, key := range e.Keys {
		at := element + "." + indexed("keys", i, len(e.Keys))
		if keys := b.keyFields(); !slices.Contains(keys, key) {
			b.report(at, "key %s of event type %s is the key of no entity%s", key, e.Type, expression.Hint(key, keys))
			continue
		}
		b.addField(t, at, &field{name: key, typ: expression.Type{Kind: expression.String}, isKey: true, read: readKey})
	}
	for _, spec := range e.Fields {
		at := element + ".fields." + spec.Name
		b.checkField(at, spec.Name)
		typ, read, ok := fieldType(spec.Type)
		if !ok {
			b.report(at, "field %s: there is no type %q; expected string, int, float, bool, time, strings or vector N with N from 1 to %d",
				spec.Name, spec.Type, maxDimension)
			continue
		}
		b.addField(t, at, &field{name: spec.Name, typ: typ, read: read})
	}
	for _, kind := range slices.Sorted(maps.Keys(b.schema.entities)) {
		if slots, ok := t.keySlots(b.schema.entities[kind]); ok {
			t.entities = append(t.entities, entityKey{kind: kind, slots: slots})
		}
	}
	b.schema.types[e.Type] = t
}

// keySlots says where the key fields stand, if the type has all of them as keys.
func (t *eventType) keySlots(keys []string) (slots []int, ok bool) {
	for _, key := range keys {
		f := t.fields[key]
		if f == nil || !f.isKey {
			return nil, false
		}
		slots = append(slots, f.slot)
	}
	return slots, len(slots) > 0
}

func (b *schemaBuilder) keyFields() []string {
	var keys []string
	for _, fields := range b.schema.entities {
		keys = append(keys, fields...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func (b *schemaBuilder) checkField(element, name string) {
	if !isName(name) {
		b.report(element, "field %s: %s", name, nameRule)
	}
	if slices.Contains(reservedNames, name) {
		b.report(element, "field %s: the name has a meaning of its own in every event; choose another", name)
	}
}

// addField gives a field its slot: one for each name and type, so that event types share slots.
func (b *schemaBuilder) addField(t *eventType, element string, f *field) {
	if t.fields[f.name] != nil {
		b.report(element, "field %s of event type %s is declared twice", f.name, t.name)
		return
	}
	key := f.name + " " + f.typ.String()
	slot, ok := b.slotOf[key]
	if !ok {
		slot = b.schema.slots
		b.schema.slots++
		b.slotOf[key] = slot
	}
	f.slot = slot
	t.fields[f.name] = f
	t.ordered = append(t.ordered, f)
}

const maxDimension = 4096 // of a vector field

// fieldType reads the type of a field as a project file has it.
func fieldType(text string) (t expression.Type, read reader, ok bool) {
	switch text {
	case "string":
		return expression.Type{Kind: expression.String}, readString, true
	case "int":
		return expression.Type{Kind: expression.Number, Int: true}, readInt, true
	case "float":
		return expression.Type{Kind: expression.Number}, readFloat, true
	case "bool":
		return expression.Type{Kind: expression.Bool}, readBool, true
	case "time":
		return expression.Type{Kind: expression.Time}, readTimeField, true
	case "strings":
		return expression.Type{Kind: expression.List, Elem: expression.String}, readStrings, true
	}
	words := strings.Fields(text)
	if len(words) == 2 && words[0] == "vector" {
		n, err := strconv.Atoi(words[1])
		if err == nil && n >= 1 && n <= maxDimension {
			return expression.Type{Kind: expression.Vector, Dim: n}, readVector, true
		}
	}
	return t, nil, false
}

const nameRule = "a name is a lower-case letter, then up to 62 lower-case letters, digits and _"

// isName says whether a name of a project file is one.
func isName(s string) bool {
	if s == "" || len(s) > 63 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// Env is the environment of expressions over one event of one of types: their fields, their keys as strings, event_type
// and event_time. The slots are those of Record.Slots; a field that an event's type lacks is null. The error is a
// *DefinitionError of element "from" or "from[i]": an unknown type, or a name that two types declare differently.
func (s *Schema) Env(types ...freshet.EventType) (expression.Env, error) {
	env, problems := s.eventEnv(types)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return env, nil
}

func (s *Schema) eventEnv(types []freshet.EventType) (env *eventEnv, problems []error) {
	env = &eventEnv{slots: map[string]expression.Slot{
		"event_type": {Index: typeSlot, Type: expression.Type{Kind: expression.String}},
		"event_time": {Index: timeSlot, Type: expression.Type{Kind: expression.Time}},
	}}
	report := func(i int, format string, args ...any) {
		err := freshet.Errorf(freshet.InvalidArgument, format, args...)
		problems = append(problems, &DefinitionError{Element: indexed("from", i, len(types)), Err: err})
	}
	for i, name := range types {
		t := s.types[name]
		if t == nil {
			report(i, "there is no event type %s%s", name, expression.Hint(string(name), s.typeNames()))
			continue
		}
		if slices.Contains(types[:i], name) {
			report(i, "event type %s stands there twice", name)
			continue
		}
		for _, f := range t.ordered {
			if other, ok := env.slots[f.name]; ok && other.Index != f.slot {
				report(i, "field %s has two types: %s in %s, %s before it", f.name, f.typ, name, other.Type)
				continue
			}
			env.slots[f.name] = expression.Slot{Index: f.slot, Type: f.typ}
		}
	}
	return env, problems
}

func (s *Schema) typeNames() []string {
	var names []string
	for name := range s.types {
		names = append(names, string(name))
	}
	return names
}

// eventEnv is the environment of one event.
type eventEnv struct{ slots map[string]expression.Slot }

func (e *eventEnv) Resolve(name string) (expression.Slot, bool) {
	slot, ok := e.slots[name]
	return slot, ok
}

func (e *eventEnv) Names() []string { return slices.Collect(maps.Keys(e.slots)) }

// Call refuses aggregates: of one event there are none.
func (e *eventEnv) Call(name string, _ []*expression.Tree) (expression.Slot, bool, error) {
	if slices.Contains(aggregateNames(), name) {
		return expression.Slot{}, true, freshet.Errorf(freshet.InvalidArgument,
			"%s looks at all events of a window and cannot stand where one event is looked at", name)
	}
	return expression.Slot{}, false, nil
}

// Functions is empty: min and max of one event are those of two or more values.
func (e *eventEnv) Functions() []string { return nil }

// Slots is the length of Record.Slots.
func (s *Schema) Slots() int { return s.slots }
