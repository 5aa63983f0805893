package disklog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/internal/disk"
)

// These tests check promise P1, durable once, on a file system that forgets what was not synced.

// crashCall is one call of Append: several users, so that it spreads over partitions, and sizes from nothing to several blocks.
func crashCall(caller, call int) []eventlog.Entry {
	entries := make([]eventlog.Entry, 1+(caller+call)%7)
	for i := range entries {
		size := 20
		if call%10 == 9 {
			size = 20_000
		}
		entries[i] = eventlog.Entry{
			Event: freshet.Event{
				ID: freshet.EventID(fmt.Sprintf("%d/%d/%d", caller, call, i)), Type: "play",
				EventTime: freshet.Timestamp(1000 * call), IngestTime: freshet.Timestamp(1000*call + 7),
				Payload: []byte(strings.Repeat(fmt.Sprint(call%10), size)),
			},
			Entities: []freshet.Entity{{Kind: "user", Key: freshet.Key(fmt.Sprint("u", i))}, {Kind: "content", Key: freshet.Key(fmt.Sprint("c", call))}},
		}
	}
	return entries
}

// crash is what a file system looks like after a crash and what had been acknowledged before it.
type crash struct {
	fs    *vfs.MemFS
	acked map[[2]int][]eventlog.Appended // by caller and call
	calls int                            // of each caller, that may have been made
}

// check opens the log after the crash: all acknowledged events are there and known, calls are whole, order holds, and what
// the senders retry is there once in the end.
func (c crash) check(t *testing.T, callers int) {
	t.Helper()
	s := &store{fs: c.fs}
	l := eventlog.New(s.open(t))
	defer s.close(t)
	records := map[freshet.Place]eventlog.Record{}
	count := map[freshet.EventID]int{}
	for p := range freshet.Partition(freshet.Partitions) {
		c.readPartition(t, l, p, records, count)
	}
	for caller := range callers {
		var retried []eventlog.Entry
		for call := range c.calls {
			c.checkCall(t, caller, call, records, count)
			retried = append(retried, crashCall(caller, call)...)
		}
		out, err := l.Append(context.Background(), retried)
		if err != nil {
			t.Fatal(err)
		}
		for i := range out {
			if id := retried[i].Event.ID; out[i].Duplicate != (count[id] > 0) {
				t.Fatalf("event %s, in the log %d times, retried: duplicate is %v", id, count[id], out[i].Duplicate)
			}
		}
	}
}

// checkCall checks that a call is in the log whole or not at all, and where its answer said if it had one.
func (c crash) checkCall(t *testing.T, caller, call int, records map[freshet.Place]eventlog.Record, count map[freshet.EventID]int) {
	t.Helper()
	entries := crashCall(caller, call)
	acked, ok := c.acked[[2]int{caller, call}]
	want := count[entries[0].Event.ID]
	if ok {
		want = 2 // one record for each entity
	}
	for i, e := range entries {
		if got := count[e.Event.ID]; got != want || got != 0 && got != 2 {
			t.Fatalf("event %s is in the log %d times, expected %d (acknowledged: %v)", e.Event.ID, got, want, ok)
		}
		if !ok {
			continue
		}
		for j, place := range acked[i].Places {
			if r := records[place]; r.Event.ID != e.Event.ID || r.Entity != e.Entities[j] || string(r.Event.Payload) != string(e.Event.Payload) {
				t.Fatalf("at %v lies %+v, acknowledged was %s", place, r, e.Event.ID)
			}
		}
	}
}

func (c crash) readPartition(t *testing.T, l *eventlog.Log, p freshet.Partition, records map[freshet.Place]eventlog.Record, count map[freshet.EventID]int) {
	t.Helper()
	var latest freshet.Timestamp
	for o := freshet.Offset(1); o <= l.Head(p); {
		got, err := l.Read(context.Background(), nil, p, o, 100)
		if err != nil || len(got) == 0 {
			t.Fatalf("partition %d, offset %d: %v, %v", p, o, got, err)
		}
		for _, r := range got {
			if r.Offset != o || r.MaxEventTime != latest {
				t.Fatalf("partition %d: record %d has offset %d and MaxEventTime %v, expected %v", p, o, r.Offset, r.MaxEventTime, latest)
			}
			records[freshet.Place{Partition: p, Offset: o}] = r
			count[r.Event.ID]++
			latest = max(latest, r.Event.EventTime)
			o++
		}
	}
}

