package disklog_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/internal/disk"
)

// BenchmarkAppend is the promise of design.md §10: durable ingest, one event a request and 100 events a request. An
// iteration is one event; cpu-µs/ev is what the whole process used, flushes and compactions included.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ callers, events int }{{1, 1}, {64, 1}, {16, 100}} {
		b.Run(fmt.Sprintf("callers=%d/events=%d", c.callers, c.events), func(b *testing.B) {
			benchmarkAppend(b, c.callers, c.events)
		})
	}
}

func benchmarkAppend(b *testing.B, callers, events int) {
	db, err := disk.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	d, err := disklog.New(db, nil)
	if err != nil {
		b.Fatal(err)
	}
	l := eventlog.New(d)
	defer l.Close()

	var next atomic.Int64
	var running sync.WaitGroup
	before := cpuTime(b)
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		running.Go(func() {
			payload := make([]byte, 300)
			for {
				n := next.Add(int64(events))
				if n > int64(b.N)+int64(events)-1 {
					return
				}
				if _, err := l.Append(context.Background(), benchEntries(n, events, payload)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-before)/1e3/float64(b.N), "cpu-µs/ev")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ev/s")
	b.ReportMetric(l.Stats().EventsPerGroup(), "ev/group")
}

func benchEntries(n int64, events int, payload []byte) []eventlog.Entry {
	entries := make([]eventlog.Entry, events)
	users := make([]freshet.Entity, events)
	for i := range entries {
		id := n + int64(i)
		users[i] = freshet.Entity{Kind: "user", Key: freshet.Key(fmt.Sprintf("user-%d", id%100_000))}
		entries[i] = eventlog.Entry{
			Event: freshet.Event{
				ID: freshet.EventID(fmt.Sprintf("event-%d", id)), Type: "play",
				EventTime: 1_740_000_000_000 + freshet.Timestamp(id/100), IngestTime: 1_740_000_000_500 + freshet.Timestamp(id/100),
				Payload: payload,
			},
			Entities: users[i : i+1],
		}
	}
	return entries
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
