// Package offlinestoretest is the conformance suite of offlinestore drivers: what every one of them must do. Only tests
// import it.
package offlinestoretest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/offlinestore"
)

// Harness makes the stores under test.
type Harness struct {
	// Open makes an empty store. It is called once in each test.
	Open func(t *testing.T) offlinestore.Driver
	// Reopen opens the store again that Open made, as after a crash: the one before may not have been closed.
	Reopen func(t *testing.T) offlinestore.Driver
}

// Run runs the suite. make is called for each test, so that tests can run in parallel.
func Run(t *testing.T, make func() Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"Empty", testEmpty},
		{"AppendAndRead", testAppendAndRead},
		{"ReadLimits", testReadLimits},
		{"Again", testAgain},
		{"Gap", testGap},
		{"SourceFails", testSourceFails},
		{"StrangeBytes", testStrangeBytes},
		{"LargePayloads", testLargePayloads},
		{"ClockGoesBack", testClockGoesBack},
		{"Match", testMatch},
		{"NotBefore", testNotBefore},
		{"BelongsToCaller", testBelongsToCaller},
		{"ReadWhileAppending", testReadWhileAppending},
		{"EndedContext", testEndedContext},
		{"Reopen", testReopen},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, make())
		})
	}
}

// midnight is the begin of the day of the first records.
const (
	midnight freshet.Timestamp = 1_741_046_400_000
	hour     freshet.Timestamp = 60 * 60 * 1000
	day                        = 24 * hour
	part     freshet.Partition = 7
)

// Records makes n records of partition, from offset first on: ten users and two kinds, ingested step apart.
func Records(first freshet.Offset, n int, step freshet.Timestamp) []eventlog.Record {
	records := make([]eventlog.Record, n)
	for i := range records {
		o := first + freshet.Offset(i)
		ingest := midnight + freshet.Timestamp(o-1)*step
		records[i] = eventlog.Record{
			Event: freshet.Event{
				ID: freshet.EventID(fmt.Sprint("e", o)), Type: freshet.EventType([]string{"play", "search"}[o%2]),
				EventTime: ingest - freshet.Timestamp(o%5)*1000, IngestTime: ingest, Payload: fmt.Appendf(nil, `{"n":%d}`, o),
			},
			Entity: freshet.Entity{Kind: freshet.EntityKind([]string{"user", "content", "user"}[o%3]), Key: freshet.Key(fmt.Sprint("k", o%10))},
			Offset: o, MaxEventTime: max(0, ingest-step),
		}
	}
	return records
}

// Sequence gives records, one after another, in memory that it writes over.
func Sequence(records []eventlog.Record) iter.Seq2[*eventlog.Record, error] {
	return func(yield func(*eventlog.Record, error) bool) {
		for _, r := range records {
			payload := append([]byte(nil), r.Event.Payload...)
			r.Event.Payload = payload
			if !yield(&r, nil) {
				return
			}
			clear(payload)
		}
	}
}

func mustAppend(t *testing.T, s *offlinestore.Store, p freshet.Partition, records []eventlog.Record) {
	t.Helper()
	if err := s.Append(context.Background(), p, Sequence(records)); err != nil {
		t.Fatalf("Append: %v", err)
	}
	if got, want := s.Through(p), records[len(records)-1].Offset; got != want {
		t.Fatalf("after Append the store is through %d, expected %d", got, want)
	}
}

func readAll(t *testing.T, s *offlinestore.Store, p freshet.Partition, from freshet.Offset, step int) []eventlog.Record {
	t.Helper()
	var records []eventlog.Record
	for {
		n := len(records)
		var err error
		if records, err = s.Read(context.Background(), records, p, from, step); err != nil {
			t.Fatalf("Read from %d: %v", from, err)
		}
		if len(records) == n {
			return records
		}
		if len(records)-n > step {
			t.Fatalf("Read: %d records, the limit was %d", len(records)-n, step)
		}
		from = records[len(records)-1].Offset + 1
	}
}

func wantRecords(t *testing.T, got, want []eventlog.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, expected %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("record %d is %+v\nexpected %+v", i, got[i], want[i])
		}
	}
}

func scanAll(t *testing.T, s *offlinestore.Store, scan eventlog.Scan, step int) []eventlog.Record {
	t.Helper()
	c, err := s.Open(context.Background(), part, scan)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var records []eventlog.Record
	for {
		n := len(records)
		if records, err = c.Next(context.Background(), records, step); err != nil {
			t.Fatal(err)
		}
		if len(records) == n {
			break
		}
		if c.Offset() != records[len(records)-1].Offset+1 {
			t.Fatalf("after offset %d the cursor is at %d", records[len(records)-1].Offset, c.Offset())
		}
	}
	if c.Offset() != max(scan.From, s.Through(part)+1) {
		t.Fatalf("at the end the cursor is at %d, the store is through %d", c.Offset(), s.Through(part))
	}
	return records
}

