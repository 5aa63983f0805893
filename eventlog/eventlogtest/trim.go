package eventlogtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

func testTrim(t *testing.T, h Harness) {
	l := open(t, h)
	p := freshet.PartitionOf("u1")
	if err := l.Trim(context.Background(), p, 5); err != nil || l.Start(p) != 1 {
		t.Fatalf("Trim of an empty partition: %v, start %d", err, l.Start(p))
	}
	const n = 50
	for i := range n {
		mustAppend(t, l, entry(freshet.EventID(fmt.Sprint("e", i+1)), "u1", freshet.Timestamp(-i)))
	}
	before := readAll(t, l, p, 100)
	start := trim(t, l, p, 20)
	if start == 1 {
		t.Fatal("nothing was trimmed, although every event came with a call of its own")
	}
	wantRest(t, l, p, before[start-1:])
	if again := trim(t, l, p, 10); again != start {
		t.Fatalf("trimming less moved the start from %d to %d", start, again)
	}
	wantCode(t, "Trim of partition 64", l.Trim(context.Background(), freshet.Partitions, 1), freshet.InvalidArgument)

	// The last record stays, so that head and largest event time are known; ids are still known, too.
	start = trim(t, l, p, n+100)
	if start > n {
		t.Fatalf("the start is %d, behind the last record %d", start, n)
	}
	wantRest(t, l, p, before[start-1:])
	if out := mustAppend(t, l, entry("e1", "u1", 0)); !out[0].Duplicate {
		t.Fatal("the id of a trimmed event is forgotten")
	}
	out := mustAppend(t, l, entry("next", "u1", 0))
	if got := out[0].Places[0].Offset; got != n+1 {
		t.Fatalf("the next event is at %d, expected %d", got, n+1)
	}
	got, err := l.Read(context.Background(), nil, p, n+1, 1)
	if err != nil || len(got) != 1 || got[0].MaxEventTime != noon {
		t.Fatalf("the next event: %+v, %v", got, err)
	}
}

func testReopenTrimmed(t *testing.T, h Harness) {
	l := open(t, h)
	p := freshet.PartitionOf("u1")
	for i := range 30 {
		mustAppend(t, l, entry(freshet.EventID(fmt.Sprint("e", i)), "u1", 0))
	}
	before := readAll(t, l, p, 100)
	start := trim(t, l, p, 29)
	l = reopen(t, h, l)
	if l.Start(p) != start || l.Head(p) != 30 {
		t.Fatalf("after a restart the partition is %d … %d, expected %d … 30", l.Start(p), l.Head(p), start)
	}
	wantRest(t, l, p, before[start-1:])
	if out := mustAppend(t, l, entry("next", "u1", 0)); out[0].Places[0].Offset != 31 {
		t.Fatalf("the next event is at %d, expected 31", out[0].Places[0].Offset)
	}
}

// testTrimWhileReading reads from the first record that is said to be there, again and again: it gets that one or
// ErrTrimmed, never another and never nothing.
func testTrimWhileReading(t *testing.T, h Harness) {
	l := open(t, h)
	p := freshet.PartitionOf("u1")
	const n = 120
	for i := range n {
		mustAppend(t, l, entry(freshet.EventID(fmt.Sprint("e", i)), "u1", 0))
	}
	var running sync.WaitGroup
	defer running.Wait()
	for range 4 {
		running.Go(func() {
			for {
				from := l.Start(p)
				if from >= n-5 {
					return
				}
				got, next, err := l.Select(context.Background(), nil, p, from, 3, func(kind, key []byte) bool { return string(key) == "u1" })
				if err == nil && (len(got) != 3 || next != from+3) {
					t.Errorf("Select from %d: %d records, next %d", from, len(got), next)
					return
				}
				if got, err = l.Read(context.Background(), got[:0], p, from, 1); err == nil && (len(got) != 1 || got[0].Offset != from) {
					t.Errorf("Read from %d: %+v", from, got)
					return
				}
				if err != nil && !errors.Is(err, eventlog.ErrTrimmed) {
					t.Errorf("Read from %d: %v", from, err)
					return
				}
			}
		})
	}
	for o := freshet.Offset(1); o < n; o++ {
		trim(t, l, p, o)
	}
}

