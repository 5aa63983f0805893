package disklog_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/internal/disk"
)

// A group is a sync: calls that come while one is synced share the next.
func TestGroupsAreFewerThanCalls(t *testing.T) {
	t.Parallel()
	s := &store{fs: vfs.NewMem()}
	l := eventlog.New(s.open(t))
	defer s.close(t)
	if _, err := l.Append(context.Background(), benchEntries(0, 1, []byte("{}"))); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(context.Background(), benchEntries(0, 1, []byte("{}"))); err != nil {
		t.Fatal(err)
	}
	if got := l.Stats(); got.Groups != 1 || got.Calls != 2 || got.EventsPerGroup() != 1 {
		t.Errorf("two calls, the second of a duplicate: %+v", got)
	}
}

// What other drivers write into the same store does not disturb the log.
func TestNeighboursInTheStore(t *testing.T) {
	t.Parallel()
	s := &store{fs: vfs.NewMem()}
	s.open(t)
	for prefix := range 256 {
		if prefix == disk.PrefixMeta || prefix == disk.PrefixEvents || prefix == disk.PrefixEventIDs {
			continue
		}
		for _, rest := range []string{"", "\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
			if err := s.db.Pebble().Set([]byte(string([]byte{byte(prefix)})+rest), []byte("x"), pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
	}
	l := eventlog.New(s.open(t))
	defer s.close(t)
	for i := range 200 {
		if _, err := l.Append(context.Background(), benchEntries(int64(i), 1, []byte("{}"))); err != nil {
			t.Fatal(err)
		}
	}
	heads := l.Stats().Heads
	if got := eventlog.New(s.open(t)).Stats().Heads; got != heads {
		t.Errorf("heads after reopening are %v, expected %v", got, heads)
	}
}

// Days of ids that no event can meet any more leave the store.
func TestOldIDsAreForgotten(t *testing.T) {
	t.Parallel()
	const hour freshet.Timestamp = 60 * 60 * 1000
	s := &store{fs: vfs.NewMem(), options: disklog.Options{Horizon: time.Hour}}
	l := s.open(t)
	defer s.close(t)
	for i := range freshet.Timestamp(100) {
		e := benchEntries(int64(i), 1, []byte("{}"))
		e[0].Event.EventTime, e[0].Event.IngestTime = i*hour, i*hour
		if _, err := l.Append(context.Background(), e); err != nil {
			t.Fatal(err)
		}
		if i == 50 {
			l = s.open(t)
		}
	}
	it, err := s.db.Pebble().NewIter(&pebble.IterOptions{LowerBound: []byte{disk.PrefixEventIDs}, UpperBound: []byte{disk.PrefixEventIDs + 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	// Hours 96 to 99 are the fifth day; the fourth ended less than a horizon and an hour before some of them.
	if n != 4 {
		t.Errorf("the index has %d ids, expected those of the last day", n)
	}
}

func TestBrokenBlockIsAnError(t *testing.T) {
	t.Parallel()
	s := &store{fs: vfs.NewMem(), options: disklog.Options{TailBytes: 1}}
	l := s.open(t)
	defer s.close(t)
	e := benchEntries(1, 1, []byte("{}"))
	for i := range 3 {
		e[0].Event.ID = freshet.EventID(fmt.Sprint(i))
		if _, err := l.Append(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
	p := freshet.PartitionOf(e[0].Entities[0].Key)
	key := []byte{disk.PrefixEvents, byte(p), 0, 0, 0, 0, 0, 0, 0, 2}
	if err := s.db.Pebble().Set(key, []byte{1, 1}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	records, err := l.Read(context.Background(), nil, p, 1, 10)
	if freshet.CodeOf(err) != freshet.Internal || len(records) != 0 {
		t.Errorf("Read over a broken block: %v, %v", records, err)
	}
	if records, err := l.Read(context.Background(), nil, p, 3, 10); err != nil || len(records) != 1 {
		t.Errorf("Read behind it: %v, %v", records, err)
	}
}

// BenchmarkOpen is the part of a restart that grows with the log: it must not.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir, 1_000_000)
	db, err := disk.Open(dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for b.Loop() {
		l, err := disklog.New(db, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkRead is replay: the whole log behind the tail, in order. An iteration is one record.
func BenchmarkRead(b *testing.B) {
	for _, tail := range []bool{false, true} {
		b.Run(fmt.Sprintf("tail=%v", tail), func(b *testing.B) {
			dir := b.TempDir()
			fill(b, dir, 200_000)
			db, err := disk.Open(dir, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			l, err := disklog.New(db, &disklog.Options{TailBytes: 1 << 30})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			var from [freshet.Partitions]freshet.Offset
			if tail {
				from = heads(l)
				appendMany(b, l, 200_000, 400_000)
			}
			end := heads(l)
			b.ReportAllocs()
			b.ResetTimer()
			var dst []eventlog.Record
			for n, p, o := 0, freshet.Partition(0), from[0]+1; n < b.N; {
				if o > end[p] {
					p = (p + 1) % freshet.Partitions
					o = from[p] + 1
					continue
				}
				if dst, err = l.Read(context.Background(), dst[:0], p, o, 500); err != nil {
					b.Fatal(err)
				}
				o += freshet.Offset(len(dst))
				n += len(dst)
			}
		})
	}
}

func heads(l *disklog.Log) (h [freshet.Partitions]freshet.Offset) {
	for p := range h {
		h[p] = l.Head(freshet.Partition(p))
	}
	return h
}

func fill(b *testing.B, dir string, events int64) {
	b.Helper()
	db, err := disk.Open(dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	l, err := disklog.New(db, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	appendMany(b, l, 0, events)
}

func appendMany(b *testing.B, l *disklog.Log, from, to int64) {
	b.Helper()
	payload := make([]byte, 300)
	for n := from; n < to; n += 1000 {
		if _, err := l.Append(context.Background(), benchEntries(n, 1000, payload)); err != nil {
			b.Fatal(err)
		}
	}
}

// The disk may be closed first, also while the log still looks through the ids of the past.
func TestDiskClosedBeforeTheLog(t *testing.T) {
	t.Parallel()
	s := &store{fs: vfs.NewMem()}
	l := eventlog.New(s.open(t))
	if _, err := l.Append(context.Background(), benchEntries(0, 3000, []byte("{}"))); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		l = eventlog.New(s.open(t))
		if err := s.db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(context.Background(), benchEntries(5000, 1, []byte("{}"))); freshet.CodeOf(err) != freshet.Unavailable {
			t.Errorf("after the end of the disk: %v", err)
		}
	}
	s.close(t)
}
