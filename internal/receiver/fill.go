package receiver

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/release"
)

// fill is the replay of the views of a partition that are behind, beside the live events: a slice of the past, then what
// has come in meanwhile, then the next slice.
type fill struct {
	views []freshet.ViewID // to fill
	// sources are the few kinds of events that change these views: what else is in the past is passed over.
	sources []source
	err     error // why it does not go on, until the set changes
	set     *release.Set
}

// source is what events of a type about an entity kind change.
type source struct {
	feedKey
	feeds []feed
}

// add notes the sources of a view that is to be filled.
func (f *fill) add(o *owner, v *feature.View) {
	for _, t := range v.From() {
		at := feedKey{t, v.Entity()}
		if f.of(at.t, at.kind) == nil {
			f.sources = append(f.sources, source{at, o.feedsAt(at, func(v freshet.ViewID) bool { return !o.fed[v] })})
		}
	}
}

// of is the source of events of a type about an entity kind; nil if they change nothing.
func (f *fill) of(t freshet.EventType, kind freshet.EntityKind) *source {
	for i := range f.sources {
		if s := &f.sources[i]; s.t == t && s.kind == kind {
			return s
		}
	}
	return nil
}

// wants is an eventlog.Want.
func (f *fill) wants(t, kind []byte) bool {
	for i := range f.sources {
		if s := &f.sources[i]; string(s.t) == string(t) && string(s.kind) == string(kind) {
			return true
		}
	}
	return false
}

// mayFill tells whether there is something to fill and it is this owner's turn.
func (o *owner) mayFill() bool {
	if o.fill.err != nil && o.fill.set != o.set {
		o.fill.err = nil // somebody has tried again
		o.stream.fillFailed(nil)
	}
	if len(o.fill.views) == 0 || o.fill.err != nil {
		return false
	}
	return o.r.slots.take(o)
}

// endFill lets another partition have the turn.
func (o *owner) endFill() {
	if next := o.r.slots.give(o); next != nil {
		o.r.wake(next.p)
	}
}

// slice replays the next events of the past into the views that are behind, and lets them join when they are at the head.
// Rows skip what they have, so that a slice that is done again after a crash changes nothing.
//
// What cannot be read stops the fill of this partition and nothing else; what cannot be written ends the owner.
func (o *owner) slice(ctx context.Context) error {
	from := o.next
	for _, v := range o.fill.views {
		from = min(from, o.behind[v]+1)
	}
	through, err := o.past(ctx, from)
	if err != nil && ctx.Err() == nil {
		o.fill.err, o.fill.set = err, o.set
		o.r.o.Logger.Error("a new view is not filled", slog.Int("partition", int(o.p)), slog.Any("error", err))
		o.stream.fillFailed(err)
		o.endFill()
		o.r.moved.fire()
		return nil
	}
	if err != nil {
		return err
	}
	if err := o.r.features.Apply(ctx, o.p, o.epoch, o.next-1, o.rows); err != nil {
		return err
	}
	for _, v := range o.fill.views {
		o.behind[v] = max(o.behind[v], through)
	}
	// A slice changes the same rows again and again, and what is lost of it is only done again.
	o.changed(len(o.rows), fillWeight)
	o.stream.filled(o.fill.views, through)
	o.r.meter.add(int(through-from)+1, o.r.o.Now())
	if through == o.next-1 {
		o.join()
	}
	return nil
}

// fillWeight is how many row changes of a fill count as one of a live batch on the way to a checkpoint.
const fillWeight = 8

// past collects the row changes of the events from an offset on, and tells how far it has come: until the step is done or a live event
// of the partition has come in.
func (o *owner) past(ctx context.Context, from freshet.Offset) (through freshet.Offset, err error) {
	o.begin()
	n := min(o.r.o.FillEvents, int(o.next-from))
	records, next, err := o.r.log.Pick(ctx, o.records[:0], o.p, from, n, o.fill.wants)
	if err != nil {
		return 0, err
	}
	if next == from {
		return 0, freshet.Errorf(freshet.Internal, "partition %d ends before offset %d, which has been applied", o.p, from)
	}
	o.records = records
	for i := range records {
		e := &records[i]
		if i%breath == breath-1 {
			runtime.Gosched() // other partitions' live events
			if o.r.log.Head(o.p) >= o.next {
				return e.Offset - 1, nil
			}
		}
		feeds := o.fill.of(e.Event.Type, e.Entity.Kind).feeds
		if o.full(feeds, e) {
			return e.Offset - 1, nil
		}
		if err := o.follow(ctx, feeds, e); err != nil {
			return 0, err
		}
	}
	return next - 1, nil
}

