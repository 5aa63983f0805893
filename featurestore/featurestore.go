// Package featurestore is the hand-off between the receiver and all who read features: one row for each view and entity
// key, and for each partition the offset through which rows are up to date.
//
// A Store validates, waits and counts; a Driver stores. The package never looks into a row's data and never computes a
// value: package feature does.
package featurestore

import (
	"context"

	"github.com/freshet-ml/freshet"
)

// Ownership is what Acquire grants: the right to write a partition until somebody else acquires it.
type Ownership struct {
	Epoch      freshet.Epoch
	Checkpoint freshet.Offset // rows are durable through this offset: replay starts after it
	// Views says for each view that has been kept or filled through which offset its rows are durable. Those that were
	// kept may be ahead of Checkpoint, when another had to be taken back: their rows know it by their offsets.
	Views map[freshet.ViewID]freshet.Offset
}

// Filled says that the rows of View hold all events through Through, and none after it: those of a view that is being filled by a
// replay, or that nobody has fed since.
type Filled struct {
	View    freshet.ViewID
	Through freshet.Offset
}

// Driver stores rows. It does not validate, retry or log. All methods may be called concurrently, except that
// Apply, Checkpoint and Drop of one partition are called by its owner alone, one at a time.
type Driver interface {
	// Acquire makes the caller the owner of partition under a new epoch and forgets what was applied but not
	// checkpointed by an owner before. If one of views was not kept by the last checkpoint, replay starts where its rows end:
	// then Checkpoint, and with it Applied, is where it was filled to, 0 if it was not.
	Acquire(ctx context.Context, partition freshet.Partition, views []freshet.ViewID) (Ownership, error)
	// Apply makes rows visible to readers and advances Applied to through, together. A row with nil Data is removed. The store takes
	// the rows' data; the caller does not touch it again. PreconditionFailed if epoch is not the partition's last.
	Apply(ctx context.Context, partition freshet.Partition, epoch freshet.Epoch, through freshet.Offset, rows []freshet.Row) error
	// Checkpoint makes all that was applied to partition durable, together with the offset, the views that were kept through
	// it and those that are filled to another, so that a restart finds all or nothing. It may return before the bytes are synced, as long
	// as order is kept: a later sync of the same disk covers them.
	Checkpoint(ctx context.Context, partition freshet.Partition, epoch freshet.Epoch, views []freshet.ViewID, filled []Filled) error
	// Drop removes the rows of all views but those of keep, in memory and on disk, also such as no checkpoint knows, and
	// what checkpoints have said about them: a view that comes back is filled from the start.
	Drop(ctx context.Context, partition freshet.Partition, epoch freshet.Epoch, keep []freshet.ViewID) error
	// Get appends to dst the rows of one key of partition, one for each view in their order, with nil Data where there is
	// none. The caller may keep the data and must not change it.
	Get(ctx context.Context, dst []freshet.Row, partition freshet.Partition, key freshet.Key, views []freshet.ViewID) ([]freshet.Row, error)
	// Scan appends to dst the rows of view in partition as the last checkpoint has them, in the order of their keys' bytes,
	// from the first key at or after from on: at most limit of them, fewer once they have some MiB, none at the end. It leaves no trace in
	// what is kept in memory.
	Scan(ctx context.Context, dst []freshet.Row, partition freshet.Partition, view freshet.ViewID, from freshet.Key, limit int) ([]freshet.Row, error)
	// Sweep puts each of rows in the place of the stored one, and removes it if its Data is nil, unless the stored one has
	// changed since the last checkpoint or has another offset: then it stays. What is swept is as durable as a checkpoint, at once. With a removed row
	// Removed of its view becomes at, unless it is later already, together with the removal for a reader and after a restart. It may be called
	// beside Apply and Checkpoint. PreconditionFailed if epoch is not the partition's last.
	Sweep(ctx context.Context, partition freshet.Partition, epoch freshet.Epoch, at freshet.Timestamp, rows []freshet.Row) (swept int, err error)
	// Removed is the latest moment that a sweep which removed a row of view in partition was given; 0 if none has. A
	// reader asks after it has found no row.
	Removed(partition freshet.Partition, view freshet.ViewID) (freshet.Timestamp, error)
	// Applied is the offset through which the rows of partition are visible.
	Applied(partition freshet.Partition) freshet.Offset
	// Wait returns when Applied(partition) ≥ offset, or with ctx's error.
	Wait(ctx context.Context, partition freshet.Partition, offset freshet.Offset) error
	// Close ends all waiting calls with an Unavailable error. Closing twice is no error.
	Close() error
}
