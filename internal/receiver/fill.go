package receiver

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/internal/release"
)

// fill is the replay of the views of a partition that are behind, beside the live events: a slice of the past, then what
// has come in meanwhile, then the next slice.
type fill struct {
	views []freshet.ViewID // to fill
	slot  bool             // the owner is one of those who may
	feeds map[feedKey][]release.Feed
	err   error // why it does not go on, until the set changes
	set   *release.Set
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
	if !o.fill.slot {
		o.fill.slot = o.r.slots.take()
	}
	return o.fill.slot
}

// endFill lets another partition have the turn.
func (o *owner) endFill() {
	if o.fill.slot {
		o.fill.slot = false
		o.r.slots.give()
		o.r.wake()
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

// past collects the row changes of the events from an offset on, and tells how far it has come.
func (o *owner) past(ctx context.Context, from freshet.Offset) (through freshet.Offset, err error) {
	o.begin()
	limit := min(o.r.o.FillEvents, int(o.next-from))
	records, err := o.r.log.Read(ctx, o.records[:0], o.p, from, limit)
	if err != nil {
		return 0, err
	}
	if len(records) == 0 {
		return 0, freshet.Errorf(freshet.Internal, "partition %d ends before offset %d, which has been applied", o.p, from)
	}
	o.records = records
	for i := range records {
		if err := o.pastEvent(ctx, &records[i]); err != nil {
			return 0, err
		}
	}
	return records[len(records)-1].Offset, nil
}

func (o *owner) pastEvent(ctx context.Context, e *eventlog.Record) error {
	feeds := o.selected(o.fill.feeds, e, func(v freshet.ViewID) bool { return !o.fed[v] })
	for _, feed := range feeds {
		rec, ok := o.decode(feed.Release, e)
		if !ok {
			continue
		}
		if err := o.views(ctx, feed, rec, e); err != nil {
			return err
		}
	}
	return nil
}

// yield lets live work go first: a fill takes the cores that are idle, and a tenth of one if none is. A live event of this
// partition ends the wait.
func (o *owner) yield(ctx context.Context) {
	runtime.Gosched()
	for range 9 {
		if !o.r.pressed() || ctx.Err() != nil || o.soon(ctx) {
			return
		}
	}
}

// soon waits for a live event, a millisecond at most.
func (o *owner) soon(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	return o.r.log.Wait(ctx, o.p, o.next) == nil
}

// pressed tells whether live work is waiting.
func (r *Receiver) pressed() bool { return r.jobs.Stats().Queued > 0 }

// slots bound how many partitions are filled at once.
type slots chan struct{}

func (s slots) take() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) give() { <-s }

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
