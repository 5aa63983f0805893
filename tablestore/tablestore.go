// Package tablestore is the hand-off between the doors that take rows and all who read them: the newest row of each push
// table for each entity key. It never computes, and it knows nothing of columns: what a row holds is bytes to it.
//
// A Store validates, hides what is deleted or has expired and counts; a Driver stores. Nothing else holds a row that was
// pushed, so, unlike features, it cannot be replayed: a Driver has it on disk before it answers.
package tablestore

import (
	"context"

	"github.com/freshet-ml/freshet"
)

// Row is what a push table keeps for one entity.
type Row struct {
	Table     freshet.TableName
	Key       freshet.Key
	EventTime Moment
	ExpiresAt Moment // from then on the row is not shown; 0: never
	Deleted   bool   // a tombstone: nothing up to EventTime is shown. Its Data is empty
	Data      []byte // of package internal/pushtable
}

// Ties says what becomes of a row with the event time of the one that is kept.
type Ties bool

const (
	KeepFirst Ties = false // it changes nothing
	TakeLast  Ties = true  // it replaces the kept one, unless that is a tombstone
)

// Replaces says whether r takes the place of kept, a row of the same table and key. The later event time wins, whatever
// order rows come in.
func (r *Row) Replaces(kept *Row, ties Ties) bool {
	if r.EventTime == kept.EventTime {
		return ties == TakeLast && !kept.Deleted
	}
	return r.EventTime > kept.EventTime
}

// Driver stores rows. It does not validate, retry or log. All methods may be called concurrently.
type Driver interface {
	// Put keeps each row if there is none of its table and key, or if it Replaces that; stored says for each whether it did.
	// Rows of one key are taken in their order. When Put returns without error, everything that it has seen is durable: the
	// rows stored, and those for whose sake one was not. The driver does not keep the rows' Data.
	Put(ctx context.Context, ties Ties, rows []Row) (stored []bool, err error)
	// Get returns the row of key, a tombstone or an expired row too; ok is false if there is none. The caller may change the
	// row's Data.
	Get(ctx context.Context, table freshet.TableName, key freshet.Key) (row Row, ok bool, err error)
	// Erase forgets the rows of key in all tables whose name is among tables, tombstones too, durably. It tells how many there were.
	Erase(ctx context.Context, tables []freshet.TableName, key freshet.Key) (int, error)
	// Close ends all use: later calls answer Unavailable. Closing twice is no error.
	Close() error
}
