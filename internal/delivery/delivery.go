// Package delivery is the layer between predictions and people: it makes a message of a prediction, asks policy whether it may go out now, has a
// sender bring it, and records what became of it. It never predicts, and knows no provider: senders are plugged in.
package delivery

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/presence"
	"github.com/freshet-ml/freshet/outbox"
	"github.com/freshet-ml/freshet/push"
)

// Deps are what a Deliverer works with.
type Deps struct {
	Outbox   *outbox.Outbox
	Senders  Senders
	Settings func() Settings // of the live project file
	// Withdrawn tells whether a release was taken back after it had served somebody; nil: none was.
	Withdrawn func(release freshet.ReleaseID) bool
	Hub       *presence.Hub
	Metrics   *Metrics
}

// Senders are those of the releases that are open.
type Senders interface {
	// Of are the senders of a release, by channel; those of the live one if it is not open any more, or "".
	Of(release freshet.ReleaseID) map[push.Channel]push.Sender
	// Open are the senders of all open releases, each once. One that is not among them any more gets nothing new.
	Open() []push.Sender
}

// Fixed are senders that are the same for all releases.
type Fixed []push.Sender

// Of implements Senders.
func (f Fixed) Of(freshet.ReleaseID) map[push.Channel]push.Sender {
	of := make(map[push.Channel]push.Sender, len(f))
	for _, s := range f {
		of[s.Channel()] = s
	}
	return of
}

// Open implements Senders.
func (f Fixed) Open() []push.Sender { return f }

// Options tune a Deliverer. The zero value is ready for use.
type Options struct {
	Lanes     int           // calls of one provider at once. Defaults to 16
	Line      int           // messages that wait in memory for one provider. Defaults to 4,096
	Timeout   time.Duration // of one call. Defaults to 30 s
	Attempts  int           // calls for one message. Defaults to 20; mostly its time ends first
	Backoff   time.Duration // before the second call; it doubles, up to 10 min. Defaults to 2 s
	Rest      time.Duration // without calls once a provider has failed five times running, or refuses our credentials. Defaults to 30 s
	Each      time.Duration // by which a message that must wait for its provider waits longer, for each that waits. Defaults to 1 ms: the time of the dispatcher is for others, too
	Retention time.Duration // of ended messages. Defaults to 7 d
	Now       func() time.Time
	Logger    *slog.Logger // Defaults to slog.Default()
}

func (o Options) withDefaults() Options {
	for _, d := range []struct{ value, is *time.Duration }{
		{&o.Timeout, ptr(30 * time.Second)}, {&o.Backoff, ptr(2 * time.Second)}, {&o.Rest, ptr(30 * time.Second)}, {&o.Retention, ptr(7 * 24 * time.Hour)},
		{&o.Each, ptr(time.Millisecond)},
	} {
		if *d.value == 0 {
			*d.value = *d.is
		}
	}
	for _, d := range []struct {
		value *int
		is    int
	}{{&o.Lanes, 16}, {&o.Line, 4096}, {&o.Attempts, 20}} {
		if *d.value == 0 {
			*d.value = d.is
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func ptr[T any](v T) *T { return &v }

// Deliverer works off the outbox. It may be used concurrently.
type Deliverer struct {
	Deps
	o    Options
	wake chan struct{} // one token: look again

	mu      sync.Mutex             // guards what follows
	lanes   map[push.Sender]*lane  // only the dispatcher changes it
	claimed map[freshet.JobID]bool // in a line or with a provider: this process is the only one that works on the outbox
}

// New returns a Deliverer that has not started.
func New(d Deps, o Options) *Deliverer {
	del := &Deliverer{Deps: d, o: o.withDefaults(), lanes: map[push.Sender]*lane{}, wake: make(chan struct{}, 1), claimed: map[freshet.JobID]bool{}}
	d.Outbox.OnAdded(del.look)
	d.Metrics.watch(del)
	return del
}

// look has the dispatcher look at what is due.
func (d *Deliverer) look() {
	select {
	case d.wake <- struct{}{}:
	default: // it will
	}
}

// Run works until ctx ends. Calls that were begun are finished and recorded.
func (d *Deliverer) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return d.dispatch(ctx, func(l *lane) {
			for range d.o.Lanes {
				group.Go(func() error { return d.work(ctx, l) })
			}
		})
	})
	return group.Wait()
}

