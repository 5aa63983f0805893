package eventlogtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

func testConcurrentAppends(t *testing.T, h Harness) {
	l := open(t, h)
	const callers, calls, size = 16, 40, 5
	var running sync.WaitGroup
	for c := range callers {
		running.Go(func() {
			for i := range calls {
				var entries []eventlog.Entry
				for j := range size {
					id := freshet.EventID(fmt.Sprintf("%d/%d/%d", c, i, j))
					entries = append(entries, entry(id, freshet.Key(fmt.Sprintf("u%d", c%4)), freshet.Timestamp(i)))
				}
				out, err := l.Append(context.Background(), entries)
				if err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				for j, a := range out {
					first := out[0].Places[0]
					if a.Duplicate || a.Places[0].Offset != first.Offset+freshet.Offset(j) {
						t.Errorf("caller %d, call %d: a call's events of one partition do not lie side by side: %+v", c, i, out)
						return
					}
				}
			}
		})
	}
	running.Wait()
	next := map[int][2]int{} // of each caller, the call and event that must come next
	for _, r := range everything(t, l) {
		var c, i, j int
		if _, err := fmt.Sscanf(string(r.Event.ID), "%d/%d/%d", &c, &i, &j); err != nil {
			t.Fatal(err)
		}
		if next[c] != [2]int{i, j} {
			t.Fatalf("caller %d: event %d of call %d comes where %v should", c, j, i, next[c])
		}
		if j++; j == size {
			i, j = i+1, 0
		}
		next[c] = [2]int{i, j}
	}
	for c := range callers {
		if next[c] != [2]int{calls, 0} {
			t.Fatalf("caller %d: the log ends before %v", c, next[c])
		}
	}
}

func testConcurrentDuplicates(t *testing.T, h Harness) {
	l := open(t, h)
	const callers, events = 8, 200
	var accepted atomic.Int64
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for i := range events {
				out, err := l.Append(context.Background(), []eventlog.Entry{entry(freshet.EventID(fmt.Sprint(i)), "u1", 0)})
				if err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				if !out[0].Duplicate {
					accepted.Add(1)
				}
			}
		})
	}
	running.Wait()
	if n := len(everything(t, l)); accepted.Load() != events || n != events {
		t.Fatalf("%d of %d ids were accepted and the log has %d records", accepted.Load(), events, n)
	}
}

func testAppendWithEndedContext(t *testing.T, h Harness) {
	l := open(t, h)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Append(ctx, []eventlog.Entry{entry("e1", "u1", 0)}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Append with an ended context: %v", err)
	}
	if out := mustAppend(t, l, entry("e1", "u1", 0)); out[0].Duplicate {
		t.Fatal("an event whose context had ended before the call was appended")
	}

	// Contexts that end at any moment: an event is in the log if the answer says so, and at most once.
	var running sync.WaitGroup
	for c := range 8 {
		running.Go(func() {
			for i := range 50 {
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan struct{})
				go func() { defer close(done); cancel() }()
				e := entry(freshet.EventID(fmt.Sprintf("%d/%d", c, i)), "u2", 0)
				first, err := l.Append(ctx, []eventlog.Entry{e})
				<-done
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("Append: %v", err)
					return
				}
				second, err2 := l.Append(context.Background(), []eventlog.Entry{e})
				if err2 != nil || err == nil && (first[0].Duplicate || !second[0].Duplicate) {
					t.Errorf("first %+v, %v; retried %+v, %v", first, err, second, err2)
					return
				}
			}
		})
	}
	running.Wait()
	if n := len(readAll(t, l, freshet.PartitionOf("u2"), 100)); n != 400 {
		t.Fatalf("the log has %d records, expected each of 400 once", n)
	}
}

func testReadWithEndedContext(t *testing.T, h Harness) {
	l := open(t, h)
	mustAppend(t, l, entry("e1", "u1", 0))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got, err := l.Read(ctx, nil, freshet.PartitionOf("u1"), 1, 1); !errors.Is(err, context.Canceled) || len(got) != 0 {
		t.Fatalf("Read with an ended context: %v, %v", got, err)
	}
}

