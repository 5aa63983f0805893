// Package sweep is a kit: it goes over the stored rows in the background, lets package feature shorten those whose tiles can
// be rolled up, removes those that no window sees any more, and counts what it passes. It takes a small share of one core,
// never holds up an event or a read, and never changes a value (feature/sweep.go says why).
package sweep

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/internal/release"
)

// Options tune a Sweeper. The zero value is good.
type Options struct {
	// Behind is how far before now the moment lies that rows are swept for: reads of the time since are answered from rows
	// still, not from the log. Defaults to 1 h.
	Behind time.Duration
	// Every is the shortest time between two passes over all rows; a pass that took long is followed by a rest twenty times
	// as long. Defaults to 1 min.
	Every  time.Duration
	Batch  int              // rows looked at between two rests of a pass. Defaults to 256
	Now    func() time.Time // Defaults to time.Now
	Logger *slog.Logger     // Defaults to slog.Default()
}

// share: of ten parts of time, a pass works in one. It works longer where others take the cores, and so rests longer.
const share = 10

// retry is how soon a pass that could not take in all partitions, because some were still being recovered, is made again.
const retry = 5 * time.Second

// restAfterPass is how many times as long as a pass the rest after it is.
const restAfterPass = 20

// rows are where rows lie (featurestore.Store).
type rows interface {
	Scan(ctx context.Context, dst []freshet.Row, partition freshet.Partition, view freshet.ViewID, from freshet.Key, limit int) ([]freshet.Row, error)
	Sweep(ctx context.Context, partition freshet.Partition, epoch freshet.Epoch, at freshet.Timestamp, rows []freshet.Row) (swept int, err error)
}

// owner writes rows (receiver.Receiver).
type owner interface {
	Owned(p freshet.Partition) (epoch freshet.Epoch, maxEventTime freshet.Timestamp, ok bool)
}

// live is the release whose views are swept (release.Live). Views of other releases, which may be on the way of being filled, are left alone.
type live interface{ Load() *release.Opened }

// Sweeper sweeps. One goroutine runs it.
type Sweeper struct {
	rows  rows
	owner owner
	live  live
	o     Options
	// begun is what has been done of each partition, if a pass could not be ended: the next one goes on there.
	begun [freshet.Partitions]progress
	first freshet.Partition // where passes begin; another one in each process, so that many short lives sweep all as well

	found []freshet.Row
	swept []freshet.Row
	sizes sizes
	stats stats
}

// progress is how far the pass over one partition is.
type progress struct {
	view  int // of the live release, by number; what is before it is done
	ofID  freshet.ViewID
	from  freshet.Key
	sizes map[freshet.ViewID]Size
}

// New returns a Sweeper that has not started.
func New(rows rows, owner owner, live live, o Options) *Sweeper {
	if o.Behind == 0 {
		o.Behind = time.Hour
	}
	if o.Every == 0 {
		o.Every = time.Minute
	}
	if o.Batch == 0 {
		o.Batch = 256
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Sweeper{rows: rows, owner: owner, live: live, o: o, first: freshet.Partition(rand.IntN(freshet.Partitions))}
}

// Run sweeps until ctx ends. A failure is logged, and the next pass goes on where it happened.
func (s *Sweeper) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		start, passes := time.Now(), s.stats.passes.Load()
		if err := s.Once(ctx); err != nil && ctx.Err() == nil {
			s.o.Logger.Error("the sweep of old rows stopped; the next one goes on", slog.Any("error", err))
		}
		every := s.o.Every
		if s.stats.passes.Load() == passes {
			every = min(every, retry)
		}
		rest(ctx, max(every, restAfterPass*time.Since(start)))
	}
	return nil
}

// Once passes over all partitions whose rows are up to date. It counts as a pass if those are all.
func (s *Sweeper) Once(ctx context.Context) error {
	all := true
	for i := range freshet.Partition(freshet.Partitions) {
		p := (s.first + i) % freshet.Partitions
		done, err := s.partition(ctx, p)
		if err != nil {
			return freshet.Errorf("", "sweep: partition %d: %w", p, err)
		}
		all = all && done
	}
	if all {
		s.stats.passes.Add(1)
	}
	return nil
}

// partition sweeps p; swept is false if its rows are not up to date, or have another owner.
func (s *Sweeper) partition(ctx context.Context, p freshet.Partition) (swept bool, err error) {
	epoch, maxEventTime, ok := s.owner.Owned(p)
	rel := s.live.Load()
	if !ok || rel == nil {
		return false, nil
	}
	views := rel.Project().Views
	done := &s.begun[p]
	if done.view >= len(views) || views[done.view].ID() != done.ofID {
		*done = progress{} // nothing was begun, or of another release
	}
	if done.sizes == nil {
		done.sizes = map[freshet.ViewID]Size{}
	}
	at := freshet.TimestampOf(s.o.Now().Add(-s.o.Behind))
	for ; done.view < len(views); done.view++ {
		v := views[done.view]
		done.ofID = v.ID()
		for {
			more, err := s.batch(ctx, rel, v, p, epoch, at, maxEventTime, done)
			if freshet.CodeOf(err) == freshet.PreconditionFailed {
				return false, nil // the partition has another owner by now
			}
			if err != nil {
				return false, err
			}
			if !more {
				break
			}
		}
		done.from = ""
	}
	s.sizes.set(p, done.sizes, s.o.Now())
	*done = progress{}
	return true, nil
}

// batch sweeps the next rows of v, and rests. more is false when there are none.
func (s *Sweeper) batch(ctx context.Context, rel *release.Opened, v *feature.View, p freshet.Partition, epoch freshet.Epoch, at, maxEventTime freshet.Timestamp, done *progress) (more bool, err error) {
	start := time.Now()
	if s.found, err = s.rows.Scan(ctx, s.found[:0], p, v.ID(), done.from, s.o.Batch); err != nil || len(s.found) == 0 {
		return false, err
	}
	size := done.sizes[v.ID()]
	s.swept = s.swept[:0]
	scratch := rel.Scratch(v)
	for _, r := range s.found {
		before := len(r.Data)
		next, swept, err := v.Sweep(scratch, r.Data, at, maxEventTime)
		if err != nil {
			s.o.Logger.Error("a row cannot be swept", slog.String("view", string(v.Name())), slog.String("key", string(r.Key)), slog.Any("error", err))
			continue
		}
		if swept != feature.Removed {
			size.Rows++
			size.Bytes += int64(len(next))
		}
		if swept != feature.Kept {
			r.Data = next
			s.swept = append(s.swept, r)
			s.stats.count(swept, before-len(next))
		}
	}
	rel.ReturnScratch(v, scratch)
	if len(s.swept) > 0 {
		if _, err := s.rows.Sweep(ctx, p, epoch, at, s.swept); err != nil {
			return false, err
		}
	}
	s.stats.rows.Add(uint64(len(s.found)))
	done.from = s.found[len(s.found)-1].Key + "\x00"
	done.sizes[v.ID()] = size
	rest(ctx, (share-1)*time.Since(start))
	return true, ctx.Err()
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