func testSelect(t *testing.T, h Harness) {
	l := open(t, h)
	var entries []eventlog.Entry
	for i := range 500 {
		e := entry(freshet.EventID(fmt.Sprint("e", i)), freshet.Key(fmt.Sprint("u", i%7)), freshet.Timestamp(i))
		e.Entities = append(e.Entities, freshet.Entity{Kind: "device", Key: e.Entities[0].Key})
		entries = append(entries, e)
	}
	for call := range slices.Chunk(entries, 60) {
		mustAppend(t, l, call...)
	}
	p := freshet.PartitionOf("u3")
	want := slices.DeleteFunc(readAll(t, l, p, 100), func(r eventlog.Record) bool { return r.Entity != freshet.Entity{Kind: "user", Key: "u3"} })
	for _, limit := range []int{1, 7, 1000} {
		var got []eventlog.Record
		for from := freshet.Offset(1); from <= l.Head(p); {
			n := len(got)
			var err error
			got, from, err = l.Select(context.Background(), got, p, from, limit, func(kind, key []byte) bool { return string(kind) == "user" && string(key) == "u3" })
			if err != nil || len(got)-n > limit {
				t.Fatalf("Select of at most %d: %d records, %v", limit, len(got)-n, err)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("Select of at most %d found %d records, expected %d", limit, len(got), len(want))
		}
	}
	var scanned []eventlog.Record
	for r, err := range l.Scan(context.Background(), p, eventlog.Scan{From: want[3].Offset, Match: func(kind, key []byte) bool { return string(kind) == "user" && string(key) == "u3" }}) {
		if err != nil {
			t.Fatal(err)
		}
		scanned = append(scanned, *r)
	}
	if !reflect.DeepEqual(scanned, want[3:]) {
		t.Fatalf("Scan found %d records, expected %d", len(scanned), len(want)-3)
	}
	if got, next, err := l.Select(context.Background(), nil, p, l.Head(p)+1, 5, nil); len(got) != 0 || next != l.Head(p)+1 || err != nil {
		t.Fatalf("Select at the end: %v, %d, %v", got, next, err)
	}
}

func testPick(t *testing.T, h Harness) {
	l := open(t, h)
	var entries []eventlog.Entry
	for i := range 400 {
		e := entry(freshet.EventID(fmt.Sprint("e", i)), freshet.Key(fmt.Sprint("u", i%7)), freshet.Timestamp(i))
		e.Event.Type = []freshet.EventType{"play", "search", "stop"}[i%3]
		e.Entities = append(e.Entities, freshet.Entity{Kind: "device", Key: e.Entities[0].Key})
		entries = append(entries, e)
	}
	for call := range slices.Chunk(entries, 60) {
		mustAppend(t, l, call...)
	}
	p := freshet.PartitionOf("u3")
	all := readAll(t, l, p, 100)
	wanted := func(r eventlog.Record) bool { return r.Event.Type != "search" && r.Entity.Kind == "user" }
	for _, n := range []int{1, 5, 64, 1000} {
		for from := freshet.Offset(1); from <= l.Head(p); {
			end := min(from+freshet.Offset(n), l.Head(p)+1)
			want := slices.DeleteFunc(slices.Clone(all[from-1:end-1]), func(r eventlog.Record) bool { return !wanted(r) })
			got, next, err := l.Pick(context.Background(), []eventlog.Record{{Offset: 77}}, p, from, n, func(t, kind []byte) bool { return string(t) != "search" && string(kind) == "user" })
			if err != nil || next != end || len(got) != len(want)+1 || got[0].Offset != 77 || len(want) > 0 && !reflect.DeepEqual(got[1:], want) {
				t.Fatalf("Pick of %d from %d: %d records through %d, %v; expected %d through %d", n, from, len(got)-1, next-1, err, len(want), end-1)
			}
			from = next
		}
	}
	if got, next, err := l.Pick(context.Background(), nil, p, l.Head(p)+1, 5, func(_, _ []byte) bool { return true }); len(got) != 0 || next != l.Head(p)+1 || err != nil {
		t.Fatalf("Pick at the end: %v, %d, %v", got, next, err)
	}
}

// trim trims and returns the new start, which must not lie behind through+1 unless it did so before.
func trim(t *testing.T, l *eventlog.Log, p freshet.Partition, through freshet.Offset) freshet.Offset {
	t.Helper()
	was := l.Start(p)
	if err := l.Trim(context.Background(), p, through); err != nil {
		t.Fatalf("Trim through %d: %v", through, err)
	}
	start := l.Start(p)
	if start < was || start > max(was, through+1) {
		t.Fatalf("Trim through %d moved the start to %d", through, start)
	}
	return start
}

// wantRest expects that the log begins with want, and that what is before says so.
func wantRest(t *testing.T, l *eventlog.Log, p freshet.Partition, want []eventlog.Record) {
	t.Helper()
	start := want[0].Offset
	got, err := l.Read(context.Background(), nil, p, start, 1000)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("Read from %d: %d records, %v; expected %d", start, len(got), err, len(want))
	}
	for _, from := range []freshet.Offset{0, 1, start - 1} {
		if start == 1 {
			break
		}
		_, err := l.Read(context.Background(), nil, p, from, 10)
		if !errors.Is(err, eventlog.ErrTrimmed) {
			t.Fatalf("Read from %d, before the start %d: %v", from, start, err)
		}
		wantCode(t, "Read before the start", err, freshet.NotFound)
		if _, _, err := l.Select(context.Background(), nil, p, from, 10, func(_, _ []byte) bool { return true }); !errors.Is(err, eventlog.ErrTrimmed) {
			t.Fatalf("Select from %d, before the start %d: %v", from, start, err)
		}
	}
}
