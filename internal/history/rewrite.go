package history

import (
	"context"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// Rewrite alters records of partition wherever they are: in the log first, so that what is moved to the offline store
// meanwhile is altered already. A record that both have counts once.
func (l *Log) Rewrite(ctx context.Context, partition freshet.Partition, change eventlog.Change) (changed int, err error) {
	start := l.Start(partition)
	if changed, err = l.Log.Rewrite(ctx, partition, change); err != nil {
		return changed, err
	}
	counted := freshet.Offset(0) // a file in which something changes is gone through twice
	_, err = l.offline.Rewrite(ctx, partition, func(r *eventlog.Record) (bool, error) {
		yes, err := change(r)
		if yes && r.Offset > counted && r.Offset < start {
			counted = r.Offset
			changed++
		}
		return yes, err
	})
	return changed, err
}