// follow has a lane for each sender of an open release, which start starts, and ends those of senders that no release has any more.
func (d *Deliverer) follow(start func(*lane)) {
	open := d.Senders.Open()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range open {
		if d.lanes[s] == nil {
			d.lanes[s] = newLane(s, d.o)
			start(d.lanes[s])
		}
	}
	if len(d.lanes) == len(open) {
		return
	}
	for s, l := range d.lanes {
		if len(l.line) == 0 && !slices.Contains(open, s) {
			close(l.over)
			delete(d.lanes, s)
		}
	}
}

func (d *Deliverer) laneOf(s push.Sender) *lane {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lanes[s]
}

const (
	batch = 256
	// lookAgain bounds the dispatcher's sleep: the clock of the machine may be set.
	lookAgain = time.Minute
)

// dispatch decides about what is due and puts what is to be sent into the line of its provider.
func (d *Deliverer) dispatch(ctx context.Context, start func(*lane)) error {
	for ctx.Err() == nil {
		d.follow(start)
		now := freshet.TimestampOf(d.o.Now())
		ids, next, err := d.Outbox.Due(ctx, now, batch, d.isClaimed)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return freshet.Errorf("", "delivery: what is due: %w", err)
		}
		for _, id := range ids {
			if err := d.first(ctx, id); err != nil && ctx.Err() == nil {
				return freshet.Errorf("", "delivery: message %s: %w", id, err)
			}
		}
		// Each look passes over what is claimed: looks are as rare as that is long.
		if !d.pause(ctx) {
			return nil
		}
		if len(ids) > 0 {
			continue // next does not know yet of those that were just put off
		}
		sleep := lookAgain
		if next > 0 {
			sleep = min(sleep, max(time.Millisecond, next.Sub(now)))
		}
		timer := time.NewTimer(sleep)
		select {
		case <-timer.C:
		case <-d.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

// pause waits 5 µs for each message that is claimed; false if ctx has ended.
func (d *Deliverer) pause(ctx context.Context) bool {
	d.mu.Lock()
	wait := time.Duration(len(d.claimed)) * 5 * time.Microsecond
	d.mu.Unlock()
	if wait < time.Millisecond {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (d *Deliverer) isClaimed(id freshet.JobID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.claimed[id]
}

func (d *Deliverer) claim(id freshet.JobID, on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if on {
		d.claimed[id] = true
	} else {
		delete(d.claimed, id)
	}
}

// crowded is about how long a message waits whose provider has a full line.
const crowded = 4 * time.Second

// apart is a wait of about t for a message that cannot go to its provider now: longer in a crowd, and spread, so that deciding about it again and again leaves
// the dispatcher time for messages of other providers.
func (d *Deliverer) apart(t time.Duration) time.Duration {
	return jitter(max(t, time.Duration(d.Outbox.Waiting())*d.o.Each))
}

// first decides about a message that is due. One that is to be sent is decided about once more when its turn has come.
func (d *Deliverer) first(ctx context.Context, id freshet.JobID) error {
	var to push.Sender
	err := d.Outbox.Decide(ctx, id, func(tx *outbox.Tx) (bool, error) {
		if tx.Message.DueAt > d.now() {
			return false, outbox.ErrKeep // a worker was done with it while we looked at what is due
		}
		if tx.Message.State.Ended() {
			tx.Remove() // its time is over
			return false, nil
		}
		f := d.facts(tx)
		v := f.decide()
		if v.do == send {
			to = f.senders[v.channel]
			return false, outbox.ErrKeep
		}
		return d.apply(f, v), nil
	})
	switch {
	case freshet.CodeOf(err) == freshet.NotFound: // erased
		return nil
	case err != nil || to == nil:
		return err
	}
	line := d.laneOf(to)
	if line == nil { // of a release that was opened since the last look at them
		d.look()
		return nil
	}
	d.claim(id, true)
	select {
	case line.line <- id:
		return nil
	default:
		d.claim(id, false)
		return d.postpone(ctx, id, d.apart(crowded))
	}
}

// within is a moment at which m is looked at again: not later than when its time is over.
func (d *Deliverer) within(m *outbox.Message, due freshet.Timestamp) freshet.Timestamp {
	return min(due, max(d.now(), m.ExpiresAt))
}

// postpone has a message decided about later.
func (d *Deliverer) postpone(ctx context.Context, id freshet.JobID, by time.Duration) error {
	err := d.Outbox.Decide(ctx, id, func(tx *outbox.Tx) (bool, error) {
		tx.Message.DueAt = d.within(tx.Message, d.now().Add(by))
		return false, nil
	})
	if freshet.CodeOf(err) == freshet.NotFound {
		return nil
	}
	return err
}

func (d *Deliverer) now() freshet.Timestamp { return freshet.TimestampOf(d.o.Now()) }

func (d *Deliverer) facts(tx *outbox.Tx) facts {
	s, at := d.Settings(), d.o.Now()
	if m := tx.Message; m.Reserved != 0 && len(m.Targets) == 0 { // written when a message went to one device
		t := outbox.Target{Device: m.Device, State: outbox.Waiting, Attempts: m.Attempts}
		if m.State == outbox.Sending {
			t.State = outbox.Sending
		}
		m.Targets = []outbox.Target{t}
	}
	return facts{
		at: at, tx: tx, settings: s, present: d.Hub.Present(tx.Message.User, tx.Message.CreatedAt.Time(), at, s.Presence), senders: d.Senders.Of(tx.Message.Release),
		withdrawn: d.Withdrawn != nil && d.Withdrawn(tx.Message.Release),
	}
}

// apply writes a verdict that calls nobody into the message. It says whether that must survive a crash.
func (d *Deliverer) apply(f facts, v verdict) (durable bool) {
	tx, m := f.tx, f.tx.Message
	switch v.do {
	case hold:
		m.State, m.Reason, m.DueAt = outbox.Held, v.reason, freshet.TimestampOf(v.until)
		d.Metrics.held.WithLabelValues(v.reason).Inc()
		return false
	case show:
		f.reserve(push.InApp) // what is shown counts, too, and is not said once more by another channel
		tx.Show(shownData(m))
		m.Channel = push.InApp
		d.end(tx, outbox.Shown, v.reason)
		d.Metrics.accepted.WithLabelValues(string(push.InApp)).Inc()
		d.Hub.Told(m.User)
		return true
	case fail:
		d.end(tx, outbox.Failed, v.reason)
		return false
	case finish:
		d.giveUp(m, v.reason)
		d.end(tx, outbox.Sent, "")
		return false
	}
	giveBack(tx)
	if v.channel != "" {
		m.Channel = v.channel
	}
	d.end(tx, outbox.Suppressed, v.reason)
	return false
}

// giveUp ends the targets that have not ended.
func (d *Deliverer) giveUp(m *outbox.Message, reason string) {
	for i := range m.Targets {
		if t := &m.Targets[i]; !t.State.Ended() {
			t.State, t.Reason, t.DueAt = outbox.Failed, reason, 0
		}
	}
}

// end makes it the message's last state. It is kept for a while, to be looked at and for outcomes.
func (d *Deliverer) end(tx *outbox.Tx, s outbox.State, reason string) {
	m := tx.Message
	m.State, m.Reason, m.EndedAt = s, reason, d.now()
	m.DueAt = max(m.EndedAt, m.ExpiresAt).Add(d.o.Retention)
	d.Metrics.ended(m)
}
