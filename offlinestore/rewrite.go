package offlinestore

import (
	"context"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// Rewriter is a Driver that can alter what it has stored: events of somebody who must be forgotten.
type Rewriter interface {
	// Rewrite calls change with the records of partition in order, and stores what it has changed in their place, durably.
	// Readers get the former ones or the new ones. No Append of the partition runs meanwhile.
	Rewrite(ctx context.Context, partition freshet.Partition, change eventlog.Change) (changed int, err error)
}

// Rewrite alters stored records: see Rewriter. It waits for an Append of the partition that is under way. Returns
// Unsupported if the driver cannot.
func (s *Store) Rewrite(ctx context.Context, partition freshet.Partition, change eventlog.Change) (changed int, err error) {
	if err := checkPartition(partition); err != nil {
		return 0, err
	}
	d, ok := s.d.(Rewriter)
	if !ok {
		return 0, freshet.Errorf(freshet.Unsupported, "this offline store cannot forget single events")
	}
	l := &s.lanes[partition]
	l.appending.Lock()
	defer l.appending.Unlock()
	changed, err = d.Rewrite(ctx, partition, change)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cursor != nil { // it may have a former file open
		_ = l.cursor.Close()
		l.cursor = nil
	}
	return changed, err
}
