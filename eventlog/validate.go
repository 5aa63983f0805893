package eventlog

import (
	"github.com/freshet-ml/freshet"
)

// Limits of an entry, besides those of the event contract in package freshet.
const (
	MaxPayloadBytes = 1 << 20
	MaxNameBytes    = 128 // of an event type, of an entity kind
	MaxEntities     = freshet.MaxEntities

	// MaxJoinedKeyBytes bounds the key of an entity. A key of one field has at most freshet.MaxKeyBytes, which is
	// checked where the fields are known; freshet.JoinKey makes three bytes of one in the worst case.
	MaxJoinedKeyBytes = 4096
)

// validate refuses what no driver should have to think about. Fields are named as in the event's JSON.
func validate(entries []Entry) error {
	for i := range entries {
		if err := validateEvent(&entries[i].Event); err != nil {
			return freshet.Errorf("", "event %d of %d: %w", i+1, len(entries), err)
		}
		if err := validateEntities(entries[i].Entities); err != nil {
			return freshet.Errorf("", "event %d of %d, id %q: %w", i+1, len(entries), entries[i].Event.ID, err)
		}
	}
	return nil
}

func validateEvent(e *freshet.Event) error {
	switch {
	case len(e.ID) == 0 || len(e.ID) > freshet.MaxEventIDBytes:
		return freshet.FieldErrorf(freshet.InvalidArgument, "event_id",
			"event_id: expected 1 to %d bytes, got %d", freshet.MaxEventIDBytes, len(e.ID))
	case len(e.Type) == 0 || len(e.Type) > MaxNameBytes:
		return freshet.FieldErrorf(freshet.InvalidArgument, "type",
			"type: expected 1 to %d bytes, got %d", MaxNameBytes, len(e.Type))
	case !inRange(e.IngestTime):
		return freshet.FieldErrorf(freshet.InvalidArgument, "ingest_time",
			"ingest_time: %d ms is outside 1970 … 9999", int64(e.IngestTime))
	case !inRange(e.EventTime):
		return freshet.FieldErrorf(freshet.InvalidArgument, "event_time",
			"event_time: %d ms is outside 1970 … 9999", int64(e.EventTime))
	case e.EventTime > e.IngestTime:
		return freshet.FieldErrorf(freshet.InvalidArgument, "event_time",
			"event_time: %v is after the ingest time %v; clamp it first", e.EventTime, e.IngestTime)
	case len(e.Payload) == 0:
		return freshet.FieldErrorf(freshet.InvalidArgument, "payload", "payload: expected a JSON object, got nothing")
	case len(e.Payload) > MaxPayloadBytes:
		return freshet.FieldErrorf(freshet.TooLarge, "payload",
			"payload: expected at most %d bytes, got %d", MaxPayloadBytes, len(e.Payload))
	}
	return nil
}

func validateEntities(entities []freshet.Entity) error {
	if len(entities) == 0 || len(entities) > MaxEntities {
		return freshet.FieldErrorf(freshet.InvalidArgument, "entities",
			"entities: expected 1 to %d entities, got %d", MaxEntities, len(entities))
	}
	for i, e := range entities {
		if len(e.Kind) == 0 || len(e.Kind) > MaxNameBytes {
			return freshet.FieldErrorf(freshet.InvalidArgument, "entities",
				"entities: expected a kind of 1 to %d bytes, got %d", MaxNameBytes, len(e.Kind))
		}
		if len(e.Key) == 0 || len(e.Key) > MaxJoinedKeyBytes {
			return freshet.FieldErrorf(freshet.InvalidArgument, string(e.Kind),
				"key of %s: expected 1 to %d bytes, got %d", e.Kind, MaxJoinedKeyBytes, len(e.Key))
		}
		for _, other := range entities[:i] {
			if other.Kind == e.Kind {
				return freshet.FieldErrorf(freshet.InvalidArgument, string(e.Kind),
					"entities: kind %s twice; expected one of each kind", e.Kind)
			}
		}
	}
	return nil
}

func inRange(t freshet.Timestamp) bool { return t >= freshet.MinTimestamp && t <= freshet.MaxTimestamp }

func checkPartition(p freshet.Partition) error {
	if int(p) >= freshet.Partitions {
		return freshet.Errorf(freshet.InvalidArgument, "partition %d: expected 0 to %d", p, freshet.Partitions-1)
	}
	return nil
}
