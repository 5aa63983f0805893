package server_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/diskfeatures"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/receiver"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/diskqueue"
	"github.com/freshet-ml/freshet/server"
)

// BenchmarkReplay rebuilds the rows of all views of the bench's app from the log on disk, as a server does that starts with
// new views. An iteration is one rebuild; cpu-µs/ev is what the whole process used, flushes and compactions included.
// FRESHET_BENCH_EVENTS says how many events (default 20,000).
func BenchmarkReplay(b *testing.B) {
	n := 20_000
	if given, err := strconv.Atoi(os.Getenv("FRESHET_BENCH_EVENTS")); err == nil {
		n = given
	}
	db, err := disk.Open(filepath.Join(b.TempDir(), "data"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	driver, err := disklog.New(db, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer driver.Close()
	jobs, err := diskqueue.New(db)
	if err != nil {
		b.Fatal(err)
	}
	log := eventlog.New(driver)
	rel := views(b, 0)
	appendDay(b, log, rel, n)
	began := processorTime(b)
	b.ReportAllocs()
	generation := 0
	for b.Loop() {
		generation++
		live := &release.Live{}
		live.Store(views(b, generation))
		features := featurestore.New(diskfeatures.New(db.Pebble(), nil))
		ctx, cancel := context.WithCancel(b.Context())
		r := receiver.New(log, features, jobqueue.New(jobs, nil), live, receiver.Options{})
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		for p := range freshet.Partition(freshet.Partitions) {
			if err := features.Wait(ctx, p, log.Head(p)); err != nil {
				b.Fatal(err)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((processorTime(b)-began).Microseconds())/float64(b.N)/float64(n), "cpu-µs/ev")
}

// views is the bench's app without tables, models and pipelines.
func views(b *testing.B, generation int) *release.Opened {
	b.Helper()
	dir := b.TempDir()
	if err := benchapp.WriteViews(dir, generation); err != nil {
		b.Fatal(err)
	}
	p, err := project.Load(dir)
	if err != nil {
		b.Fatal(err)
	}
	rel, err := release.Open(p, server.Runtimes())
	if err != nil {
		b.Fatal(err)
	}
	return rel
}

// appendDay appends n events of one day.
func appendDay(b *testing.B, log *eventlog.Log, rel *release.Opened, n int) {
	b.Helper()
	const start, day = freshet.Timestamp(1_741_003_200_000), 24 * 60 * 60 * 1000
	events := benchapp.NewEvents(1, 1)
	rec := rel.Project().Schema.NewRecord()
	var entries []eventlog.Entry
	for i := range n {
		at := start + freshet.Timestamp(i*day/n)
		payload := events.Append(nil, i, at)
		if err := rel.Project().Schema.Decode(payload, at, rec); err != nil {
			b.Fatal(err)
		}
		e := eventlog.Entry{Event: freshet.Event{ID: events.ID(i), Type: rec.Type, EventTime: at, IngestTime: at, Payload: payload}}
		for _, kind := range rel.Kinds(rec.Type) {
			key, ok := rec.Key(kind)
			if !ok {
				b.Fatalf("an event of type %s has no key of %s", rec.Type, kind)
			}
			e.Entities = append(e.Entities, freshet.Entity{Kind: kind, Key: key})
		}
		if entries = append(entries, e); len(entries) == 500 || i == n-1 {
			if _, err := log.Append(b.Context(), entries); err != nil {
				b.Fatal(err)
			}
			entries = nil
		}
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
