// Package recheck is a kit: it checks, while the server runs, that what is served is right. It takes a read now and then,
// computes the same values from the events in the log, and compares them bit for bit (promise P2). It changes nothing and
// never holds up a read.
package recheck

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/reader"
)

// Options tune a Checker. The zero value is good.
type Options struct {
	// Every is the shortest time between two checks; one that took long is followed by a rest fifty times as long. Defaults
	// to 1 s.
	Every time.Duration
	// MaxEvents is how many events of one entity are looked at; where there are more it is not checked. Defaults to 10,000.
	MaxEvents int
	// MaxBytes bounds what these events say in the same way. Defaults to 16 MiB.
	MaxBytes int
	// MaxRecords is how many records of the partition are passed over on the way to them. Defaults to 2,000,000.
	MaxRecords int
	Now        func() time.Time // Defaults to time.Now
	Logger     *slog.Logger     // Defaults to slog.Default()
}

// restAfterCheck is how many times as long as a check the rest after it is: it takes a fiftieth of one core at most.
const restAfterCheck = 50

// rows are where rows lie (featurestore.Store).
type rows interface {
	Get(ctx context.Context, dst []freshet.Row, key freshet.Key, views ...freshet.ViewID) ([]freshet.Row, error)
	Applied(partition freshet.Partition) freshet.Offset
	Removed(key freshet.Key, view freshet.ViewID) (freshet.Timestamp, error)
}

// past gives all events of a partition (history.Log).
type past interface {
	Scan(context.Context, freshet.Partition, eventlog.Scan) iter.Seq2[*eventlog.Record, error]
}

// served gives reads (reader.Reader).
type served interface {
	Sample(ctx context.Context) (reader.Served, error)
}

// Checker checks. One goroutine runs it.
type Checker struct {
	served served
	rows   rows
	log    past
	o      Options

	checked, mismatched atomic.Uint64
	unchecked           [len(causes)]atomic.Uint64
}

// New returns a Checker that has not started.
func New(served served, rows rows, log past, o Options) *Checker {
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = 10_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 16 << 20
	}
	if o.MaxRecords == 0 {
		o.MaxRecords = 2_000_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Checker{served: served, rows: rows, log: log, o: o}
}

// Run checks until ctx ends.
func (c *Checker) Run(ctx context.Context) error {
	for {
		s, err := c.served.Sample(ctx)
		if err != nil {
			return nil // ctx has ended
		}
		start := time.Now()
		c.Check(ctx, s)
		rest := time.NewTimer(max(c.o.Every, restAfterCheck*time.Since(start)))
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
			return nil
		}
	}
}

// Check compares what was served with what the events in its row say, and the row as it is now with all events that have
// been applied: the first finds a wrong read, the second a row that an event never reached. It counts, and logs what is wrong.
func (c *Checker) Check(ctx context.Context, s reader.Served) {
	partition := freshet.PartitionOf(s.Row.Key)
	applied := c.rows.Applied(partition) // before the row is read: it has them all
	found, err := c.rows.Get(ctx, nil, s.Row.Key, s.View.ID())
	if err != nil {
		c.skip(ctx, unreadable, s, err)
		return
	}
	now := reader.Served{Release: s.Release, View: s.View, Row: found[0], At: freshet.TimestampOf(c.o.Now())}
	if applied = max(applied, now.Row.Offset); applied < s.Row.Offset {
		return // the partition is being filled anew
	}
	h := c.history(ctx, s, applied)
	if h.cause != none {
		c.skip(ctx, h.cause, s, h.err)
		return
	}
	if s.Row.Data != nil {
		c.compare(s, h.through(s.Row.Offset))
	}
	if cause, err := c.read(&now); cause != none {
		c.skip(ctx, cause, now, err)
		return
	}
	c.compare(now, h.events)
	c.checked.Add(1)
}

// read fills in the values of a row at its moment.
func (c *Checker) read(s *reader.Served) (cause, error) {
	if s.Row.Data == nil {
		// Asked after the row was looked for, as ever.
		if removed, err := c.rows.Removed(s.Row.Key, s.View.ID()); err != nil || s.At < removed {
			return unknown, err
		}
	}
	scratch := s.View.NewScratch()
	values, err := s.View.Read(scratch, s.Row.Data, s.At, nil)
	if err == feature.ErrHistory {
		return unknown, nil
	}
	if err != nil {
		return unreadable, err
	}
	s.Values = values
	return none, nil
}

// compare computes what s should be from events, all that its row has.
func (c *Checker) compare(s reader.Served, events []feature.HistoricEvent) {
	want, err := s.View.Compute(s.View.NewScratch(), events, s.At, false, nil)
	if err == nil && slices.EqualFunc(s.Values, want, expression.Value.Same) {
		return
	}
	c.mismatched.Add(1)
	for i, f := range s.View.Features() {
		if i < len(want) && i < len(s.Values) && s.Values[i].Same(want[i]) {
			continue
		}
		c.o.Logger.Error("a feature is not what its events say: please report this",
			slog.String("view", string(s.View.Name())), slog.String("key", string(s.Row.Key)), slog.String("at", s.At.String()),
			slog.String("feature", string(f.Name)), slog.Any("served", s.Values[i]), slog.Any("computed", want[i]),
			slog.Int("partition", int(freshet.PartitionOf(s.Row.Key))), slog.Uint64("offset", uint64(s.Row.Offset)), slog.Int("events", len(events)))
		return // the first tells enough
	}
}
