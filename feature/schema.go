package feature

import (
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

// Schema knows all entities and event types of a project. It is immutable and safe for concurrent use.
type Schema struct{}

// NewSchema checks the declarations. The error joins one *DefinitionError per problem.
func NewSchema(entities []EntitySpec, events []EventSpec) (*Schema, error) { return nil, nil }

// Env is the environment of expressions over one event that is of one of types.
func (s *Schema) Env(types ...freshet.EventType) (expression.Env, error) { return nil, nil }

// Slots is the length of Record.Slots.
func (s *Schema) Slots() int { return 0 }

// NewRecord makes a record for Decode to fill; one per goroutine.
func (s *Schema) NewRecord() *Record { return nil }

// Decode reads one event as a client sent it.
func (s *Schema) Decode(raw []byte, ingest freshet.Timestamp, r *Record) error { return nil }

// DecodeEvent reads an event of the log.
func (s *Schema) DecodeEvent(ev *freshet.Event, r *Record) error { return nil }

// Record is one decoded event.
type Record struct {
	ID         freshet.EventID
	Type       freshet.EventType
	EventTime  freshet.Timestamp
	IngestTime freshet.Timestamp
	Clamped    bool
	slots      []expression.Value
}

// Key is the key of the entity of the kind that the event is about.
func (r *Record) Key(kind freshet.EntityKind) (freshet.Key, bool) { return "", false }

// Slots are the values of the fields.
func (r *Record) Slots() []expression.Value { return r.slots }
