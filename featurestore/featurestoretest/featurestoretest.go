// Package featurestoretest is the conformance suite of featurestore.Driver: every driver's tests run it. It is imported by
// tests only.
package featurestoretest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/featurestore"
)

// Harness makes drivers for one test.
type Harness struct {
	// Open returns an empty driver.
	Open func(t *testing.T) featurestore.Driver
	// Reopen closes d as a process that ends would and opens what it left; nil if nothing outlives the driver.
	Reopen func(t *testing.T, d featurestore.Driver) featurestore.Driver
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"rows come back":                       testRows,
		"keys of any bytes":                    testKeys,
		"removal":                              testRemoval,
		"old epochs are refused":               testEpochs,
		"a new owner starts at the checkpoint": testTakeover,
		"a new view starts at the beginning":   testViews,
		"a view that is filled":                testFilled,
		"drop":                                 testDrop,
		"reopen":                               testReopen,
		"wait":                                 testWait,
		"a read that a new owner waits for":    testThrough,
		"readers beside the owner":             testConcurrent,
		"random history":                       testRandom,
		"sweep":                                testSweep,
		"sweep of what has changed":            testSweepChanged,
		"sweep and reopen":                     testSweepReopen,
		"scan":                                 testScan,
		"close":                                testClose,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, h)
		})
	}
}

const key freshet.Key = "u1"

var partition = freshet.PartitionOf(key)

func row(v freshet.ViewID, k freshet.Key, o freshet.Offset, data string) freshet.Row {
	r := freshet.Row{View: v, Key: k, Offset: o}
	if data != "" {
		r.Data = []byte(data)
	}
	return r
}

func acquire(t *testing.T, s *featurestore.Store, p freshet.Partition, views ...freshet.ViewID) featurestore.Ownership {
	t.Helper()
	own, err := s.Acquire(t.Context(), p, views)
	if err != nil {
		t.Fatal(err)
	}
	return own
}

func apply(t *testing.T, s *featurestore.Store, p freshet.Partition, e freshet.Epoch, through freshet.Offset, rows ...freshet.Row) {
	t.Helper()
	if err := s.Apply(t.Context(), p, e, through, rows); err != nil {
		t.Fatal(err)
	}
}

func checkpoint(t *testing.T, s *featurestore.Store, p freshet.Partition, e freshet.Epoch, views ...freshet.ViewID) {
	t.Helper()
	if err := s.Checkpoint(t.Context(), p, e, views, nil); err != nil {
		t.Fatal(err)
	}
}

// want reads the rows of k in views 1, 2, … and compares "offset data", "-" for none.
func want(t *testing.T, s *featurestore.Store, k freshet.Key, rows ...string) {
	t.Helper()
	views := make([]freshet.ViewID, len(rows))
	for i := range rows {
		views[i] = freshet.ViewID(i + 1)
	}
	got, err := s.Get(t.Context(), nil, k, views...)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(rows) {
		t.Fatalf("%d rows, want %d", len(got), len(rows))
	}
	for i, r := range got {
		text := "-"
		if r.Data != nil {
			text = fmt.Sprintf("%d %s", r.Offset, r.Data)
		}
		if text != rows[i] || r.View != views[i] || r.Key != k {
			t.Errorf("row %d: got %016x %q %s, want %016x %q %s", i, r.View, r.Key, text, views[i], k, rows[i])
		}
	}
}

func open(t *testing.T, h Harness) *featurestore.Store {
	s := featurestore.New(h.Open(t))
	t.Cleanup(func() { s.Close() })
	return s
}

func testRows(t *testing.T, h Harness) {
	s := open(t, h)
	want(t, s, key, "-", "-")
	own := acquire(t, s, partition)
	if own.Checkpoint != 0 {
		t.Fatalf("empty store has checkpoint %d", own.Checkpoint)
	}
	apply(t, s, partition, own.Epoch, 7, row(1, key, 5, "a"), row(2, key, 7, "b"))
	want(t, s, key, "5 a", "7 b")
	apply(t, s, partition, own.Epoch, 9, row(2, key, 9, "c"))
	want(t, s, key, "5 a", "9 c", "-")
	checkpoint(t, s, partition, own.Epoch)
	want(t, s, key, "5 a", "9 c", "-")
	if err := s.Apply(t.Context(), partition, own.Epoch, 9, []freshet.Row{row(1, key, 10, "x")}); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Errorf("a row ahead of its offset: %v", err)
	}
	if s.Applied(partition) != 9 {
		t.Errorf("applied %d, want 9", s.Applied(partition))
	}
}

