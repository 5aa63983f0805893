package server_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
	w := newRebuild(b, benchapp.Users)
	for b.Loop() {
		w.generation++
		live := &release.Live{}
		live.Store(views(b, w.generation))
		w.run(b, live, func(ctx context.Context, _ *receiver.Receiver, features *featurestore.Store) error {
			for p := range freshet.Partition(freshet.Partitions) {
				if err := features.Wait(ctx, p, w.log.Head(p)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	w.report(b)
}

// BenchmarkBackfill fills the view that has changed in a release beside those of the live one, which have their rows. It is measured as
// BenchmarkReplay is, which see; a user has 50 events, as in freshet bench backfill.
func BenchmarkBackfill(b *testing.B) {
	w := newRebuild(b, 0)
	for b.Loop() {
		b.StopTimer()
		w.generation++
		live := &release.Live{}
		changed := changedView(b, w.generation)
		if err := live.Update(func(release.Roles) (release.Roles, error) {
			return release.Roles{Live: w.rel, Preparing: changed}, nil
		}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		w.run(b, live, func(ctx context.Context, r *receiver.Receiver, _ *featurestore.Store) error {
			return r.AwaitFilled(ctx, changed.ViewIDs())
		})
	}
	w.report(b)
}

// rebuild is a log on disk whose rows are made again and again.
type rebuild struct {
	db         *disk.DB
	log        *eventlog.Log
	jobs       *diskqueue.Queue
	rel        *release.Opened
	events     int
	generation int
	began      time.Duration
}

func newRebuild(b *testing.B, users int) *rebuild {
	b.Helper()
	n := 20_000
	if given, err := strconv.Atoi(os.Getenv("FRESHET_BENCH_EVENTS")); err == nil {
		n = given
	}
	db, err := disk.Open(filepath.Join(b.TempDir(), "data"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	driver, err := disklog.New(db, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { driver.Close() })
	jobs, err := diskqueue.New(db)
	if err != nil {
		b.Fatal(err)
	}
	w := &rebuild{db: db, log: eventlog.New(driver), jobs: jobs, rel: views(b, 0), events: n}
	appendDay(b, w.log, w.rel, n, cmp.Or(users, n/50))
	live := &release.Live{}
	live.Store(w.rel)
	w.run(b, live, func(ctx context.Context, r *receiver.Receiver, _ *featurestore.Store) error {
		return r.AwaitFilled(ctx, w.rel.ViewIDs())
	})
	w.began = processorTime(b)
	b.ReportAllocs()
	return w
}

// run has a receiver of its own do what is open, until it is done.
func (w *rebuild) run(b *testing.B, live *release.Live, done func(context.Context, *receiver.Receiver, *featurestore.Store) error) {
	b.Helper()
	features := featurestore.New(diskfeatures.New(w.db.Pebble(), nil))
	ctx, cancel := context.WithCancel(b.Context())
	r := receiver.New(w.log, features, jobqueue.New(w.jobs, nil), live, receiver.Options{})
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	if err := done(ctx, r, features); err != nil {
		b.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

func (w *rebuild) report(b *testing.B) {
	b.ReportMetric(float64((processorTime(b)-w.began).Microseconds())/float64(b.N)/float64(w.events), "cpu-µs/ev")
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
	return open(b, p)
}

// changedView is views(b, 0) with one view changed, in another way in each generation.
func changedView(b *testing.B, generation int) *release.Opened {
	b.Helper()
	text := strings.Replace(string(views(b, 0).Project().Text), "window: sliding 1h", "window: sliding 24h", 1)
	p, err := project.Parse(project.FileName, []byte(strings.Replace(text, "seconds >= 60", fmt.Sprintf("seconds >= %d", 60+generation), 1)))
	if err != nil {
		b.Fatal(err)
	}
	return open(b, p)
}

func open(b *testing.B, p *project.Project) *release.Opened {
	b.Helper()
	rel, err := release.Open(p, server.Runtimes())
	if err != nil {
		b.Fatal(err)
	}
	return rel
}

// appendDay appends n events of one day.
func appendDay(b *testing.B, log *eventlog.Log, rel *release.Opened, n, users int) {
	b.Helper()
	const start, day = freshet.Timestamp(1_741_003_200_000), 24 * 60 * 60 * 1000
	events := benchapp.NewEventsOf(1, 1, users)
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
