package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
)

// filling is the owner of u1's partition, in the hands of the test: it has applied all events, and none of them to the view hours of a
// release that is being prepared.
type filling struct {
	*bench
	*owner
	hours freshet.ViewID
}

func newFilling(t *testing.T, events int, o Options) *filling {
	t.Helper()
	return newFillingOf(t, eventlog.New(memlog.New(nil)), events, o)
}

func newFillingOf(t *testing.T, log *eventlog.Log, events int, o Options) *filling {
	t.Helper()
	b := &bench{
		t: t, log: log, features: featurestore.New(memfeatures.New()), jobs: jobqueue.New(memqueue.New(), nil), live: &release.Live{},
	}
	b.live.Store(openRelease(t, releases[0], 1))
	b.receiver = New(b.log, b.features, b.jobs, b.live, o)
	f := &filling{bench: b}
	for range events {
		f.play("u1", 1)
	}
	p, set := freshet.PartitionOf("u1"), b.live.Set()
	own, err := b.features.Acquire(t.Context(), p, set.Serving())
	if err != nil {
		t.Fatal(err)
	}
	f.owner = newOwner(b.receiver, p, set, own, newTurns(t.Context()))
	for int(f.next) <= events {
		f.step()
	}
	next := openRelease(t, releases[1], 2)
	v, _ := next.View("hours")
	f.hours = v.ID()
	f.prepare(next)
	if err := next.Close(); err != nil { // its role holds it
		t.Fatal(err)
	}
	f.refresh()
	return f
}

func (f *filling) prepare(rel *release.Opened) {
	f.t.Helper()
	if err := f.live.Update(func(r release.Roles) (release.Roles, error) { r.Preparing = rel; return r, nil }); err != nil {
		f.t.Fatal(err)
	}
}

func (f *filling) step() {
	f.t.Helper()
	if err := f.owner.step(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// TestALiveEventEndsASlice: it waits for a few events of the past of its partition, not for all of a slice.
func TestALiveEventEndsASlice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFilling(t, 100, Options{})
		f.play("u1", 1)
		if err := f.slice(t.Context()); err != nil {
			t.Fatal(err)
		}
		if through := f.behind[f.hours]; through != breath-1 {
			t.Errorf("the slice has gone to offset %d; want %d", through, breath-1)
		}
		f.step()
		if !f.fed[f.hours] || f.next != 102 {
			t.Errorf("the view is at offset %d, fed %v, and the partition before %d", f.behind[f.hours], f.fed[f.hours], f.next)
		}
	})
}

// TestADropSeesWhatHasLeft: whoever asks for a drop does so when a release has left; an owner that has looked before that must look again.
func TestADropSeesWhatHasLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFilling(t, 100, Options{})
		rows := func() []byte {
			got, err := f.features.Get(t.Context(), nil, "u1", f.hours)
			if err != nil {
				t.Fatal(err)
			}
			return got[0].Data
		}
		f.step()
		if rows() == nil {
			t.Fatal("the view is not filled")
		}
		f.prepare(nil)
		f.receiver.DropUnused()
		if err := f.drop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, known := f.behind[f.hours]; known || f.fed[f.hours] || rows() != nil {
			t.Error("rows are left of a view that no release has")
		}
	})
}

// TestFarBehindNobodyWaitsForTheSlot: a partition with more live events than it can take at once does not fill, and keeps nobody from it.
func TestFarBehindNobodyWaitsForTheSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFilling(t, 100, Options{Fills: 1, BatchEvents: 4, FillEvents: 10})
		f.step()
		if through := f.behind[f.hours]; through != 10 || f.receiver.slots.free != 0 {
			t.Fatalf("the first slice has gone to offset %d, %d slots are free", through, f.receiver.slots.free)
		}
		for range 4 {
			f.play("u1", 1)
		}
		f.step()
		if through := f.behind[f.hours]; through != 10 || f.receiver.slots.free != 1 {
			t.Errorf("the fill is at offset %d, %d slots are free; want 10 and 1", through, f.receiver.slots.free)
		}
		f.step()
		if through := f.behind[f.hours]; through != 20 {
			t.Errorf("behind the live events the fill goes on to offset %d; want 20", through)
		}
	})
}

// TestAFillPausesForItsShare: as long as it has worked at a share of a half, not longer than somebody else may wait, and no longer than
// until a live event comes.
func TestAFillPausesForItsShare(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ took, event, want time.Duration }{
		"as long":          {took: 7 * time.Millisecond, want: 7 * time.Millisecond},
		"too short":        {took: minPause - 1, want: 0},
		"not longer":       {took: time.Minute, want: maxPause},
		"until live event": {took: 7 * time.Millisecond, event: 3 * time.Millisecond, want: 3 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFilling(t, 1, Options{})
				begin := time.Now()
				if c.event > 0 {
					go func() {
						time.Sleep(c.event)
						f.play("u1", 1)
					}()
				}
				f.receiver.pressure = pressure{}
				f.yield(t.Context(), c.took)
				if took := time.Since(begin); took != c.want {
					t.Errorf("it pauses for %v; want %v", took, c.want)
				}
			})
		})
	}
}