func testKeys(t *testing.T, h Harness) {
	s := open(t, h)
	keys := []freshet.Key{"", "a", "a\x00", "a\x00b", "a/b", "\xff\xfe", "ü", "a,b"}
	epochs := map[freshet.Partition]freshet.Epoch{}
	for i, k := range keys {
		p := freshet.PartitionOf(k)
		if epochs[p] == 0 {
			epochs[p] = acquire(t, s, p).Epoch
		}
		apply(t, s, p, epochs[p], freshet.Offset(i+1), row(1, k, freshet.Offset(i+1), "v"+string(k)))
	}
	for p, e := range epochs {
		checkpoint(t, s, p, e)
	}
	for i, k := range keys {
		want(t, s, k, fmt.Sprintf("%d v%s", i+1, k))
	}
}

func testRemoval(t *testing.T, h Harness) {
	s := open(t, h)
	own := acquire(t, s, partition)
	apply(t, s, partition, own.Epoch, 1, row(1, key, 1, "a"), row(2, key, 1, "b"))
	checkpoint(t, s, partition, own.Epoch)
	apply(t, s, partition, own.Epoch, 2, row(1, key, 2, ""))
	want(t, s, key, "-", "1 b")
	checkpoint(t, s, partition, own.Epoch)
	want(t, s, key, "-", "1 b")
	acquire(t, s, partition)
	want(t, s, key, "-", "1 b")
}

func testEpochs(t *testing.T, h Harness) {
	s := open(t, h)
	first := acquire(t, s, partition)
	second := acquire(t, s, partition)
	if second.Epoch <= first.Epoch {
		t.Fatalf("epochs %d, %d do not grow", first.Epoch, second.Epoch)
	}
	if err := s.Apply(t.Context(), partition, first.Epoch, 1, []freshet.Row{row(1, key, 1, "zombie")}); freshet.CodeOf(err) != freshet.PreconditionFailed {
		t.Errorf("apply of a former owner: %v", err)
	}
	if err := s.Checkpoint(t.Context(), partition, first.Epoch, nil, nil); freshet.CodeOf(err) != freshet.PreconditionFailed {
		t.Errorf("checkpoint of a former owner: %v", err)
	}
	want(t, s, key, "-")
	if s.Stats().Refused != 2 {
		t.Errorf("refused %d, want 2", s.Stats().Refused)
	}
}

func testTakeover(t *testing.T, h Harness) {
	s := open(t, h)
	own := acquire(t, s, partition)
	apply(t, s, partition, own.Epoch, 3, row(1, key, 3, "kept"))
	checkpoint(t, s, partition, own.Epoch)
	apply(t, s, partition, own.Epoch, 8, row(1, key, 8, "lost"), row(2, key, 7, "lost"))
	own = acquire(t, s, partition)
	if own.Checkpoint != 3 || s.Applied(partition) != 3 {
		t.Fatalf("checkpoint %d, applied %d, want 3", own.Checkpoint, s.Applied(partition))
	}
	want(t, s, key, "3 kept", "-")
}

// testViews: rows of a view that no checkpoint has kept must be filled from the start, without taking the others back.
func testViews(t *testing.T, h Harness) {
	s := open(t, h)
	own := acquire(t, s, partition, 1)
	apply(t, s, partition, own.Epoch, 6, row(1, key, 6, "a"))
	checkpoint(t, s, partition, own.Epoch, 1, 3)
	if own = acquire(t, s, partition, 3, 1); own.Checkpoint != 6 {
		t.Fatalf("views that were kept: checkpoint %d, want 6", own.Checkpoint)
	}
	if own = acquire(t, s, partition, 1, 2); own.Checkpoint != 0 || s.Applied(partition) != 0 {
		t.Fatalf("a new view: checkpoint %d, applied %d, want 0", own.Checkpoint, s.Applied(partition))
	}
	want(t, s, key, "6 a", "-")
	apply(t, s, partition, own.Epoch, 4, row(2, key, 4, "b"))
	checkpoint(t, s, partition, own.Epoch, 1, 2)
	if own = acquire(t, s, partition, 1, 2); own.Checkpoint != 4 {
		t.Fatalf("filled halfway: checkpoint %d, want 4", own.Checkpoint)
	}
	want(t, s, key, "6 a", "4 b")
}

