package feature

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// Record is one decoded event. It is filled by Decode and DecodeEvent and used again for the next event: what it holds is
// valid until then. Strings may be kept. Make it with Schema.NewRecord, one per goroutine.
type Record struct {
	ID         freshet.EventID // "" if the event came without: the caller gives one
	Type       freshet.EventType
	EventTime  freshet.Timestamp // corrected and clamped
	IngestTime freshet.Timestamp
	Clamped    bool // the event claimed to be later than its ingest time

	typ     *eventType
	slots   []expression.Value
	decoder decoder
}

// NewRecord makes a record for Decode and DecodeEvent to fill.
func (s *Schema) NewRecord() *Record {
	r := &Record{slots: make([]expression.Value, s.slots)}
	r.decoder.json = jsontext.NewDecoder(bytes.NewBuffer(nil))
	return r
}

// Key is the key of the entity of that kind; ok is false if the event's type has not all of its key fields.
func (r *Record) Key(kind freshet.EntityKind) (key freshet.Key, ok bool) {
	if r.typ == nil {
		return "", false
	}
	for i := range r.typ.entities {
		e := &r.typ.entities[i]
		if e.kind != kind {
			continue
		}
		if len(e.slots) == 1 {
			return freshet.Key(r.slots[e.slots[0]].Str), true
		}
		values := make([]string, len(e.slots))
		for j, slot := range e.slots {
			values[j] = r.slots[slot].Str
		}
		return freshet.JoinKey(values...), true
	}
	return "", false
}

// Slots are the values of the event's fields, in the slots of Schema.Env. They are not to be changed.
func (r *Record) Slots() []expression.Value { return r.slots }