// breath is how many events a step applies at a stretch, before others that wait for a core have it: about 0.1 ms.
const breath = 32

// yield lets live work go first: a slice that took a while is followed by a pause that leaves the fill its share of a core. A live
// event of this partition ends the pause.
func (o *owner) yield(ctx context.Context, took time.Duration) {
	runtime.Gosched()
	share := o.r.pressure.share(time.Now())
	pause := time.Duration(float64(took) * (1 - share) / share)
	if pause < minPause {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(pause, maxPause))
	defer cancel()
	_ = o.r.log.Wait(ctx, o.p, o.next) // whatever it was, the next step looks
}

// A pause is as long as a timer can be right about, and as short as somebody else who wants something of the owner can wait.
const (
	minPause = 100 * time.Microsecond
	maxPause = 50 * time.Millisecond
)

// slots bound how many partitions are filled at once. Those who wait for one get it in the order in which they asked.
type slots struct {
	mu      sync.Mutex
	free    int
	holders []*owner
	waiting []*owner
}

// take tells whether o has a slot; if it has none it waits for one.
func (s *slots) take(o *owner) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case slices.Contains(s.holders, o):
		return true
	case s.free > 0:
		s.free--
		s.holders = append(s.holders, o)
		return true
	case !slices.Contains(s.waiting, o):
		s.waiting = append(s.waiting, o)
	}
	return false
}

// give gives back what o has or waits for. next has a slot now, and does not know it; nil: nobody has waited.
func (s *slots) give(o *owner) (next *owner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := func(other *owner) bool { return other == o }
	s.waiting = slices.DeleteFunc(s.waiting, is)
	held := len(s.holders)
	if s.holders = slices.DeleteFunc(s.holders, is); len(s.holders) == held {
		return nil
	}
	if len(s.waiting) == 0 {
		s.free++
		return nil
	}
	next = s.waiting[0]
	s.waiting = slices.Delete(s.waiting, 0, 1)
	s.holders = append(s.holders, next)
	return next
}

// meter measures how fast fills go. The zero meter is ready to use.
type meter struct {
	mu          sync.Mutex
	since, last time.Time
	events      int // in between
}

// meterGap is how long a meter waits before what comes is another fill.
const meterGap = 5 * time.Second

func (m *meter) add(events int, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last.IsZero() || now.Sub(m.last) > meterGap {
		m.since, m.events = now, 0 // the first slice only starts the clock
	} else {
		m.events += events
	}
	m.last = now
}

// rate is in events a second, 0 if nothing can be said.
func (m *meter) rate(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	took := m.last.Sub(m.since)
	if took <= 0 || now.Sub(m.last) > meterGap {
		return 0
	}
	return float64(m.events) / took.Seconds()
}

// Fill is how far a group of views is on its way to be fed with the others.
type Fill struct {
	Events     uint64        // of the past, applied; each event counts once, however many views it changes
	Total      uint64        // to be applied; it grows while events come in
	Partitions int           // that are not there yet
	Rate       float64       // events a second; 0 before anything can be said
	Left       time.Duration // at this rate; 0 when done or not known
}

// Done tells whether all partitions feed the views.
func (f Fill) Done() bool { return f.Partitions == 0 }

// Fill tells how far views are: those of a release that is being prepared. The error is why a partition does not go on:
// its past cannot be read.
func (r *Receiver) Fill(views []freshet.ViewID) (Fill, error) {
	var f Fill
	var failed error
	for p := range r.streams {
		head := uint64(r.log.Head(freshet.Partition(p)))
		applied, joined, err := r.streams[p].reach(views)
		f.Events += min(applied, head)
		f.Total += head
		if !joined {
			f.Partitions++
		}
		if err != nil && failed == nil {
			failed = freshet.Errorf("", "partition %d: %w", p, err)
		}
	}
	if f.Partitions > 0 {
		if f.Rate = r.meter.rate(r.o.Now()); f.Rate > 0 {
			f.Left = time.Duration(float64(f.Total-f.Events) / f.Rate * float64(time.Second))
		}
	}
	return f, failed
}

// AwaitFilled returns when views are filled and fed in all partitions, or with the error of Fill or of ctx. From then on
// their rows hold what Compute would find in the log, for as long as an open release has them.
func (r *Receiver) AwaitFilled(ctx context.Context, views []freshet.ViewID) error {
	for {
		moved := r.moved.next()
		if f, err := r.Fill(views); f.Done() || err != nil {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