// testFilled: a view that a checkpoint calls filled to an offset goes on from there, over takeovers and restarts, until one
// calls it kept.
func testFilled(t *testing.T, h Harness) {
	d := h.Open(t)
	s := featurestore.New(d)
	t.Cleanup(func() { s.Close() })
	own := acquire(t, s, partition, 1)
	apply(t, s, partition, own.Epoch, 6, row(1, key, 6, "a"))
	// Rows of a view that is being filled come with the offset that the others have reached.
	apply(t, s, partition, own.Epoch, 6, row(2, key, 3, "b"))
	filled := []featurestore.Filled{{View: 2, Through: 4}, {View: 1 << 63, Through: 0}}
	if err := s.Checkpoint(t.Context(), partition, own.Epoch, []freshet.ViewID{1}, filled); err != nil {
		t.Fatal(err)
	}
	// Nothing but the list has changed.
	filled[1].Through = 5
	if err := s.Checkpoint(t.Context(), partition, own.Epoch, []freshet.ViewID{1}, filled); err != nil {
		t.Fatal(err)
	}
	if h.Reopen != nil {
		s = featurestore.New(h.Reopen(t, d))
	}
	own = acquire(t, s, partition, 1)
	if own.Checkpoint != 6 || own.Views[1] != 6 || own.Views[2] != 4 || own.Views[1<<63] != 5 || len(own.Views) != 3 {
		t.Fatalf("beside the view: checkpoint %d, views %v", own.Checkpoint, own.Views)
	}
	want(t, s, key, "6 a", "3 b")
	if own = acquire(t, s, partition, 2, 1); own.Checkpoint != 4 || s.Applied(partition) != 4 {
		t.Fatalf("with the view: checkpoint %d, applied %d, want 4", own.Checkpoint, s.Applied(partition))
	}
	apply(t, s, partition, own.Epoch, 6, row(2, key, 5, "c"))
	checkpoint(t, s, partition, own.Epoch, 1, 2)
	own = acquire(t, s, partition, 1, 2)
	if own.Checkpoint != 6 || len(own.Views) != 2 || own.Views[2] != 6 {
		t.Fatalf("kept: checkpoint %d, views %v", own.Checkpoint, own.Views)
	}
	want(t, s, key, "6 a", "5 c")
}

// testDrop: nothing is left of a view that is dropped, and what the checkpoint said of it is gone together with its rows.
func testDrop(t *testing.T, h Harness) {
	d := h.Open(t)
	s := featurestore.New(d)
	t.Cleanup(func() { s.Close() })
	own := acquire(t, s, partition, 1, 2)
	others := []freshet.Key{}
	for i := 0; len(others) < 2; i++ {
		if k := freshet.Key(fmt.Sprint("other", i)); (freshet.PartitionOf(k) == partition) == (len(others) == 0) {
			others = append(others, k)
		}
	}
	near, far := others[0], others[1] // in this partition, in another one
	elsewhere := acquire(t, s, freshet.PartitionOf(far), 2)
	apply(t, s, freshet.PartitionOf(far), elsewhere.Epoch, 1, row(2, far, 1, "stays"))
	const last = freshet.ViewID(1<<64 - 1)
	apply(t, s, partition, own.Epoch, 5, row(1, key, 1, "a"), row(2, key, 2, "b"), row(2, near, 3, "c"), row(3, key, 3, "d"), row(last, key, 4, "z"))
	if err := s.Checkpoint(t.Context(), partition, own.Epoch, []freshet.ViewID{1, 2}, []featurestore.Filled{{View: 3, Through: 3}}); err != nil {
		t.Fatal(err)
	}
	apply(t, s, partition, own.Epoch, 6, row(2, key, 6, "not on disk"), row(1, key, 6, "e"))
	if err := s.Drop(t.Context(), partition, own.Epoch-1, nil); freshet.CodeOf(err) != freshet.PreconditionFailed {
		t.Errorf("drop of a former owner: %v", err)
	}
	for range 2 { // again changes nothing
		if err := s.Drop(t.Context(), partition, own.Epoch, []freshet.ViewID{1}); err != nil {
			t.Fatal(err)
		}
		want(t, s, key, "6 e", "-", "-")
		want(t, s, near, "-", "-")
		want(t, s, far, "-", "1 stays")
	}
	if rows, err := s.Get(t.Context(), nil, key, last); err != nil || rows[0].Data != nil {
		t.Errorf("the last view id: %q, %v", rows[0].Data, err)
	}
	if h.Reopen != nil {
		s = featurestore.New(h.Reopen(t, d))
	}
	own = acquire(t, s, partition, 1)
	if own.Checkpoint != 5 || len(own.Views) != 1 {
		t.Fatalf("after the drop: checkpoint %d, views %v, want 5 and only view 1", own.Checkpoint, own.Views)
	}
	want(t, s, key, "1 a", "-", "-")
	if own = acquire(t, s, partition, 1, 2); own.Checkpoint != 0 {
		t.Fatalf("a view that was dropped comes back: checkpoint %d, want 0", own.Checkpoint)
	}
	apply(t, s, partition, own.Epoch, 2, row(2, key, 2, "b"))
	want(t, s, key, "1 a", "2 b")
}

