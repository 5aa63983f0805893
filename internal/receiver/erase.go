package receiver

import (
	"context"
	"errors"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// rewriter is a log that can alter what it has stored: history.Log over an embedded log.
type rewriter interface {
	Rewrite(ctx context.Context, partition freshet.Partition, change eventlog.Change) (changed int, err error)
}

// erasure is a request to an owner to forget one of its entities.
type erasure struct {
	entity freshet.Entity
	change eventlog.Change
	done   chan error // has room for the answer
	events int        // changed; set before done
}

// Erase forgets e: change is applied to all records of its partition, in the log and behind it, through the event that was
// applied last, and the rows of e are removed. The owner of the partition does both between two micro-batches, so that neither a
// batch nor a fill can bring a row back that it has read before. The partition's live events wait meanwhile. When it returns,
// the log and the rows are on disk. Returns Unavailable if nobody owns the partition.
func (r *Receiver) Erase(ctx context.Context, e freshet.Entity, change eventlog.Change) (events int, err error) {
	p := freshet.PartitionOf(e.Key)
	x := &erasure{entity: e, change: change, done: make(chan error, 1)}
	select {
	case r.erasures[p] <- x:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	r.wake(p)
	select {
	case err := <-x.done:
		return x.events, err
	case <-ctx.Done():
		return 0, ctx.Err() // the owner may do it all the same
	}
}

// erase does what was asked of this owner.
func (o *owner) erase(ctx context.Context) error {
	for {
		select {
		case x := <-o.r.erasures[o.p]:
			err := o.forget(ctx, x)
			x.done <- err
			if err != nil && ctx.Err() == nil && !errors.Is(err, errChange) {
				return err
			}
		default:
			return nil
		}
	}
}

// errChange marks an error of the log or of the change, after which the rows are as they were.
var errChange = errors.New("the events could not be changed")

func (o *owner) forget(ctx context.Context, x *erasure) (err error) {
	log, ok := o.r.log.(rewriter)
	if !ok {
		return errors.Join(errChange, freshet.Errorf(freshet.Unsupported, "this event log cannot forget single events"))
	}
	through := o.next - 1
	x.events, err = log.Rewrite(ctx, o.p, func(r *eventlog.Record) (bool, error) {
		if r.Offset > through {
			return false, nil // not in the rows yet: an event of somebody who has come back
		}
		return x.change(r)
	})
	if err != nil {
		return errors.Join(errChange, err)
	}
	o.begin()
	for _, v := range o.set.Views() {
		if v.Entity() == x.entity.Kind {
			o.change(freshet.Row{View: v.ID(), Key: x.entity.Key, Offset: through})
		}
	}
	if err := o.r.features.Apply(ctx, o.p, o.epoch, through, o.rows); err != nil {
		return err
	}
	o.changed(max(1, len(o.rows)), 1)
	return o.checkpoint(ctx)
}
