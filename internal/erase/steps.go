package erase

import (
	"bytes"
	"context"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
)

// atOnce removes what is served of the entity, its own events first: then nothing makes any of it again.
func (x *Eraser) atOnce(ctx context.Context, id string) error {
	x.one.Lock()
	defer x.one.Unlock()
	r, ok := x.Get(id)
	if !ok || r.State == Done {
		return nil
	}
	e := freshet.Entity{Kind: r.Kind, Key: r.Key}
	if err := x.served(ctx, &r, e); err != nil { // also before, because an owner that recovers may keep us waiting
		return err
	}
	if !r.Forgotten {
		n, err := x.d.Owner.Erase(ctx, e, func(rec *eventlog.Record) (bool, error) { return void(rec, e, r.At), nil })
		if err != nil {
			return err
		}
		r.Events, r.Forgotten = r.Events+n, true
		if err := x.served(ctx, &r, e); err != nil {
			return err
		}
	}
	return x.keep(&r)
}

// served removes jobs before predictions: a worker that is about to store one finds its job gone and takes it back.
func (x *Eraser) served(ctx context.Context, r *Request, e freshet.Entity) error {
	n, err := x.d.Jobs.Erase(ctx, e)
	if err != nil {
		return err
	}
	r.Jobs += n
	if err := x.d.Predictions.Delete(ctx, e); err != nil {
		return err
	}
	if x.d.Live.Load() == nil {
		return freshet.Errorf(freshet.Unavailable, "no release is live")
	}
	if n, err = x.d.Tables.Erase(ctx, x.pushTables(e.Kind), e.Key); err != nil {
		return err
	}
	r.Rows += n
	for _, also := range x.d.Also {
		if err := also(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// pushTables are those about entities of kind of all releases that are open: a rollback brings those of the former one back.
func (x *Eraser) pushTables(kind freshet.EntityKind) (names []freshet.TableName) {
	for _, rel := range x.d.Live.Set().Open() {
		for _, t := range rel.Project().Tables {
			if t.Push && t.Entity == kind && !slices.Contains(names, t.Name) {
				names = append(names, t.Name)
			}
		}
	}
	return names
}

// finish does what is left of a request.
func (x *Eraser) finish(ctx context.Context, id string) error {
	if err := x.atOnce(ctx, id); err != nil {
		return err
	}
	x.one.Lock()
	defer x.one.Unlock()
	r, ok := x.Get(id)
	if !ok || r.State == Done {
		return nil
	}
	rename, fields, err := x.renamer(&r)
	if err != nil {
		return err
	}
	r.Others = 0
	for p := range freshet.Partition(freshet.Partitions) {
		others := map[freshet.Entity]bool{} // whose events name the entity, or have done before a restart
		n, err := x.d.Past.Rewrite(ctx, p, func(rec *eventlog.Record) (bool, error) {
			changed := rename(rec)
			if changed || bytes.Contains(rec.Event.Payload, []byte(r.Alias)) {
				others[rec.Entity] = true
			}
			return changed, nil
		})
		if err != nil {
			return err
		}
		if len(others) > 0 {
			if err := x.d.Owner.Renew(ctx, p, others, fields); err != nil {
				return err
			}
		}
		r.Others += n
	}
	r.State, r.EndedAt = Done, freshet.TimestampOf(x.d.Now())
	r.Key, r.Alias, r.Error = "", "", ""
	if err := x.keep(&r); err != nil {
		return err
	}
	return x.forgetOld()
}

// renamer gives the change of events about others, and the fields by which they name the entity.
func (x *Eraser) renamer(r *Request) (rename func(*eventlog.Record) bool, fields []string, err error) {
	rel := x.d.Live.Pin()
	if rel == nil {
		return nil, nil, freshet.Errorf(freshet.Unavailable, "no release is live")
	}
	defer rel.Unpin()
	spec, ok := rel.Project().Entity(r.Kind)
	if !ok {
		return func(*eventlog.Record) bool { return false }, nil, nil // no event can name it
	}
	names, err := NewNames(spec, r.Key)
	if err != nil {
		return nil, nil, err
	}
	kept := keptMembers(rel.Project().Events)
	at, alias := r.At, r.Alias
	return func(rec *eventlog.Record) bool {
		if rec.Event.IngestTime > at {
			return false
		}
		payload, changed := names.rename(rec.Event.Payload, alias, func(member string) bool { return kept[rec.Event.Type][member] })
		if changed {
			rec.Event.Payload = payload
		}
		return changed
	}, spec.KeyFields, nil
}

// keptMembers are those that the project file declares of each type of events: features of others are made of them. What an app
// sends beyond that counts for nothing, and may say anything about the person.
func keptMembers(events []feature.EventSpec) map[freshet.EventType]map[string]bool {
	kept := map[freshet.EventType]map[string]bool{}
	for _, e := range events {
		members := map[string]bool{"type": true, "event_id": true, "event_time": true}
		for _, name := range e.Keys {
			members[name] = true
		}
		for _, f := range e.Fields {
			members[f.Name] = true
		}
		kept[e.Type] = members
	}
	return kept
}

// forgetOld drops the oldest requests that are done, where there are too many.
func (x *Eraser) forgetOld() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.requests) > keepDone {
		var oldest *Request
		for _, r := range x.requests {
			if r.State == Done && (oldest == nil || r.EndedAt < oldest.EndedAt) {
				oldest = r
			}
		}
		if oldest == nil {
			return nil
		}
		if err := x.d.Records.Delete(oldest.ID); err != nil {
			return err
		}
		delete(x.requests, oldest.ID)
	}
	return nil
}
