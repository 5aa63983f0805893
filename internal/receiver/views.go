package receiver

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/internal/release"
)

// refresh takes over what has been opened and closed: between two micro-batches, so that each sees one set. A view that is
// open already goes on without a pause; a new one is filled first; one that nobody has any more keeps its rows as they are until
// they are dropped, and goes on from there if it comes back.
func (o *owner) refresh() {
	set := o.r.live.Set()
	if set == o.set {
		return
	}
	same := o.set != nil && o.set.SameOpen(set)
	if o.set = set; same {
		return // who serves whom: jobs look at the set itself
	}
	o.decoded, o.scratch = map[*release.Opened]*decoded{}, nil
	open := map[freshet.ViewID]bool{}
	for _, v := range set.Views() {
		open[v.ID()] = true
	}
	for v := range o.fed {
		if !open[v] {
			delete(o.fed, v)
			o.behind[v] = o.next - 1
		}
	}
	for v := range open {
		if through, known := o.behind[v]; !o.fed[v] && !known {
			o.behind[v] = 0
		} else if known && through >= o.next {
			o.behind[v] = o.next - 1
		}
	}
	o.join()
}

// join has the views that have what the others have fed with them, and finds out what is to be filled.
func (o *owner) join() {
	joined := false
	for _, v := range o.set.Views() {
		if through, known := o.behind[v.ID()]; known && through == o.next-1 {
			delete(o.behind, v.ID())
			o.fed[v.ID()] = true
			joined = true
		}
	}
	if joined {
		o.begin()
		o.changed(1, 1) // so that a checkpoint says so
	}
	o.feeds = map[feedKey][]feed{}
	o.fill.views, o.fill.sources = o.fill.views[:0], nil
	for _, v := range o.set.Views() {
		if !o.fed[v.ID()] {
			o.fill.views = append(o.fill.views, v.ID())
			o.fill.add(o, v)
		}
	}
	if len(o.fill.views) == 0 {
		o.endFill()
	}
	o.tell()
}

// tell shows the state of the views to those who ask for it.
func (o *owner) tell() {
	unserved := 0
	for _, v := range o.set.Serving() {
		if !o.fed[v] {
			unserved++
		}
	}
	o.stream.views(maps.Clone(o.fed), maps.Clone(o.behind), unserved)
	o.r.moved.fire()
}

// feedsOf are the fed views that e changes.
func (o *owner) feedsOf(e *eventlog.Record) []feed {
	at := feedKey{e.Event.Type, e.Entity.Kind}
	feeds, ok := o.feeds[at]
	if !ok {
		feeds = o.feedsAt(at, func(v freshet.ViewID) bool { return o.fed[v] })
		o.feeds[at] = feeds
	}
	return feeds
}

// feedsAt are what an event changes of the views that take gives.
func (o *owner) feedsAt(at feedKey, take func(freshet.ViewID) bool) []feed {
	var feeds []feed
	for _, all := range o.set.Feeds(at.t, at.kind) {
		some := feed{Feed: release.Feed{Release: all.Release}}
		for i, v := range all.Views {
			if take(all.ViewIDs[i]) {
				some.Views, some.ViewIDs = append(some.Views, v), append(some.ViewIDs, v.ID())
				some.scratches = append(some.scratches, o.scratchOf(v))
			}
		}
		if len(some.Views) > 0 {
			some.decoded = o.decodedBy(all.Release)
			feeds = append(feeds, some)
		}
	}
	return feeds
}

// saving is what a checkpoint says about views: those that are fed, and how far the others go.
func (o *owner) saving() (views []freshet.ViewID, filled []featurestore.Filled) {
	views = slices.Sorted(maps.Keys(o.fed))
	for v, through := range o.behind {
		filled = append(filled, featurestore.Filled{View: v, Through: through})
	}
	slices.SortFunc(filled, func(a, b featurestore.Filled) int { return cmp.Compare(a.View, b.View) })
	return views, filled
}

// drop removes the rows of views that no open release has, if somebody has asked for it since the last time. The owner is
// the only one who writes rows of its partition, so that none can come back.
func (o *owner) drop(ctx context.Context) error {
	asked := o.r.drops.Load()
	if asked == o.drops {
		return nil
	}
	o.refresh() // what has left by then may have left since the last one
	var keep []freshet.ViewID
	for _, v := range o.set.Views() {
		keep = append(keep, v.ID())
	}
	if err := o.r.features.Drop(ctx, o.p, o.epoch, keep); err != nil {
		return err
	}
	maps.DeleteFunc(o.behind, func(v freshet.ViewID, _ freshet.Offset) bool { return !slices.Contains(keep, v) })
	o.drops = asked
	o.tell()
	return nil
}

// DropUnused removes the rows of all views that no open release has, from memory and disk, soon and in each partition
// between two micro-batches. It may be called at any time: views of a release that is opened later are filled from the start.
func (r *Receiver) DropUnused() {
	r.drops.Add(1)
	r.wakeAll()
}
