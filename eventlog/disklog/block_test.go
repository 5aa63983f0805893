package disklog

import (
	"bytes"
	"encoding/hex"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/internal/alloctest"
)

var update = flag.Bool("update", false, "write the golden files anew; those of a released format never change")

func encode(maxEventTime freshet.Timestamp, records []eventlog.Record) []byte {
	var b []byte
	base := records[0].Event.IngestTime
	for i := range records {
		b = appendRecord(b, base, &records[i].Event, records[i].Entity)
	}
	return appendBlock(nil, maxEventTime, base, len(records), b)
}

func goldenRecords() []eventlog.Record {
	play := freshet.Event{
		ID: "e1", Type: "play", EventTime: 1_741_003_200_000, IngestTime: 1_741_003_200_250, Payload: []byte(`{"user_id":"u1","seconds":12.5}`),
	}
	search := freshet.Event{ID: "\x00/\xff", Type: "search", EventTime: 0, IngestTime: 1_741_003_199_999, Payload: []byte(`{}`)}
	return []eventlog.Record{
		{Event: play, Entity: freshet.Entity{Kind: "user", Key: "u1"}, Offset: 41, MaxEventTime: 1_741_003_100_000},
		{Event: play, Entity: freshet.Entity{Kind: "content", Key: "a%2Fb,c"}, Offset: 42, MaxEventTime: 1_741_003_200_000},
		{Event: search, Entity: freshet.Entity{Kind: "user", Key: "ü"}, Offset: 43, MaxEventTime: 1_741_003_200_000},
	}
}

func TestBlockGolden(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "block-v1.hex")
	block := encode(1_741_003_100_000, goldenRecords())
	if *update {
		if err := os.WriteFile(path, []byte(hex.Dump(block)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.Dump(block); got != string(want) {
		t.Errorf("a block is\n%s\nexpected\n%s", got, want)
	}
	got, err := decodeBlock(nil, block, 41, 0, 100)
	if err != nil || !reflect.DeepEqual(got, goldenRecords()) {
		t.Errorf("decoded %+v, %v\nexpected %+v", got, err, goldenRecords())
	}
	count, maxEventTime, err := blockEnd(block)
	if count != 3 || maxEventTime != 1_741_003_200_000 || err != nil {
		t.Errorf("blockEnd: %d, %v, %v", count, maxEventTime, err)
	}
}

func TestKeysGolden(t *testing.T) {
	t.Parallel()
	if got, want := hex.EncodeToString(blockKey(63, 0x0102030405060708)), "653f0102030405060708"; got != want {
		t.Errorf("key of a block is %s, expected %s", got, want)
	}
	h := idHash{Hi: 0x1122334455667788, Lo: 0x99aabbccddeeff00}
	key := appendIDKey(nil, 20150, h)
	if got, want := hex.EncodeToString(key), "6900004eb6112233445566778899aabbccddeeff00"; got != want {
		t.Errorf("key of an id is %s, expected %s", got, want)
	}
	if day, got, ok := splitIDKey(key); day != 20150 || got != h || !ok {
		t.Errorf("split: %d, %v, %v", day, got, ok)
	}
	s := ids{seed: 7}
	if got := s.hash("user", "e1"); got != (idHash{Hi: 0x59b4cc6da040b317, Lo: 0x9e27f2dd4adb4b44}) {
		t.Errorf("hash of an id is %#x, %#x", got.Hi, got.Lo)
	}
	if s.hash("user", "e1") == s.hash("use", "re1") {
		t.Error("kind and id run into each other")
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	good := encode(5, goldenRecords())
	if _, err := decodeBlock(nil, good, 1, 0, 100); err != nil {
		t.Fatal(err)
	}
	bad := map[string][]byte{
		"nothing":                {},
		"other version":          append([]byte{2}, good[1:]...),
		"no records":             {1, 0, 0, 0},
		"more records":           append([]byte{1, 4}, good[2:]...),
		"fewer records":          append([]byte{1, 2}, good[2:]...),
		"a billion records":      {1, 0x80, 0x94, 0xeb, 0xdc, 0x03, 0, 0, 0, 0},
		"length without an end":  append([]byte{1, 1, 0, 0, 0, 0}, bytes.Repeat([]byte{0xff}, 12)...),
		"id and key overflow":    append([]byte{1, 1, 0, 0, 0, 0, 0, 0}, append(bytes.Repeat([]byte{0xff}, 9), 1, 2, 0, 0, 0)...),
		"bytes after the last":   append(bytes.Clone(good), 0),
		"type longer than block": {1, 1, 0, 0, 0, 0, 100, 0, 0, 0, 0},
	}
	for i := range good {
		bad["cut at "+string(rune('0'+i))] = good[:i]
	}
	for name, block := range bad {
		dst := []eventlog.Record{{Offset: 9}}
		got, err := decodeBlock(dst, bytes.Clone(block), 1, 0, math.MaxInt)
		if freshet.CodeOf(err) != freshet.Internal || len(got) != 1 {
			t.Errorf("%s: %d records, %v", name, len(got), err)
		}
		if _, _, err := blockEnd(block); freshet.CodeOf(err) != freshet.Internal {
			t.Errorf("%s: blockEnd: %v", name, err)
		}
	}
}

func TestBlockRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		maxEventTime := freshet.Timestamp(rapid.Int64().Draw(t, "max"))
		first := freshet.Offset(rapid.Uint64Range(1, 1<<40).Draw(t, "first"))
		text := rapid.StringN(0, 20, 300)
		want := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) eventlog.Record {
			return eventlog.Record{
				Event: freshet.Event{
					ID: freshet.EventID(text.Draw(t, "id")), Type: freshet.EventType(text.Draw(t, "type")),
					EventTime: freshet.Timestamp(rapid.Int64().Draw(t, "event time")), IngestTime: freshet.Timestamp(rapid.Int64().Draw(t, "ingest time")),
					Payload: append([]byte{}, text.Draw(t, "payload")...),
				},
				Entity: freshet.Entity{Kind: freshet.EntityKind(text.Draw(t, "kind")), Key: freshet.Key(text.Draw(t, "key"))},
			}
		}), 1, 20).Draw(t, "records")
		latest := maxEventTime
		for i := range want {
			want[i].Offset, want[i].MaxEventTime = first+freshet.Offset(i), latest
			latest = max(latest, want[i].Event.EventTime)
		}
		block := encode(maxEventTime, want)
		if count, got, err := blockEnd(block); count != len(want) || got != latest || err != nil {
			t.Fatalf("blockEnd: %d, %v, %v; expected %d, %v", count, got, err, len(want), latest)
		}
		from := rapid.IntRange(0, len(want)).Draw(t, "from")
		limit := rapid.IntRange(0, len(want)+1).Draw(t, "limit")
		got, err := decodeBlock(nil, block, first, first+freshet.Offset(from), limit)
		want = want[from:min(from+limit, len(want))]
		if err != nil || len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("decoded %+v, %v\nexpected %+v", got, err, want)
		}
	})
}