func testReopen(t *testing.T, h Harness) {
	if h.Reopen == nil {
		t.Skip("nothing outlives this driver")
	}
	d := h.Open(t)
	s := featurestore.New(d)
	own := acquire(t, s, partition)
	apply(t, s, partition, own.Epoch, 3, row(1, key, 3, "kept"))
	checkpoint(t, s, partition, own.Epoch, 1, 1<<63)
	apply(t, s, partition, own.Epoch, 4, row(1, key, 4, "not checkpointed"))
	s = featurestore.New(h.Reopen(t, d))
	defer s.Close()
	want(t, s, key, "3 kept")
	again := acquire(t, s, partition)
	if again.Epoch <= own.Epoch || again.Checkpoint != 3 {
		t.Fatalf("after reopen epoch %d (was %d), checkpoint %d, want 3", again.Epoch, own.Epoch, again.Checkpoint)
	}
	want(t, s, key, "3 kept")
}

func testWait(t *testing.T, h Harness) {
	s := open(t, h)
	own := acquire(t, s, partition)
	got := make(chan error, 1)
	go func() {
		err := s.Wait(t.Context(), partition, 5)
		if err == nil {
			var rows []freshet.Row
			if rows, err = s.Get(t.Context(), nil, key, 1); err == nil && string(rows[0].Data) != "there" {
				err = fmt.Errorf("the row is not visible when Wait returns: %q", rows[0].Data)
			}
		}
		got <- err
	}()
	apply(t, s, partition, own.Epoch, 4)
	apply(t, s, partition, own.Epoch, 5, row(1, key, 5, "there"))
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx, partition, 6); err == nil {
		t.Fatal("Wait outlived its context")
	}
	if err := s.Wait(t.Context(), freshet.Partitions, 1); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Fatalf("partition out of range: %v", err)
	}
}

