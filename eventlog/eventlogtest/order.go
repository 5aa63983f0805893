package eventlogtest

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
)

func testEmptyLog(t *testing.T, h Harness) {
	l := open(t, h)
	for p := range freshet.Partition(freshet.Partitions) {
		if head := l.Head(p); head != 0 {
			t.Fatalf("Head(%d) of an empty log is %d", p, head)
		}
		dst := []eventlog.Record{{Offset: 7}}
		got, err := l.Read(context.Background(), dst, p, 1, 10)
		if err != nil || !reflect.DeepEqual(got, dst) {
			t.Fatalf("Read of an empty log: %v, %v", got, err)
		}
		if err := l.Wait(context.Background(), p, 0); err != nil {
			t.Fatalf("Wait for offset 0: %v", err)
		}
	}
}

func testAppendAndRead(t *testing.T, h Harness) {
	l := open(t, h)
	e := entry("e1", "u1", 0)
	e.Event.EventTime -= 250
	out := mustAppend(t, l, e)
	p := freshet.PartitionOf("u1")
	want := []eventlog.Appended{{Places: []freshet.Place{{Partition: p, Offset: 1}}}}
	if !reflect.DeepEqual(out, want) {
		t.Fatalf("Append: %+v, expected %+v", out, want)
	}
	got := readAll(t, l, p, 10)
	if want := []eventlog.Record{{Event: e.Event, Entity: e.Entities[0], Offset: 1}}; !reflect.DeepEqual(got, want) {
		t.Fatalf("Read: %+v\nexpected %+v", got, want)
	}
}

func testNoEntries(t *testing.T, h Harness) {
	d := h.Open(t, horizon)
	out, err := d.Append(context.Background(), nil)
	if err != nil || len(out) != 0 {
		t.Fatalf("Append of nothing: %v, %v", out, err)
	}
	if all := everything(t, eventlog.New(d)); len(all) != 0 {
		t.Fatalf("the log has %d records", len(all))
	}
}

func testManyEntries(t *testing.T, h Harness) {
	l := open(t, h)
	const n = 5_000
	var entries []eventlog.Entry
	want := map[freshet.Partition][]freshet.EventID{}
	for i := range n {
		e := entry(freshet.EventID(fmt.Sprintf("e%d", i)), freshet.Key(fmt.Sprintf("u%d", i%300)), freshet.Timestamp(i%77))
		entries = append(entries, e)
		p := freshet.PartitionOf(e.Entities[0].Key)
		want[p] = append(want[p], e.Event.ID)
	}
	for i, a := range mustAppend(t, l, entries...) {
		place := a.Places[0]
		if got := want[place.Partition][place.Offset-1]; a.Duplicate || got != entries[i].Event.ID {
			t.Fatalf("entry %d is at %v, where %q belongs", i, place, got)
		}
	}
	for p := range freshet.Partition(freshet.Partitions) {
		if got := ids(readAll(t, l, p, 37)); len(got) != len(want[p]) || len(got) > 0 && !reflect.DeepEqual(got, want[p]) {
			t.Fatalf("partition %d: the records are not in the order of the call", p)
		}
	}
}

func testLargeEntries(t *testing.T, h Harness) {
	l := open(t, h)
	var want []freshet.EventID
	for call := range 3 {
		var entries []eventlog.Entry
		for i := range 4 {
			e := entry(freshet.EventID(fmt.Sprintf("e%d-%d", call, i)), "u1", 0)
			e.Event.Payload = bytes.Repeat([]byte{byte('a' + i)}, eventlog.MaxPayloadBytes)
			entries = append(entries, e, entry(e.Event.ID+"-small", "u1", 0))
			want = append(want, e.Event.ID, e.Event.ID+"-small")
		}
		mustAppend(t, l, entries...)
	}
	records := readAll(t, l, freshet.PartitionOf("u1"), 1000)
	if got := ids(records); !reflect.DeepEqual(got, want) {
		t.Fatalf("records are %q, expected %q", got, want)
	}
	for i, r := range records {
		if i%2 == 0 && !bytes.Equal(r.Event.Payload, bytes.Repeat([]byte{byte('a' + i/2%4)}, eventlog.MaxPayloadBytes)) {
			t.Fatalf("record %d has another payload", i)
		}
	}
}

func testSeveralEntities(t *testing.T, h Harness) {
	l := open(t, h)
	// "21" and "a1" are in other partitions; the same key under two kinds is in the same.
	e := entry("e1", "21", 0)
	e.Entities = append(e.Entities, freshet.Entity{Kind: "content", Key: "abc"}, freshet.Entity{Kind: "device", Key: "21"})
	out := mustAppend(t, l, e, entry("e2", "21", 1))
	p, q := freshet.PartitionOf("21"), freshet.PartitionOf("abc")
	want := []freshet.Place{{Partition: p, Offset: 1}, {Partition: q, Offset: 1}, {Partition: p, Offset: 2}}
	if !reflect.DeepEqual(out[0].Places, want) {
		t.Fatalf("places are %v, expected %v", out[0].Places, want)
	}
	if got := out[1].Places[0].Offset; got != 3 {
		t.Fatalf("the next event is at offset %d, expected 3", got)
	}
	records := readAll(t, l, p, 10)
	for i, kind := range []freshet.EntityKind{"user", "device", "user"} {
		if records[i].Entity.Kind != kind {
			t.Fatalf("record %d is about %v, expected a %s", i, records[i].Entity, kind)
		}
	}
	if got := readAll(t, l, q, 10)[0]; got.Entity != e.Entities[1] || got.Event.ID != "e1" {
		t.Fatalf("record about the content is %+v", got)
	}
}

