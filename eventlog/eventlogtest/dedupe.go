package eventlogtest

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

func testDuplicate(t *testing.T, h Harness) {
	l := open(t, h)
	mustAppend(t, l, entry("e1", "u1", 0), entry("e2", "u1", 0))
	out := mustAppend(t, l, entry("e3", "u1", 5), entry("e2", "u1", 5), entry("e1", "u1", 5), entry("e4", "u1", 5))
	if known := duplicates(out); !slices.Equal(known, []int{1, 2}) {
		t.Fatalf("duplicates are %v, expected 1 and 2", known)
	}
	if got := ids(everything(t, l)); !slices.Equal(got, []freshet.EventID{"e1", "e2", "e3", "e4"}) {
		t.Fatalf("the log has %q", got)
	}
}

func testDuplicateInOneCall(t *testing.T, h Harness) {
	l := open(t, h)
	out := mustAppend(t, l, entry("e1", "u1", 0), entry("e1", "u1", 0), entry("e2", "u1", 1), entry("e1", "u1", 2))
	if known := duplicates(out); !slices.Equal(known, []int{1, 3}) {
		t.Fatalf("duplicates are %v, expected 1 and 3", known)
	}
	if got := out[3].Places[0].Offset; got != 2 {
		t.Fatalf("the last duplicate's offset is %d, expected 2: that of the last event before it", got)
	}
	if got := ids(everything(t, l)); !slices.Equal(got, []freshet.EventID{"e1", "e2"}) {
		t.Fatalf("the log has %q", got)
	}
}

func testDuplicateWithOtherContent(t *testing.T, h Harness) {
	l := open(t, h)
	mustAppend(t, l, entry("e1", "u1", 0))
	other := entry("e1", "u2", 3)
	other.Event.Type = "search"
	other.Event.Payload = []byte(`{"other":1}`)
	if out := mustAppend(t, l, other); !out[0].Duplicate {
		t.Fatalf("an id belongs to one event of a kind, whatever user it names: %+v", out)
	}
	if got := everything(t, l); len(got) != 1 || got[0].Entity.Key != "u1" {
		t.Fatalf("the log has %+v", got)
	}
}

func testDuplicateByAnyKind(t *testing.T, h Harness) {
	l := open(t, h)
	about := func(id freshet.EventID, kinds ...freshet.EntityKind) eventlog.Entry {
		e := entry(id, "k", 0)
		e.Entities = nil
		for _, kind := range kinds {
			e.Entities = append(e.Entities, freshet.Entity{Kind: kind, Key: "k"})
		}
		return e
	}
	for _, c := range []struct {
		entry eventlog.Entry
		known bool
	}{
		{about("e1", "user", "content"), false},
		{about("e1", "user"), true},
		{about("e1", "content"), true},
		{about("e1", "content", "device"), true}, // takes no id for device either
		{about("e1", "device"), false},
		{about("e1", "user", "content"), true},
		{about("e2", "device"), false},
		{about("e2", "user", "device"), true},
		{about("e2", "user"), false},
	} {
		if out := mustAppend(t, l, c.entry); out[0].Duplicate != c.known {
			t.Fatalf("%s about %v: duplicate is %v, expected %v", c.entry.Event.ID, c.entry.Entities, out[0].Duplicate, c.known)
		}
	}
}

func testDuplicatePlacesCover(t *testing.T, h Harness) {
	l := open(t, h)
	first := mustAppend(t, l, entry("e1", "u1", 0))[0].Places[0]
	mustAppend(t, l, entry("e2", "u1", 0))
	again := mustAppend(t, l, entry("e1", "u1", 1))[0].Places[0]
	var covered freshet.Position
	covered.Cover(again)
	if covered.Through(first.Partition) < first.Offset {
		t.Fatalf("a position made of %v does not cover the accepted event at %v", again, first)
	}
	// A duplicate about a user without events says that there is nothing to wait for.
	if place := mustAppend(t, l, entry("e1", "abc", 2))[0].Places[0]; place.Offset != 0 {
		t.Fatalf("a duplicate in an empty partition is at %v", place)
	}
}

func testHorizonEdge(t *testing.T, h Harness) {
	l := open(t, h)
	edge := freshet.Timestamp(horizon.Milliseconds())
	mustAppend(t, l, entry("e1", "u1", 0), entry("e2", "u1", 0), entry("e3", "u1", 0))
	out := mustAppend(t, l, entry("e1", "u1", edge-1), entry("e2", "u1", edge), entry("e3", "u1", edge+1))
	if known := duplicates(out); !slices.Equal(known, []int{0}) {
		t.Fatalf("duplicates are %v, expected only the one a millisecond before the horizon", known)
	}
}

