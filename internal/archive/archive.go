// Package archive is a kit: it moves old events from the event log to the offline store, and only then lets the log trim
// them. It never touches an event that has not been applied to the rows on disk, and it never reads what an event says.
package archive

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/offlinestore"
)

// Options tune an Archiver.
type Options struct {
	// Retention is how long the log keeps an event at least, by its ingest time. Required.
	Retention time.Duration
	// MaxBytes is the size of the log above which events are moved although they are younger. 0: none.
	MaxBytes int64
	Every    time.Duration    // between two looks. Defaults to 1 min, or a quarter of a retention that is shorter
	Now      func() time.Time // Defaults to time.Now
	Logger   *slog.Logger     // Defaults to slog.Default()
}

// Archiver moves events. One goroutine runs it.
type Archiver struct {
	log        *eventlog.Log
	offline    *offlinestore.Store
	checkpoint func(freshet.Partition) freshet.Offset
	o          Options
}

// New returns an Archiver that has not started. checkpoint gives the last event of a partition that is in the rows on
// disk: a restart replays what is after it.
func New(log *eventlog.Log, offline *offlinestore.Store, checkpoint func(freshet.Partition) freshet.Offset, o Options) *Archiver {
	if o.Every == 0 {
		o.Every = min(time.Minute, max(o.Retention/4, 100*time.Millisecond))
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Archiver{log: log, offline: offline, checkpoint: checkpoint, o: o}
}

// Run moves events until ctx ends. A failure is logged and tried again: the log keeps what could not be moved.
func (a *Archiver) Run(ctx context.Context) error {
	tick := time.NewTicker(a.o.Every)
	defer tick.Stop()
	for {
		if err := a.Once(ctx); err != nil && ctx.Err() == nil {
			a.o.Logger.Error("old events could not be moved; they stay in the log and it is tried again", slog.Any("error", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Once moves what is old now, in all partitions.
func (a *Archiver) Once(ctx context.Context) error {
	share, err := a.excess()
	if err != nil {
		return err
	}
	before := a.offline.Stored()
	for p := range freshet.Partition(freshet.Partitions) {
		if err := a.partition(ctx, p, share); err != nil {
			return freshet.Errorf("", "archive: partition %d: %w", p, err)
		}
	}
	if n := a.offline.Stored() - before; n > 0 {
		a.o.Logger.Info("old events moved to the offline store", slog.Uint64("events", n))
	}
	return nil
}

// excess is the share of the log's records that must go for its size, 0 … 1. When the bound is reached a tenth more goes,
// so that files don't become many and small.
func (a *Archiver) excess() (float64, error) {
	if a.o.MaxBytes <= 0 {
		return 0, nil
	}
	size, err := a.log.Bytes()
	if err != nil || size <= a.o.MaxBytes {
		return 0, err
	}
	return 1 - 0.9*float64(a.o.MaxBytes)/float64(size), nil
}

// partition moves what is old in p. A crash between the two steps repeats the second; the other order would lose events.
func (a *Archiver) partition(ctx context.Context, p freshet.Partition, share float64) error {
	applied := a.checkpoint(p)
	start := a.log.Start(p)
	if applied < start {
		return nil
	}
	enough := start + freshet.Offset(share*float64(a.log.Head(p)-start+1))
	from := max(start, a.offline.Through(p)+1)
	if err := a.offline.Append(ctx, p, a.old(ctx, p, from, applied, enough)); err != nil {
		return err
	}
	return a.log.Trim(ctx, p, min(a.offline.Through(p), applied))
}

// old gives the records from from on that go: through applied at most, and until one that is young and not among those
// that go for the log's size, which are those before enough.
func (a *Archiver) old(ctx context.Context, p freshet.Partition, from, applied, enough freshet.Offset) iter.Seq2[*eventlog.Record, error] {
	cut := a.cut()
	return func(yield func(*eventlog.Record, error) bool) {
		for r, err := range a.log.Scan(ctx, p, eventlog.Scan{From: from}) {
			if err != nil {
				yield(nil, err)
				return
			}
			if r.Offset > applied || r.Event.IngestTime >= cut && r.Offset >= enough || !yield(r, nil) {
				return
			}
		}
	}
}

const day = 24 * time.Hour

// cut is the ingest time from which on events are kept. It moves in steps, so that a file holds a day of a partition, not
// a minute: whole days (UTC), or quarters of a retention of less.
func (a *Archiver) cut() freshet.Timestamp {
	step := min(day, max(a.o.Retention/4, time.Millisecond))
	oldest := a.o.Now().Add(-a.o.Retention).UnixMilli()
	return freshet.Timestamp(oldest - oldest%step.Milliseconds())
}