// testThrough: what was waited for is there until it is read, although a new owner takes it back.
func testThrough(t *testing.T, h Harness) {
	s := open(t, h)
	own := acquire(t, s, partition)
	var owners sync.WaitGroup
	for o := freshet.Offset(1); o <= 20; o++ {
		apply(t, s, partition, own.Epoch, o, row(1, key, o, "a"))
		owners.Go(func() { // as one who sees the same log
			own := acquire(t, s, partition)
			for again := own.Checkpoint + 1; again <= o; again++ {
				if err := s.Apply(t.Context(), partition, own.Epoch, again, []freshet.Row{row(1, key, again, "a")}); err != nil {
					t.Error(err)
				}
			}
		})
		if err := s.Through(t.Context(), partition, o, func() error {
			runtime.Gosched()
			want(t, s, key, fmt.Sprint(o, " a"))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		owners.Wait()
		own = acquire(t, s, partition)
		for again := own.Checkpoint + 1; again <= o; again++ {
			apply(t, s, partition, own.Epoch, again, row(1, key, again, "a"))
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	failed := errors.New("failed")
	if err := s.Through(t.Context(), partition, 20, func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("a read that fails: %v", err)
	}
	if err := s.Through(ended, partition, 21, func() error { return failed }); !errors.Is(err, context.Canceled) {
		t.Errorf("rows that do not come: %v", err)
	}
}

// testConcurrent reads while the owner writes two rows together: their offsets must never go backwards.
func testConcurrent(t *testing.T, h Harness) {
	s := open(t, h)
	own := acquire(t, s, partition)
	const last = 500
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			var seen freshet.Offset
			for seen < last {
				rows, err := s.Get(t.Context(), nil, key, 1, 2)
				if err != nil {
					t.Error(err)
					return
				}
				if rows[0].Offset != rows[1].Offset || rows[0].Offset < seen {
					t.Errorf("offsets %d and %d after %d", rows[0].Offset, rows[1].Offset, seen)
					return
				}
				seen = rows[0].Offset
			}
		})
	}
	for o := freshet.Offset(1); o <= last; o++ {
		apply(t, s, partition, own.Epoch, o, row(1, key, o, "a"), row(2, key, o, "b"))
		if o%7 == 0 {
			checkpoint(t, s, partition, own.Epoch)
		}
	}
	readers.Wait()
}

// testRandom compares a random history of writes, removals, checkpoints and takeovers with two maps.
func testRandom(t *testing.T, h Harness) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	s := open(t, h)
	type id struct {
		v freshet.ViewID
		k freshet.Key
	}
	var keys []freshet.Key
	for i := 0; len(keys) < 12; i++ {
		if k := freshet.Key(fmt.Sprint("k", i)); freshet.PartitionOf(k) == partition {
			keys = append(keys, k)
		}
	}
	now, durable := map[id]freshet.Row{}, map[id]freshet.Row{}
	own := acquire(t, s, partition)
	offset, saved := freshet.Offset(0), freshet.Offset(0)
	for range 400 {
		switch n := r.IntN(20); {
		case n == 0:
			own = acquire(t, s, partition)
			if own.Checkpoint != saved {
				t.Fatalf("checkpoint %d, want %d", own.Checkpoint, saved)
			}
			now, offset = clone(durable), saved
		case n < 4:
			checkpoint(t, s, partition, own.Epoch)
			durable, saved = clone(now), offset
		default:
			offset++
			x := row(freshet.ViewID(1+r.IntN(3)), keys[r.IntN(len(keys))], offset, fmt.Sprint("v", offset))
			if r.IntN(5) == 0 {
				x.Data = nil
			}
			apply(t, s, partition, own.Epoch, offset, x)
			now[id{x.View, x.Key}] = x
		}
		k := keys[r.IntN(len(keys))]
		var texts []string
		for v := freshet.ViewID(1); v <= 3; v++ {
			text := "-"
			if x := now[id{v, k}]; x.Data != nil {
				text = fmt.Sprintf("%d %s", x.Offset, x.Data)
			}
			texts = append(texts, text)
		}
		want(t, s, k, texts...)
	}
}

func clone[K comparable, V any](m map[K]V) map[K]V {
	c := make(map[K]V, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

func testClose(t *testing.T, h Harness) {
	s := open(t, h)
	own := acquire(t, s, partition)
	waiting := make(chan error, 1)
	go func() { waiting <- s.Wait(t.Context(), partition, 1) }()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-waiting; freshet.CodeOf(err) != freshet.Unavailable {
		t.Errorf("waiting at close: %v", err)
	}
	_, getErr := s.Get(t.Context(), nil, key, 1)
	_, scanErr := s.Scan(t.Context(), nil, partition, 1, "", 1)
	_, sweepErr := s.Sweep(t.Context(), partition, own.Epoch, 1, nil)
	_, acquireErr := s.Acquire(t.Context(), partition, nil)
	for _, err := range []error{getErr, acquireErr, s.Apply(t.Context(), partition, own.Epoch, 1, nil), s.Checkpoint(t.Context(), partition, own.Epoch, nil, nil), s.Drop(t.Context(), partition, own.Epoch, nil), scanErr, sweepErr} {
		if freshet.CodeOf(err) != freshet.Unavailable {
			t.Errorf("use after close: %v", err)
		}
	}
}