func FuzzDecodeBlock(f *testing.F) {
	f.Add(encode(5, goldenRecords()))
	f.Add([]byte{1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, block []byte) {
		size := len(block)
		records, err := decodeBlock(nil, bytes.Clone(block), 1, 0, math.MaxInt)
		count, maxEventTime, endErr := blockEnd(block)
		if (err == nil) != (endErr == nil) {
			t.Fatalf("decodeBlock: %v, blockEnd: %v", err, endErr)
		}
		if err != nil {
			return
		}
		if len(records) != count || count == 0 || count > size {
			t.Fatalf("%d records, blockEnd says %d", len(records), count)
		}
		// What was read can be written, and reads the same.
		again := encode(records[0].MaxEventTime, records)
		if got, err := decodeBlock(nil, again, 1, 0, math.MaxInt); err != nil || !reflect.DeepEqual(got, records) {
			t.Fatalf("decoded again: %+v, %v\nexpected %+v", got, err, records)
		}
		if _, got, _ := blockEnd(again); got != maxEventTime {
			t.Fatalf("blockEnd again: %v, expected %v", got, maxEventTime)
		}
	})
}

func TestDecodeAllocations(t *testing.T) {
	records := goldenRecords()[:1]
	for range 9 {
		records = append(records, records[0])
	}
	block := encode(5, records)
	dst := make([]eventlog.Record, 0, len(records))
	// One string for each record's id and key, and one for each name of the block.
	if n := alloctest.PerRun(100, func() { dst, _ = decodeBlock(dst[:0], block, 1, 0, 100) }); n > 12 {
		t.Errorf("%v allocations for %d records", n, len(records))
	}
}

func TestIDsDoNotAllocate(t *testing.T) {
	e := eventlog.Entry{Event: freshet.Event{ID: freshet.EventID(strings.Repeat("x", 128))}, Entities: []freshet.Entity{{Kind: "user", Key: "u"}}}
	s := &ids{horizon: dayMillis, group: map[idHash]freshet.Timestamp{}}
	s.addUnlessKnown(&e)
	if n := alloctest.PerRun(100, func() {
		if !s.addUnlessKnown(&e) {
			t.Fatal("the same id is new")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