func testEmpty(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	if s.Through(part) != 0 || s.Through(freshet.Partitions) != 0 {
		t.Fatal("an empty store is through something")
	}
	if err := s.Append(t.Context(), part, Sequence(nil)); err != nil {
		t.Fatalf("Append of nothing: %v", err)
	}
	wantRecords(t, readAll(t, s, part, 1, 10), nil)
	wantRecords(t, scanAll(t, s, eventlog.Scan{From: 1}, 10), nil)
	if _, err := s.Read(t.Context(), nil, freshet.Partitions, 1, 1); freshet.CodeOf(err) != freshet.InvalidArgument {
		t.Fatalf("Read of partition 64: %v", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func testAppendAndRead(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	all := Records(1, 500, hour/7)
	mustAppend(t, s, part, all[:200])
	mustAppend(t, s, part, all[200:201])
	mustAppend(t, s, part, all[201:])
	mustAppend(t, s, 63, Records(1, 3, hour))
	for _, step := range []int{1, 37, 1000} {
		wantRecords(t, readAll(t, s, part, 0, step), all)
	}
	wantRecords(t, readAll(t, s, part, 333, 50), all[332:])
	wantRecords(t, readAll(t, s, 63, 1, 2), Records(1, 3, hour))
	if s.Stored() != 503 {
		t.Errorf("%d records are said to be stored, expected 503", s.Stored())
	}
}

func testReadLimits(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	all := Records(1, 50, 1)
	mustAppend(t, s, part, all)
	for _, c := range []struct {
		from  freshet.Offset
		limit int
		want  []eventlog.Record
	}{{1, 1, all[:1]}, {0, 2, all[:2]}, {5, 0, nil}, {5, -1, nil}, {50, 9, all[49:]}, {51, 9, nil}, {1<<64 - 1, 9, nil}, {17, 5, all[16:21]}} {
		got, err := s.Read(t.Context(), nil, part, c.from, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		wantRecords(t, got, c.want)
	}
}

// testAgain stores what is stored already: nothing changes.
func testAgain(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	all := Records(1, 60, hour)
	mustAppend(t, s, part, all[:40])
	mustAppend(t, s, part, all[10:40])
	mustAppend(t, s, part, all[:40])
	mustAppend(t, s, part, all[20:])
	if s.Stored() != 60 {
		t.Errorf("%d records were stored, expected 60", s.Stored())
	}
	wantRecords(t, readAll(t, s, part, 1, 1000), all)
}

func testGap(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	all := Records(1, 60, hour)
	mustAppend(t, s, part, all[:40])
	if err := s.Append(t.Context(), part, Sequence(all[41:])); freshet.CodeOf(err) != freshet.PreconditionFailed {
		t.Fatalf("Append with a gap: %v", err)
	}
	broken := append(append([]eventlog.Record{}, all[40:45]...), all[46:]...)
	if err := s.Append(t.Context(), part, Sequence(broken)); freshet.CodeOf(err) != freshet.PreconditionFailed {
		t.Fatalf("Append with a gap: %v", err)
	}
	wantRecords(t, readAll(t, s, part, 1, 1000), all[:s.Through(part)])
}

func testSourceFails(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	all := Records(1, 100, hour)
	broken := errors.New("broken")
	for n := range 4 {
		err := s.Append(t.Context(), part, func(yield func(*eventlog.Record, error) bool) {
			for i := range all[:30*n] {
				if !yield(&all[i], nil) {
					return
				}
			}
			yield(nil, broken)
		})
		if !errors.Is(err, broken) {
			t.Fatalf("Append from a source that fails: %v", err)
		}
		wantRecords(t, readAll(t, s, part, 1, 1000), all[:s.Through(part)])
	}
	mustAppend(t, s, part, all)
	wantRecords(t, readAll(t, s, part, 1, 1000), all)
}

func testStrangeBytes(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	strange := []string{"\x00", "a\x00b", "/", "../..", " ", "ü", "日本", "%2F", ",", "\xff\xfe", strings.Repeat("k", 3000)}
	all := Records(1, len(strange), hour)
	for i, text := range strange {
		all[i].Entity.Key, all[i].Event.ID, all[i].Event.Type = freshet.Key(text), freshet.EventID(text), freshet.EventType(text)
		all[i].Event.Payload = []byte(text)
		all[i].Entity.Kind = freshet.EntityKind(text)
	}
	all[0].Event.EventTime, all[0].Event.IngestTime, all[0].MaxEventTime = 0, 0, 0
	mustAppend(t, s, part, all)
	wantRecords(t, readAll(t, s, part, 1, 3), all)
}

func testLargePayloads(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	all := Records(1, 6, 1)
	for i := range all {
		all[i].Event.Payload = []byte(strings.Repeat(string(rune('a'+i)), eventlog.MaxPayloadBytes))
	}
	mustAppend(t, s, part, all)
	wantRecords(t, readAll(t, s, part, 1, 1000), all)
}

func testClockGoesBack(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	all := Records(1, 100, 5*hour)
	for i := range all {
		if i%3 == 1 {
			all[i].Event.IngestTime -= 10 * day
			all[i].Event.EventTime -= 10 * day
		}
	}
	mustAppend(t, s, part, all)
	wantRecords(t, readAll(t, s, part, 1, 7), all)
}

func testMatch(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	all := Records(1, 1200, hour/20)
	mustAppend(t, s, part, all)
	for _, c := range []struct {
		kind, key string
		from      freshet.Offset
	}{{"user", "k3", 1}, {"content", "k4", 700}, {"user", "nobody", 1}, {"user", "k9", 1150}} {
		var want []eventlog.Record
		for _, r := range all[c.from-1:] {
			if string(r.Entity.Kind) == c.kind && string(r.Entity.Key) == c.key {
				want = append(want, r)
			}
		}
		match := func(kind, key []byte) bool { return string(kind) == c.kind && string(key) == c.key }
		for _, step := range []int{1, 13, 5000} {
			wantRecords(t, scanAll(t, s, eventlog.Scan{From: c.from, Match: match}, step), want)
		}
	}
}

// testNotBefore holds that nothing that was ingested at the moment or after is passed over.
func testNotBefore(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	all := Records(1, 500, hour/3)
	mustAppend(t, s, part, all)
	for _, from := range []freshet.Timestamp{0, midnight, midnight + 3*day - 1, midnight + 3*day, midnight + 3*day + hour, midnight + 100*day} {
		found := map[freshet.Offset]bool{}
		for _, r := range scanAll(t, s, eventlog.Scan{From: 1, NotBefore: from}, 100) {
			found[r.Offset] = true
		}
		for _, r := range all {
			if r.Event.IngestTime >= from && !found[r.Offset] {
				t.Fatalf("not before %s: the record of %s is missing", from, r.Event.IngestTime)
			}
		}
	}
}

func testBelongsToCaller(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	all := Records(1, 20, hour)
	mustAppend(t, s, part, all)
	got, err := s.Read(t.Context(), nil, part, 1, 20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].Event.Payload = append(got[i].Event.Payload[:0], "overwritten by the caller"...)
	}
	wantRecords(t, readAll(t, s, part, 1, 20), all)
}

func testReadWhileAppending(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	all := Records(1, 300, hour/10)
	var running sync.WaitGroup
	for p := range freshet.Partition(2) {
		running.Go(func() {
			for n := 50; n <= len(all); n += 50 {
				if err := s.Append(context.Background(), p, Sequence(all[:n])); err != nil {
					t.Errorf("Append: %v", err)
				}
			}
		})
		running.Go(func() {
			for next := freshet.Offset(1); next <= 300; {
				got, err := s.Read(context.Background(), nil, p, next, 31)
				if err != nil {
					t.Errorf("Read: %v", err)
					return
				}
				for _, r := range got {
					if r.Offset != next || r.Event.ID != all[next-1].Event.ID {
						t.Errorf("offset %d comes where %d should", r.Offset, next)
						return
					}
					next++
				}
			}
		})
	}
	running.Wait()
}

func testEndedContext(t *testing.T, h Harness) {
	s := offlinestore.New(h.Open(t))
	all := Records(1, 40, hour)
	mustAppend(t, s, part, all[:20])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Append(ctx, part, Sequence(all)); !errors.Is(err, context.Canceled) {
		t.Fatalf("Append with an ended context: %v", err)
	}
	if got, err := s.Read(ctx, nil, part, 1, 1); !errors.Is(err, context.Canceled) || len(got) != 0 {
		t.Fatalf("Read with an ended context: %v, %v", got, err)
	}
	mustAppend(t, s, part, all)
	wantRecords(t, readAll(t, s, part, 1, 9), all)
}

// testReopen stores at random and opens the store again in between.
func testReopen(t *testing.T, h Harness) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	s := offlinestore.New(h.Open(t))
	all := Records(1, 250, hour/5)
	for n := 0; n < len(all); {
		to := min(n+1+rng.IntN(60), len(all))
		mustAppend(t, s, part, all[rng.IntN(n+1):to])
		n = to
		if rng.IntN(3) == 0 {
			s = offlinestore.New(h.Reopen(t))
		}
		if s.Through(part) != freshet.Offset(n) {
			t.Fatalf("the store is through %d, expected %d", s.Through(part), n)
		}
		from := 1 + rng.IntN(n)
		wantRecords(t, readAll(t, s, part, freshet.Offset(from), 1+rng.IntN(50)), all[from-1:n])
	}
}