func testReadLimits(t *testing.T, h Harness) {
	l := open(t, h)
	const n = 50
	p := freshet.PartitionOf("u1")
	for i := range n {
		mustAppend(t, l, entry(freshet.EventID(fmt.Sprintf("e%d", i+1)), "u1", 0))
	}
	for _, c := range []struct {
		from        freshet.Offset
		limit       int
		first, last int
	}{
		{1, 1, 1, 1}, {1, 0, 0, -1}, {1, -1, 0, -1}, {0, 3, 1, 3}, {1, n, 1, n}, {1, n + 1, 1, n}, {1, 1 << 40, 1, n},
		{17, 5, 17, 21}, {n, 5, n, n}, {n + 1, 5, 0, -1}, {1 << 63, 5, 0, -1}, {1<<64 - 1, 5, 0, -1},
	} {
		var want []freshet.EventID
		for i := c.first; i <= c.last; i++ {
			want = append(want, freshet.EventID(fmt.Sprintf("e%d", i)))
		}
		got, err := l.Read(context.Background(), nil, p, c.from, c.limit)
		if err != nil || len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(ids(got), want) {
			t.Errorf("Read from %d at most %d: %q, %v; expected %q", c.from, c.limit, ids(got), err, want)
		}
	}
	_, err := l.Read(context.Background(), nil, freshet.Partitions, 1, 1)
	wantCode(t, "Read of partition 64", err, freshet.InvalidArgument)
}

func testReadBelongsToCaller(t *testing.T, h Harness) {
	l := open(t, h)
	e := entry("e1", "u1", 0)
	e.Event.Payload = []byte(`{"a":1}`)
	mustAppend(t, l, e, entry("e2", "u1", 0))
	p := freshet.PartitionOf("u1")
	for range 2 {
		records := readAll(t, l, p, 10)
		if string(records[0].Event.Payload) != `{"a":1}` || string(records[1].Event.Payload) != `{"id":"e2"}` {
			t.Fatalf("payloads are %s and %s", records[0].Event.Payload, records[1].Event.Payload)
		}
		clear(records[0].Event.Payload)
		_ = append(records[0].Event.Payload, strings.Repeat("x", 100)...)
		if string(records[1].Event.ID) != "e2" || string(records[1].Event.Payload) != `{"id":"e2"}` {
			t.Fatalf("writing to one record's payload changed the next: %+v", records[1])
		}
	}
	if string(e.Event.Payload) != `{"a":1}` {
		t.Fatalf("writing to a record changed what was appended")
	}
}

func testMaxEventTime(t *testing.T, h Harness) {
	l := open(t, h)
	times := []freshet.Timestamp{5, 3, 9, 9, 1, 12}
	want := []freshet.Timestamp{0, 5, 5, 9, 9, 9}
	for i, at := range times {
		e := entry(freshet.EventID(fmt.Sprintf("e%d", i)), "u1", 1000)
		e.Event.EventTime = at
		if i%2 == 0 {
			mustAppend(t, l, e)
			continue
		}
		mustAppend(t, l, e, entry(freshet.EventID(fmt.Sprintf("other%d", i)), "u2", 5000)) // of another partition
	}
	for i, r := range readAll(t, l, freshet.PartitionOf("u1"), 4) {
		if r.Event.EventTime != times[i] || r.MaxEventTime != want[i] {
			t.Errorf("record %d: event time %d, MaxEventTime %d; expected %d, %d", i, r.Event.EventTime, r.MaxEventTime, times[i], want[i])
		}
	}
}

func testStrangeBytes(t *testing.T, h Harness) {
	l := open(t, h)
	strange := []string{
		"\x00", "a\x00b", "a\x00", "/", "../..", "a/b", "\xff\xfe", "\xc3\x28", " ", "\n", "ü", "日本", "%2F", ",", strings.Repeat("\xff", 128),
		"a", "A", strings.Repeat("k", freshet.MaxKeyBytes)[:128],
	}
	var entries []eventlog.Entry
	for i, s := range strange {
		e := entry(freshet.EventID(s), freshet.Key(s), freshet.Timestamp(i))
		e.Event.Type = freshet.EventType(s)
		e.Event.Payload = []byte(s)
		entries = append(entries, e)
	}
	if known := duplicates(mustAppend(t, l, entries...)); len(known) > 0 {
		t.Fatalf("entries %v are duplicates", known)
	}
	if known := duplicates(mustAppend(t, l, entries...)); len(known) != len(entries) {
		t.Fatalf("the second time only %v are duplicates", known)
	}
	found := map[freshet.EventID]eventlog.Record{}
	for _, r := range everything(t, l) {
		found[r.Event.ID] = r
	}
	for i, e := range entries {
		if r := found[e.Event.ID]; !reflect.DeepEqual(r.Event, e.Event) || r.Entity != e.Entities[0] {
			t.Errorf("%q came back as %+v", strange[i], r)
		}
	}
}

func testTimesAtTheLimits(t *testing.T, h Harness) {
	l := open(t, h)
	times := [][2]freshet.Timestamp{
		{freshet.MinTimestamp, freshet.MinTimestamp}, {freshet.MinTimestamp, freshet.MaxTimestamp},
		{freshet.MaxTimestamp, freshet.MaxTimestamp}, {noon, noon + 1},
	}
	var entries []eventlog.Entry
	for i, at := range times {
		e := entry(freshet.EventID(fmt.Sprint(i)), "u1", 0)
		e.Event.EventTime, e.Event.IngestTime = at[0], at[1]
		entries = append(entries, e)
	}
	mustAppend(t, l, entries...)
	for i, r := range readAll(t, l, freshet.PartitionOf("u1"), 10) {
		if got := [2]freshet.Timestamp{r.Event.EventTime, r.Event.IngestTime}; got != times[i] {
			t.Errorf("record %d has times %v, expected %v", i, got, times[i])
		}
	}
}
