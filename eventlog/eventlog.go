// Package eventlog is the hand-off between the doors and the receiver: accepted events, durable and in order. It is the
// one place of Freshet that must be on disk before an answer goes out; everything after it can be replayed from it.
//
// A Log validates and counts; a Driver stores. The package never looks into an event's payload and never decides what an
// event means.
package eventlog

import (
	"context"
	"errors"

	"github.com/freshet-ml/freshet"
)

// Entry is an event to append, once for each of its entities.
type Entry struct {
	Event    freshet.Event
	Entities []freshet.Entity // at least one; at most one of each kind
}

// Appended says what became of an Entry.
type Appended struct {
	// Duplicate: an event with this id about an entity of one of these kinds was accepted before, within the dedupe
	// horizon. Nothing was appended.
	Duplicate bool
	// Places are where the event lies, one for each entity in the order of the Entry. For a duplicate they are places
	// at or after the accepted event's, so that a position made of them covers it.
	Places []freshet.Place
}

// Record is one event about one entity at its place in the log.
type Record struct {
	Event  freshet.Event
	Entity freshet.Entity
	Offset freshet.Offset
	// MaxEventTime is the largest event time among the earlier records of the partition, 0 if there are none. The
	// watermark that this event met is MaxEventTime less the project's lateness: kept with the event, so that whether it
	// was late is the same in every replay, also for a reader of one key's events only.
	MaxEventTime freshet.Timestamp
}

// ErrTrimmed is returned, wrapped in an error of code NotFound, by a read that begins below the first record that the log
// still has.
var ErrTrimmed = errors.New("trimmed")

// Trimmed is the error of a read of partition from an offset below start, for drivers.
func Trimmed(partition freshet.Partition, from, start freshet.Offset) error {
	return freshet.Errorf(freshet.NotFound, "event log: partition %d begins at offset %d, what is before, such as %d, has been %w",
		partition, start, from, ErrTrimmed)
}

// Driver stores events. It does not validate, retry or log. All methods may be called concurrently.
type Driver interface {
	// Append puts the entries at the end of their partitions (freshet.PartitionOf of each entity's key), all or none,
	// and returns when they are durable. Two entries with the same event id and an entity kind in common are one event:
	// the first wins, also inside one call. Order within a partition is the order of the call. The driver may keep the
	// entries' strings and payloads; they do not change any more.
	//
	// An id is known at ingest time t if it was accepted at ingest time a with t − a < the driver's horizon; where it was
	// accepted again, the later time counts. An id that was accepted more than the horizon and an hour before the latest
	// ingest time may be forgotten. If ctx ends before the entries are taken, nothing is appended; if it ends afterwards,
	// they are appended nevertheless.
	Append(ctx context.Context, entries []Entry) ([]Appended, error)
	// Read appends to dst the durable records of partition from offset on (≥ 1), in order: at most limit of them, fewer
	// once it has some MiB, at least one if there is one. It returns dst unchanged if there are none, and ErrTrimmed if
	// from is below Start. The records' bytes belong to the caller.
	Read(ctx context.Context, dst []Record, partition freshet.Partition, from freshet.Offset, limit int) ([]Record, error)
	// Head is the offset of the last durable record of partition, 0 if it is empty.
	Head(partition freshet.Partition) freshet.Offset
	// Trim forgets the oldest records of partition: those at or before through, as far as whole pieces of the driver's
	// storage hold nothing else, and never the last record. Offsets go on counting, and what is forgotten stays so after
	// a restart or comes back as a whole: there is never a gap. Read of an offset below Start returns ErrTrimmed.
	Trim(ctx context.Context, partition freshet.Partition, through freshet.Offset) error
	// Start is the offset of the first record of partition that is still there; 1 if none is.
	Start(partition freshet.Partition) freshet.Offset
	// Wait returns when Head(partition) ≥ offset, or with ctx's error.
	Wait(ctx context.Context, partition freshet.Partition, offset freshet.Offset) error
	// Close ends all waiting calls with an Unavailable error, which every call of Append, Read and Wait returns from
	// then on. Closing twice is no error.
	Close() error
}