func TestSlotsAreGivenInTurn(t *testing.T) {
	t.Parallel()
	a, b, c, d := &owner{p: 1}, &owner{p: 2}, &owner{p: 3}, &owner{p: 4}
	s := slots{free: 2}
	var got []string
	take := func(o *owner) { got = append(got, fmt.Sprint("take ", o.p, " ", s.take(o))) }
	give := func(o *owner) {
		next := "nobody"
		if o := s.give(o); o != nil {
			next = fmt.Sprint(o.p)
		}
		got = append(got, fmt.Sprint("give ", o.p, " to ", next))
	}
	take(a)
	take(a)
	take(b)
	take(c)
	take(d)
	take(c)
	give(c) // it has lost interest
	take(c)
	give(a)
	give(a)
	take(d)
	give(b)
	give(d)
	give(c)
	if want := []string{
		"take 1 true", "take 1 true", "take 2 true", "take 3 false", "take 4 false", "take 3 false", "give 3 to nobody", "take 3 false", "give 1 to 4", "give 1 to nobody",
		"take 4 true", "give 2 to 3", "give 4 to nobody", "give 3 to nobody",
	}; !slices.Equal(got, want) || s.free != 2 {
		t.Errorf("got %s, %d are free\nwant %s, 2", strings.Join(got, "; "), s.free, strings.Join(want, "; "))
	}
}

// broken is a log whose past cannot be read in one partition.
type broken struct {
	*eventlog.Log
	p     freshet.Partition
	is    atomic.Bool
	tried atomic.Int64
}

func (l *broken) Pick(ctx context.Context, dst []eventlog.Record, p freshet.Partition, from freshet.Offset, n int, want eventlog.Want) ([]eventlog.Record, freshet.Offset, error) {
	if p == l.p && l.is.Load() {
		l.tried.Add(1)
		return dst, from, freshet.Errorf(freshet.Internal, "a file is gone")
	}
	return l.Log.Pick(ctx, dst, p, from, n, want)
}

// TestAFillThatCannotReadThePast says so, tries once, and keeps neither live events nor other partitions from going on; another attempt succeeds once it is mended.
func TestAFillThatCannotReadThePast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, releases[0])
		b.stop()
		past := &broken{Log: b.log, p: freshet.PartitionOf("u1")}
		past.is.Store(true)
		b.receiver = New(past, b.features, b.jobs, b.live, Options{Fills: 1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.receiver.Run(ctx) }()
		for i := range 40 {
			b.play(fmt.Sprint("u", i), 1)
		}
		synctest.Wait()
		next := openRelease(t, releases[1], 2)
		hours, _ := next.View("hours")
		prepare := func(rel *release.Opened) {
			if err := b.live.Update(func(r release.Roles) (release.Roles, error) { r.Preparing = rel; return r, nil }); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		prepare(next)
		err := b.receiver.AwaitFilled(t.Context(), next.ViewIDs())
		if want := fmt.Sprintf("partition %d: a file is gone", past.p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %q", err, want)
		}
		time.Sleep(time.Minute)
		b.play("u1", 2)
		b.want("life", "u1", 2, 3)
		if f, _ := b.receiver.Fill(next.ViewIDs()); f.Partitions != 1 || past.tried.Load() != 1 {
			t.Errorf("%d partitions are not there, and one was tried %d times; want 1 and 1", f.Partitions, past.tried.Load())
		}
		past.is.Store(false)
		if err := next.Close(); err != nil {
			t.Error(err)
		}
		prepare(nil)
		next = openRelease(t, releases[1], 3)
		prepare(next)
		if err := b.receiver.AwaitFilled(t.Context(), next.ViewIDs()); err != nil {
			t.Error(err)
		}
		rows, err := b.features.Get(t.Context(), nil, "u1", hours.ID())
		if err != nil || rows[0].Data == nil {
			t.Errorf("u1 has no row: %v", err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestAnEraseDuringAFill: who is erased while a view is filled is in none of its rows, neither in those that were made before nor in those that come; others are.
func TestAnEraseDuringAFill(t *testing.T) {
	t.Parallel()
	db, err := disk.Open("data", &disk.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := disklog.New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	log := eventlog.New(stored)
	t.Cleanup(func() {
		if err := errors.Join(log.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	f := newFillingOf(t, log, 100, Options{FillEvents: 60})
	other := "v"
	for freshet.PartitionOf(freshet.Key(other)) != f.p {
		other += "v"
	}
	for range 20 {
		f.play(other, 1)
	}
	f.step() // the live events, then a slice
	if through := f.behind[f.hours]; through != 60 {
		t.Fatalf("the fill is at offset %d; want 60", through)
	}
	events := 0
	x := &erasure{done: make(chan error, 1), do: func(ctx context.Context, o *owner) (err error) {
		events, err = o.forget(ctx, freshet.Entity{Kind: "user", Key: "u1"}, func(r *eventlog.Record) (bool, error) {
			if r.Entity.Key != "u1" {
				return false, nil
			}
			r.Entity = freshet.Entity{}
			r.Event.ID, r.Event.Type, r.Event.Payload = "", "", []byte("{}")
			return true, nil
		})
		return err
	}}
	f.receiver.erasures[f.p] <- x
	f.step()
	if err := <-x.done; err != nil || events != 100 {
		t.Fatalf("%d events were changed: %v", events, err)
	}
	for !f.fed[f.hours] {
		f.step()
	}
	for _, v := range f.set.Views() {
		for _, user := range []string{"u1", other} {
			rows, err := f.features.Get(t.Context(), nil, freshet.Key(user), v.ID())
			if err != nil || (rows[0].Data != nil) != (user == other) {
				t.Errorf("%s of %s has %d bytes: %v", v.Name(), user, len(rows[0].Data), err)
			}
		}
	}
}