func testHorizonCountsFromLastAcceptance(t *testing.T, h Harness) {
	l := open(t, h)
	edge := freshet.Timestamp(horizon.Milliseconds())
	for _, c := range []struct {
		at    freshet.Timestamp
		known bool
	}{
		{0, false}, {edge - 1, true}, {edge, false}, {edge + 1, true}, {2*edge - 1, true}, {2 * edge, false}, {30 * edge, false}, {31*edge - 1, true},
		{31 * edge, false},
	} {
		if out := mustAppend(t, l, entry("e1", "u1", c.at)); out[0].Duplicate != c.known {
			t.Fatalf("%d ms after the first: duplicate is %v, expected %v", c.at, out[0].Duplicate, c.known)
		}
	}
	// The same within one call.
	out := mustAppend(t, l, entry("e2", "u1", 31*edge), entry("e2", "u1", 32*edge-1), entry("e2", "u1", 32*edge), entry("e2", "u1", 32*edge+1))
	if known := duplicates(out); !slices.Equal(known, []int{1, 3}) {
		t.Fatalf("duplicates are %v, expected 1 and 3", known)
	}
}

func testHorizonLongerThanDays(t *testing.T, h Harness) {
	const days = 5
	day := freshet.Timestamp(24 * time.Hour / time.Millisecond)
	l := eventlog.New(h.Open(t, days*24*time.Hour))
	for i := range freshet.Timestamp(2 * days) {
		mustAppend(t, l, entry(freshet.EventID(fmt.Sprint(i)), "u1", i*day))
	}
	last := freshet.Timestamp(2*days - 1)
	for i := range last + 1 {
		out := mustAppend(t, l, entry(freshet.EventID(fmt.Sprint(i)), "u1", last*day))
		if want := last-i < days; out[0].Duplicate != want {
			t.Errorf("after %d days: duplicate is %v", last-i, out[0].Duplicate)
		}
	}
}

func testClockGoesBack(t *testing.T, h Harness) {
	l := open(t, h)
	mustAppend(t, l, entry("e1", "u1", 0))
	back := []freshet.Timestamp{-1, -1000, -40 * 60 * 1000}
	for _, at := range back {
		if out := mustAppend(t, l, entry("e1", "u1", at)); !out[0].Duplicate {
			t.Fatalf("%d ms before the accepted event the same id is new", -at)
		}
	}
	// Around midnight, where an index may begin something new.
	midnight := noon/dayMillis*dayMillis + dayMillis - noon
	mustAppend(t, l, entry("e2", "u1", midnight))
	mustAppend(t, l, entry("e3", "u1", midnight-1))
	out := mustAppend(t, l, entry("e2", "u1", midnight-1), entry("e3", "u1", midnight), entry("e1", "u1", midnight-2))
	if known := duplicates(out); !slices.Equal(known, []int{0, 1}) {
		t.Fatalf("duplicates are %v, expected 0 and 1", known)
	}
}

const dayMillis = freshet.Timestamp(24 * time.Hour / time.Millisecond)

func testReopen(t *testing.T, h Harness) {
	l := open(t, h)
	var want []eventlog.Record
	for round := range 4 {
		for i := range 100 {
			mustAppend(t, l, entry(freshet.EventID(fmt.Sprintf("e%d-%d", round, i)), freshet.Key(fmt.Sprintf("u%d", i%20)), freshet.Timestamp(round)))
		}
		want = everything(t, l)
		l = reopen(t, h, l)
		if got := everything(t, l); !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d: after reopening the log has other records", round)
		}
	}
	if len(want) != 400 {
		t.Fatalf("the log has %d records, expected 400", len(want))
	}
}

func testReopenKeepsDuplicates(t *testing.T, h Harness) {
	edge := freshet.Timestamp(horizon.Milliseconds())
	l := open(t, h)
	mustAppend(t, l, entry("e1", "u1", 0), entry("e2", "u1", 0))
	l = reopen(t, h, l)
	out := mustAppend(t, l, entry("e1", "u1", edge-1), entry("e3", "u1", edge-1), entry("e2", "u1", edge))
	if known := duplicates(out); !slices.Equal(known, []int{0}) {
		t.Fatalf("duplicates are %v, expected 0", known)
	}
	// Known and unknown ids again and again, so that some are asked before a driver's caches are warm and some after.
	for i := range 2000 {
		e := entry(freshet.EventID(fmt.Sprint("new", i)), "u1", edge)
		if out := mustAppend(t, l, e, entry("e3", "u1", edge), e); !slices.Equal(duplicates(out), []int{1, 2}) {
			t.Fatalf("round %d: duplicates are %v, expected 1 and 2", i, duplicates(out))
		}
	}
}

func testReopenKeepsMaxEventTime(t *testing.T, h Harness) {
	l := open(t, h)
	mustAppend(t, l, entry("e1", "u1", 500), entry("e2", "u1", 100))
	l = reopen(t, h, l)
	mustAppend(t, l, entry("e3", "u1", 200))
	if got := readAll(t, l, freshet.PartitionOf("u1"), 10)[2].MaxEventTime; got != noon+500 {
		t.Fatalf("MaxEventTime after reopening is %v, expected %v", got, noon+500)
	}
}