// One caller, and a crash before every single change of the file system.
func TestCrashAtEveryPoint(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const calls = 15
	mem := vfs.NewCrashableMem()
	var (
		mu      sync.Mutex // the file system is used by several goroutines
		acked   = map[[2]int][]eventlog.Appended{}
		crashes []crash
	)
	cut := func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		c := crash{acked: map[[2]int][]eventlog.Appended{}, calls: calls}
		for k, v := range acked {
			c.acked[k] = v
		}
		c.fs = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * rng.IntN(2), RNG: rng})
		crashes = append(crashes, c)
		return nil
	}
	s := &store{fs: errorfs.Wrap(mem, errorfs.InjectorFunc(cut))}
	l := eventlog.New(s.open(t))
	for call := range calls {
		out, err := l.Append(context.Background(), crashCall(0, call))
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		acked[[2]int{0, call}] = out
		mu.Unlock()
		if call%10 == 5 {
			if err := s.db.Pebble().Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.close(t)
	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d crashes", len(crashes))
	if len(crashes) < calls {
		t.Fatalf("only %d changes of the file system were seen", len(crashes))
	}
	for i, c := range crashes {
		c.check(t, 1)
		if t.Failed() {
			t.Fatalf("crash %d of %d", i, len(crashes))
		}
	}
}

// Many callers, and crashes at random moments.
func TestCrashUnderLoad(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const callers, calls = 8, 30
	mem := vfs.NewCrashableMem()
	s := &store{fs: mem}
	l := eventlog.New(s.open(t))
	var (
		mu      sync.Mutex
		acked   = map[[2]int][]eventlog.Appended{}
		acks    = make(chan struct{}, callers*calls)
		running sync.WaitGroup
	)
	for caller := range callers {
		running.Go(func() {
			for call := range calls {
				out, err := l.Append(context.Background(), crashCall(caller, call))
				if err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				mu.Lock()
				acked[[2]int{caller, call}] = out
				mu.Unlock()
				acks <- struct{}{}
			}
		})
	}
	var crashes []crash
	for i := range callers * calls {
		<-acks
		if i%40 != 0 {
			continue
		}
		c := crash{acked: map[[2]int][]eventlog.Appended{}, calls: calls}
		mu.Lock()
		for k, v := range acked {
			c.acked[k] = v
		}
		mu.Unlock()
		c.fs = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 25 * rng.IntN(5), RNG: rng})
		crashes = append(crashes, c)
	}
	running.Wait()
	s.close(t)
	for _, c := range crashes {
		c.check(t, callers)
	}
}

func TestFailedSyncStopsTheProcess(t *testing.T) {
	t.Parallel()
	testFailedDisk(t, errorfs.OpFileSyncData)
}

func TestFailedWriteStopsTheProcess(t *testing.T) {
	t.Parallel()
	testFailedDisk(t, errorfs.OpFileWrite)
}

func testFailedDisk(t *testing.T, kind errorfs.OpKind) {
	var broken atomic.Bool
	noDisk := errors.New("the disk is gone")
	mem := vfs.NewCrashableMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == kind && strings.HasSuffix(op.Path, ".log") {
			return noDisk
		}
		return nil
	}))
	fatal := make(chan error, 10)
	db, err := disk.Open("data", &disk.Options{FS: fs, OnFatal: func(err error) { fatal <- err }})
	if err != nil {
		t.Fatal(err)
	}
	d, err := disklog.New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := eventlog.New(d)
	const callers = 8
	acked := map[[2]int][]eventlog.Appended{}
	for caller := range callers {
		if acked[[2]int{caller, 0}], err = l.Append(context.Background(), crashCall(caller, 0)); err != nil {
			t.Fatal(err)
		}
	}
	heads := l.Stats().Heads

	broken.Store(true)
	var running sync.WaitGroup
	for caller := range callers {
		running.Go(func() {
			for call := 1; call < 4; call++ {
				out, err := l.Append(context.Background(), crashCall(caller, call))
				if code := freshet.CodeOf(err); code != freshet.Internal && code != freshet.Unavailable {
					t.Errorf("Append on a broken disk: %v, %v", out, err)
				}
			}
		})
	}
	running.Wait()
	if err := <-fatal; !errors.Is(err, noDisk) {
		t.Errorf("OnFatal got %v, expected the failure of the disk", err)
	}
	if got := l.Stats().Heads; got != heads {
		t.Errorf("heads moved from %v to %v", heads, got)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if len(fatal) != 0 {
		t.Errorf("OnFatal was called again: %v", <-fatal)
	}
	// The store is not closed: the process would be gone. What was acknowledged is there for the next one.
	crash{fs: mem.CrashClone(vfs.CrashCloneCfg{}), acked: acked, calls: 4}.check(t, callers)
}
