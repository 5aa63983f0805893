package receiver

import (
	"context"
	"errors"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
)

// rewriter is a log that can alter what it has stored: history.Log over an embedded log.
type rewriter interface {
	Rewrite(ctx context.Context, partition freshet.Partition, change eventlog.Change) (changed int, err error)
}

// erasure is a request to an owner to forget one of its entities, or what rows of others say of it.
type erasure struct {
	do   func(context.Context, *owner) error
	done chan error // has room for the answer
}

// Erase forgets e: change is applied to all records of its partition, in the log and behind it, through the event that was
// applied last, and the rows of e are removed. The owner of the partition does both between two micro-batches, so that neither a
// batch nor a fill can bring a row back that it has read before. The partition's live events wait meanwhile. When it returns,
// the log and the rows are on disk. Returns Unavailable if nobody owns the partition.
func (r *Receiver) Erase(ctx context.Context, e freshet.Entity, change eventlog.Change) (events int, err error) {
	var n int
	err = r.ask(ctx, freshet.PartitionOf(e.Key), func(ctx context.Context, o *owner) (err error) {
		n, err = o.forget(ctx, e, change)
		return err
	})
	if err != nil {
		return 0, err // the owner may do it all the same
	}
	return n, nil
}

// ask has the owner of p do something between two micro-batches.
func (r *Receiver) ask(ctx context.Context, p freshet.Partition, do func(context.Context, *owner) error) error {
	x := &erasure{do: do, done: make(chan error, 1)}
	select {
	case r.erasures[p] <- x:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.wake(p)
	select {
	case err := <-x.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// erase does what was asked of this owner.
func (o *owner) erase(ctx context.Context) error {
	for {
		select {
		case x := <-o.r.erasures[o.p]:
			err := x.do(ctx, o)
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

func (o *owner) forget(ctx context.Context, e freshet.Entity, change eventlog.Change) (events int, err error) {
	log, ok := o.r.log.(rewriter)
	if !ok {
		return 0, errors.Join(errChange, freshet.Errorf(freshet.Unsupported, "this event log cannot forget single events"))
	}
	through := o.next - 1
	events, err = log.Rewrite(ctx, o.p, func(r *eventlog.Record) (bool, error) {
		if r.Offset > through {
			return false, nil // not in the rows yet: an event of somebody who has come back
		}
		return change(r)
	})
	if err != nil {
		return 0, errors.Join(errChange, err)
	}
	o.begin()
	for _, v := range o.set.Views() {
		if v.Entity() == e.Kind {
			o.change(freshet.Row{View: v.ID(), Key: e.Key, Offset: through})
		}
	}
	return events, o.saveErased(ctx)
}

// saveErased writes the rows of the batch, durably.
func (o *owner) saveErased(ctx context.Context) error {
	if err := o.r.features.Apply(ctx, o.p, o.epoch, o.next-1, o.rows); err != nil {
		return err
	}
	o.changed(max(1, len(o.rows)), 1)
	return o.checkpoint(ctx)
}

// Renew makes rows of entities of a partition anew from what the log and its past say now: those of the views that read one of some
// fields of events. It is for events that were changed after they were applied. The owner does it between two micro-batches, as soon as all events that
// are in the log now are applied; live events of the partition wait meanwhile, as long as it takes to read its events of those types.
func (r *Receiver) Renew(ctx context.Context, p freshet.Partition, entities map[freshet.Entity]bool, fields []string) error {
	head := r.log.Head(p) // what is read from the log later is read as it is now
	var done bool
	for !done {
		if err := r.features.Wait(ctx, p, head); err != nil {
			return err
		}
		err := r.ask(ctx, p, func(ctx context.Context, o *owner) error {
			if done = o.next > head; !done {
				return nil // another owner, which has begun at its checkpoint
			}
			return o.renew(ctx, entities, fields)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *owner) renew(ctx context.Context, entities map[freshet.Entity]bool, fields []string) error {
	o.begin()
	for _, d := range o.decoded {
		d.offset = 0 // the event may have been changed since
	}
	f := o.readers(fields)
	for e := range entities {
		if err := o.emptied(ctx, e, fields); err != nil {
			return err
		}
	}
	if len(o.rows) == 0 {
		return nil
	}
	for from := freshet.Offset(1); from < o.next; {
		records, next, err := o.r.log.Pick(ctx, o.records[:0], o.p, from, min(o.r.o.FillEvents, int(o.next-from)), f.wants)
		if err != nil {
			return errors.Join(errChange, err)
		}
		if next == from {
			return errors.Join(errChange, freshet.Errorf(freshet.Internal, "partition %d ends before offset %d, which has been applied", o.p, from))
		}
		o.records, from = records, next
		for i := range records {
			if e := &records[i]; entities[e.Entity] {
				if err := o.again(f.of(e.Event.Type, e.Entity.Kind).feeds, e); err != nil {
					return err
				}
			}
		}
	}
	for i := range o.rows {
		through := o.reach(o.rows[i].View)
		if o.rows[i].Offset == through {
			through-- // another one, so that a sweep that has read the row does not put it back
		}
		o.rows[i].Offset = through
	}
	return o.saveErased(ctx)
}

// readers are the sources of the views that read one of the fields.
func (o *owner) readers(fields []string) (f fill) {
	takes := map[freshet.ViewID]bool{}
	for _, v := range o.set.Views() {
		takes[v.ID()] = slices.ContainsFunc(fields, v.Reads)
	}
	for _, v := range o.set.Views() {
		for _, t := range v.From() {
			if at := (feedKey{t, v.Entity()}); takes[v.ID()] && f.of(at.t, at.kind) == nil {
				f.sources = append(f.sources, source{at, o.feedsAt(at, func(id freshet.ViewID) bool { return takes[id] })})
			}
		}
	}
	return f
}

// emptied begins the rows of e in views that read one of the fields anew. Until they are written they have the offset of the stored ones.
func (o *owner) emptied(ctx context.Context, e freshet.Entity, fields []string) (err error) {
	for _, v := range o.set.Views() {
		if v.Entity() != e.Kind || !slices.ContainsFunc(fields, v.Reads) {
			continue
		}
		if o.stored, err = o.r.features.Get(ctx, o.stored[:0], e.Key, v.ID()); err != nil {
			return err
		}
		if was := o.stored[0]; was.Data != nil {
			o.change(freshet.Row{View: was.View, Key: was.Key, Offset: was.Offset})
		}
	}
	return nil
}

// reach is the offset through which the rows of a view have all events.
func (o *owner) reach(v freshet.ViewID) freshet.Offset {
	if through, behind := o.behind[v]; behind {
		return through
	}
	return o.next - 1
}

// again applies an event of the past to rows that are made anew.
func (o *owner) again(feeds []feed, e *eventlog.Record) error {
	for i := range feeds {
		f := &feeds[i]
		rec, ok := o.decode(f.decoded, e)
		if !ok {
			continue
		}
		for k, v := range f.Views {
			if e.Offset > o.reach(v.ID()) {
				continue // the fill comes to it
			}
			at, ok := o.index[rowKey{v.ID(), e.Entity.Key}]
			if !ok {
				continue
			}
			row := o.rows[at]
			if row.Data == nil {
				var err error
				if row.Data, err = o.removed(v, row.Key); err != nil {
					return err
				}
			}
			next, outcome, err := v.Apply(f.scratches[k], row.Data, rec, e.MaxEventTime)
			if err != nil {
				return freshet.Errorf("", "view %s of %s at offset %d: %w", v.Name(), e.Entity, e.Offset, err)
			}
			if outcome == feature.Applied {
				row.Data = next
				o.change(row)
			}
		}
	}
	return nil
}
