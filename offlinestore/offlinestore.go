// Package offlinestore is the hand-off between the present and the past: events that the log no longer keeps, in order, in
// files that other tools read. What was stored is never changed, unless somebody must be forgotten.
//
// A Store validates and remembers where its readers are; a Driver stores. The package never looks into an event's payload
// and never decides when an event is old.
package offlinestore

import (
	"context"
	"iter"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// Driver stores events. It does not validate or log. Calls for different partitions may be concurrent, and reading may go
// on while events are stored; there is one Append of a partition at a time.
type Driver interface {
	// Append stores records of partition behind those that are there; the first has the offset after Through. It takes
	// them from the sequence as it goes, in bounded memory, and keeps nothing of a record beyond the step that gave it.
	// What is stored becomes readable piece by piece, each piece durable first and never in part; Through says how far it
	// has come, also when the sequence ends with an error, which is returned.
	Append(ctx context.Context, partition freshet.Partition, records iter.Seq2[*eventlog.Record, error]) error
	// Through is the offset of the last record of partition that is stored, 0 if there is none.
	Through(partition freshet.Partition) freshet.Offset
	// Open gives the records of partition that scan asks for. It sees what is stored when it gets there, also what is
	// stored after it was opened.
	Open(ctx context.Context, partition freshet.Partition, scan eventlog.Scan) (Cursor, error)
	// Close frees what the driver holds. Closing twice is no error.
	Close() error
}

// Cursor reads the records of a scan in order. One goroutine uses it.
type Cursor interface {
	// Next appends to dst the next records, at most limit (≥ 1) and fewer where they are large, at least one unless the end
	// is reached. They belong to the caller.
	Next(ctx context.Context, dst []eventlog.Record, limit int) ([]eventlog.Record, error)
	// Offset is the one to go on from: all records before it have been looked at.
	Offset() freshet.Offset
	// Close frees what the cursor holds.
	Close() error
}