func testWait(t *testing.T, h Harness) {
	l := open(t, h)
	p := freshet.PartitionOf("u1")
	const n = 200
	waited := make(chan error, 1)
	go func() {
		for o := freshet.Offset(1); o <= n; o++ {
			if err := l.Wait(context.Background(), p, o); err != nil {
				waited <- err
				return
			}
			if got, err := l.Read(context.Background(), nil, p, o, 1); err != nil || len(got) != 1 || l.Head(p) < o {
				waited <- fmt.Errorf("offset %d after Wait: %v, %v, head %d", o, got, err, l.Head(p))
				return
			}
		}
		waited <- nil
	}()
	for i := range n {
		mustAppend(t, l, entry(freshet.EventID(fmt.Sprint(i)), "u1", 0))
	}
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if err := l.Wait(context.Background(), freshet.Partitions, 1); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Fatalf("Wait for partition 64: %v", err)
	}
}

func testWaitEndsWithContext(t *testing.T, h Harness) {
	l := open(t, h)
	ctx, cancel := context.WithCancel(context.Background())
	waited := make(chan error, 1)
	go func() { waited <- l.Wait(ctx, 3, 1) }()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Fatalf("Wait with an ended context: %v", err)
	}
}

func testManyWait(t *testing.T, h Harness) {
	l := open(t, h)
	var running sync.WaitGroup
	for p := range freshet.Partition(freshet.Partitions) {
		for range 2 {
			running.Go(func() {
				if err := l.Wait(context.Background(), p, 2); err != nil {
					t.Errorf("Wait for partition %d: %v", p, err)
				}
			})
		}
	}
	heads := map[freshet.Partition]int{}
	for i := 0; len(heads) < freshet.Partitions; i++ {
		user := freshet.Key(fmt.Sprint("u", i))
		mustAppend(t, l, entry(freshet.EventID(fmt.Sprint("a", i)), user, 0))
		mustAppend(t, l, entry(freshet.EventID(fmt.Sprint("b", i)), user, 0))
		heads[freshet.PartitionOf(user)]++
	}
	running.Wait()
}

func testCloseEndsWait(t *testing.T, h Harness) {
	l := open(t, h)
	var running sync.WaitGroup
	for p := range freshet.Partition(freshet.Partitions) {
		running.Go(func() {
			if err := l.Wait(context.Background(), p, 1); freshet.CodeOf(err) != freshet.Unavailable {
				t.Errorf("Wait of a log that is closed: %v", err)
			}
		})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	running.Wait()
}

func testCloseTwice(t *testing.T, h Harness) {
	l := open(t, h)
	mustAppend(t, l, entry("e1", "u1", 0))
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() {
			if err := l.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	running.Wait()
	if err := l.Close(); err != nil {
		t.Fatalf("Close again: %v", err)
	}
}

func testUseAfterClose(t *testing.T, h Harness) {
	l := open(t, h)
	mustAppend(t, l, entry("e1", "u1", 0))
	// Calls under way when the log is closed get their answer or Unavailable.
	var running sync.WaitGroup
	for c := range 8 {
		running.Go(func() {
			for i := 0; ; i++ {
				_, err := l.Append(context.Background(), []eventlog.Entry{entry(freshet.EventID(fmt.Sprintf("%d/%d", c, i)), "u1", 0)})
				if freshet.CodeOf(err) == freshet.Unavailable {
					return
				}
				if err != nil {
					t.Errorf("Append: %v", err)
					return
				}
			}
		})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	running.Wait()
	_, err := l.Append(context.Background(), []eventlog.Entry{entry("e2", "u1", 0)})
	wantCode(t, "Append", err, freshet.Unavailable)
	_, err = l.Read(context.Background(), nil, freshet.PartitionOf("u1"), 1, 1)
	wantCode(t, "Read", err, freshet.Unavailable)
	wantCode(t, "Wait for what is there", l.Wait(context.Background(), freshet.PartitionOf("u1"), 1), freshet.Unavailable)
	wantCode(t, "Wait for what is not there", l.Wait(context.Background(), 0, 1<<40), freshet.Unavailable)
	if head := l.Head(freshet.PartitionOf("u1")); head < 1 {
		t.Fatalf("Head after Close: %d", head)
	}
}

func testStats(t *testing.T, h Harness) {
	l := open(t, h)
	mustAppend(t, l, entry("e1", "u1", 0), entry("e2", "u1", 0), entry("e1", "u1", 0))
	mustAppend(t, l, entry("e1", "u1", 0))
	s := l.Stats()
	if s.Calls != 2 || s.Appended != 2 || s.Duplicates != 2 || s.Heads[freshet.PartitionOf("u1")] != 2 {
		t.Fatalf("Stats: %+v", s)
	}
	if s.Groups > 0 && s.EventsPerGroup() != float64(s.Appended)/float64(s.Groups) {
		t.Fatalf("EventsPerGroup is %v of %+v", s.EventsPerGroup(), s)
	}
}
