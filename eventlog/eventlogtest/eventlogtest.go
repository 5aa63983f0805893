// Package eventlogtest is the conformance suite of eventlog drivers: what every one of them must do. Only tests import
// it.
package eventlogtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

// Harness makes the logs under test.
type Harness struct {
	// Open makes an empty log that remembers ids for horizon. It is called once in each test. Cleaning up is the
	// harness's part.
	Open func(t *testing.T, horizon time.Duration) eventlog.Driver
	// Reopen opens the log again that Open made and the suite has closed. nil for a driver that keeps nothing.
	Reopen func(t *testing.T) eventlog.Driver
}

// Run runs the suite. make is called for each test, so that tests can run in parallel.
func Run(t *testing.T, make func() Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"EmptyLog", testEmptyLog},
		{"AppendAndRead", testAppendAndRead},
		{"NoEntries", testNoEntries},
		{"ManyEntries", testManyEntries},
		{"LargeEntries", testLargeEntries},
		{"SeveralEntities", testSeveralEntities},
		{"ReadLimits", testReadLimits},
		{"ReadBelongsToCaller", testReadBelongsToCaller},
		{"MaxEventTime", testMaxEventTime},
		{"StrangeBytes", testStrangeBytes},
		{"TimesAtTheLimits", testTimesAtTheLimits},
		{"Duplicate", testDuplicate},
		{"DuplicateInOneCall", testDuplicateInOneCall},
		{"DuplicateWithOtherContent", testDuplicateWithOtherContent},
		{"DuplicateByAnyKind", testDuplicateByAnyKind},
		{"DuplicatePlacesCover", testDuplicatePlacesCover},
		{"HorizonEdge", testHorizonEdge},
		{"HorizonCountsFromLastAcceptance", testHorizonCountsFromLastAcceptance},
		{"HorizonLongerThanDays", testHorizonLongerThanDays},
		{"ClockGoesBack", testClockGoesBack},
		{"SharedCases", testSharedCases},
		{"ConcurrentAppends", testConcurrentAppends},
		{"ConcurrentDuplicates", testConcurrentDuplicates},
		{"AppendWithEndedContext", testAppendWithEndedContext},
		{"ReadWithEndedContext", testReadWithEndedContext},
		{"Wait", testWait},
		{"WaitEndsWithContext", testWaitEndsWithContext},
		{"ManyWait", testManyWait},
		{"CloseEndsWait", testCloseEndsWait},
		{"CloseTwice", testCloseTwice},
		{"UseAfterClose", testUseAfterClose},
		{"Stats", testStats},
		{"Reopen", testReopen},
		{"ReopenKeepsDuplicates", testReopenKeepsDuplicates},
		{"ReopenKeepsMaxEventTime", testReopenKeepsMaxEventTime},
		{"Trim", testTrim},
		{"ReopenTrimmed", testReopenTrimmed},
		{"TrimWhileReading", testTrimWhileReading},
		{"Select", testSelect},
		{"Pick", testPick},
		{"RandomOperations", testRandomOperations},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, make())
		})
	}
}

// noon is the ingest time of the suite's first events.
const noon freshet.Timestamp = 1_741_003_200_000

const horizon = time.Hour

func open(t *testing.T, h Harness) *eventlog.Log {
	t.Helper()
	return eventlog.New(h.Open(t, horizon))
}

func reopen(t *testing.T, h Harness, l *eventlog.Log) *eventlog.Log {
	t.Helper()
	if h.Reopen == nil {
		t.Skip("this driver keeps nothing")
	}
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	return eventlog.New(h.Reopen(t))
}

// entry is an event of user at noon plus the given milliseconds.
func entry(id freshet.EventID, user freshet.Key, millis freshet.Timestamp) eventlog.Entry {
	return eventlog.Entry{
		Event: freshet.Event{
			ID: id, Type: "play", EventTime: noon + millis, IngestTime: noon + millis,
			Payload: fmt.Appendf(nil, `{"id":%q}`, id),
		},
		Entities: []freshet.Entity{{Kind: "user", Key: user}},
	}
}

func mustAppend(t *testing.T, l *eventlog.Log, entries ...eventlog.Entry) []eventlog.Appended {
	t.Helper()
	out, err := l.Append(context.Background(), entries)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	if len(out) != len(entries) {
		t.Fatalf("Append: %d answers to %d entries", len(out), len(entries))
	}
	for i, a := range out {
		if len(a.Places) != len(entries[i].Entities) {
			t.Fatalf("entry %d: %d places for %d entities", i, len(a.Places), len(entries[i].Entities))
		}
		for j, place := range a.Places {
			if want := freshet.PartitionOf(entries[i].Entities[j].Key); place.Partition != want {
				t.Fatalf("entry %d: in partition %d, expected %d", i, place.Partition, want)
			}
			if l.Head(place.Partition) < place.Offset {
				t.Fatalf("entry %d: place %v is behind the head", i, place)
			}
		}
	}
	return out
}

// duplicates are the indexes of those entries that were known.
func duplicates(out []eventlog.Appended) []int {
	known := []int{}
	for i, a := range out {
		if a.Duplicate {
			known = append(known, i)
		}
	}
	return known
}

// readAll reads the partition in steps and checks that the offsets are 1, 2, 3, … up to the head.
func readAll(t *testing.T, l *eventlog.Log, p freshet.Partition, step int) []eventlog.Record {
	t.Helper()
	var records []eventlog.Record
	for {
		n := len(records)
		var err error
		records, err = l.Read(context.Background(), records, p, freshet.Offset(n+1), step)
		if err != nil {
			t.Fatalf("Read: %v", err)
		}
		if len(records)-n > step {
			t.Fatalf("Read: %d records, the limit was %d", len(records)-n, step)
		}
		if len(records) == n {
			break
		}
	}
	var latest freshet.Timestamp
	for i, r := range records {
		if r.Offset != freshet.Offset(i+1) {
			t.Fatalf("partition %d: record %d has offset %d", p, i, r.Offset)
		}
		if r.MaxEventTime != latest {
			t.Fatalf("partition %d, offset %d: MaxEventTime is %v, expected %v", p, r.Offset, r.MaxEventTime, latest)
		}
		latest = max(latest, r.Event.EventTime)
	}
	if head := l.Head(p); head != freshet.Offset(len(records)) {
		t.Fatalf("partition %d: head is %d, but %d records can be read", p, head, len(records))
	}
	return records
}

// everything is readAll of all partitions.
func everything(t *testing.T, l *eventlog.Log) []eventlog.Record {
	t.Helper()
	var all []eventlog.Record
	for p := range freshet.Partitions {
		all = append(all, readAll(t, l, freshet.Partition(p), 100)...)
	}
	return all
}

func ids(records []eventlog.Record) []freshet.EventID {
	out := []freshet.EventID{}
	for _, r := range records {
		out = append(out, r.Event.ID)
	}
	return out
}

func wantCode(t *testing.T, what string, err error, code freshet.Code) {
	t.Helper()
	if err == nil || freshet.CodeOf(err) != code {
		t.Fatalf("%s: error is %v, expected one of code %s", what, err, code)
	}
}
