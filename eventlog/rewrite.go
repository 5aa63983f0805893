package eventlog

import (
	"context"

	"github.com/freshet-ml/freshet"
)

// Change alters a record that is stored already, in place, and tells whether it did. Its offset and its times stay: they decide
// what others count as late.
type Change func(*Record) (changed bool, err error)

// Rewriter is a Driver that can alter what it has stored: events of somebody who must be forgotten.
type Rewriter interface {
	// Rewrite calls change with the durable records of partition in order, and stores what it has changed in their place. When
	// it returns, that is durable, and no reader gets the former ones. It may be called beside everything else; records that
	// are appended meanwhile may be left out.
	Rewrite(ctx context.Context, partition freshet.Partition, change Change) (changed int, err error)
}

// Rewrite alters stored records: see Rewriter. Returns Unsupported if the driver cannot.
func (l *Log) Rewrite(ctx context.Context, partition freshet.Partition, change Change) (changed int, err error) {
	if err := checkPartition(partition); err != nil {
		return 0, err
	}
	d, ok := l.d.(Rewriter)
	if !ok {
		return 0, freshet.Errorf(freshet.Unsupported, "this event log cannot forget single events")
	}
	return d.Rewrite(ctx, partition, change)
}
