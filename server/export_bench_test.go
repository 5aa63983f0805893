package server_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/archive"
	"github.com/freshet-ml/freshet/internal/benchapp"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/history"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/reader"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/trainingset"
	"github.com/freshet-ml/freshet/offlinestore"
	"github.com/freshet-ml/freshet/offlinestore/diroffline"
	"github.com/freshet-ml/freshet/server"
)

// benchPast is a data folder with the events of the bench's app over ten days, the older half in the offline store.
// FRESHET_BENCH_EVENTS says how many (default 20,000), FRESHET_BENCH_DATA where to keep them for the next run.
type benchPast struct {
	data   string
	events int
	rel    *release.Opened
	start  freshet.Timestamp
	step   freshet.Timestamp
}

func newBenchPast(b *testing.B) *benchPast {
	b.Helper()
	p := &benchPast{data: os.Getenv("FRESHET_BENCH_DATA"), events: 20_000, start: 1_741_003_200_000}
	if n, err := strconv.Atoi(os.Getenv("FRESHET_BENCH_EVENTS")); err == nil {
		p.events = n
	}
	p.step = 10 * 24 * 60 * 60 * 1000 / freshet.Timestamp(p.events)
	dir := b.TempDir()
	if err := benchapp.Write(dir, 1); err != nil {
		b.Fatal(err)
	}
	project, err := project.Load(dir)
	if err != nil {
		b.Fatal(err)
	}
	if p.rel, err = release.Open(project, server.Runtimes()); err != nil {
		b.Fatal(err)
	}
	if p.data == "" {
		p.data = b.TempDir()
	}
	if _, err := os.Stat(filepath.Join(p.data, "offline")); err != nil {
		p.fill(b)
	}
	return p
}

func (p *benchPast) open(b *testing.B) (*eventlog.Log, *offlinestore.Store, func()) {
	b.Helper()
	db, err := disk.Open(p.data, nil)
	if err != nil {
		b.Fatal(err)
	}
	d, err := disklog.New(db, nil)
	if err != nil {
		b.Fatal(err)
	}
	files, err := diroffline.Open(filepath.Join(p.data, "offline"), nil)
	if err != nil {
		b.Fatal(err)
	}
	return eventlog.New(d), offlinestore.New(files), func() { d.Close(); db.Close() }
}

func (p *benchPast) fill(b *testing.B) {
	b.Helper()
	log, offline, closeAll := p.open(b)
	defer closeAll()
	events := benchapp.NewEvents(1, 1)
	rec := p.rel.Record()
	defer p.rel.Return(rec)
	var entries []eventlog.Entry
	began := time.Now()
	for i := range p.events {
		at := p.start + freshet.Timestamp(i)*p.step
		payload := events.Append(nil, i, at)
		if err := p.rel.Project().Schema.Decode(payload, at, rec); err != nil {
			b.Fatal(err)
		}
		e := eventlog.Entry{Event: freshet.Event{ID: events.ID(i), Type: rec.Type, EventTime: at, IngestTime: at, Payload: payload}}
		for _, kind := range p.rel.Kinds(rec.Type) {
			key, ok := rec.Key(kind)
			if !ok {
				b.Fatalf("an event of type %s has no key of %s", rec.Type, kind)
			}
			e.Entities = append(e.Entities, freshet.Entity{Kind: kind, Key: key})
		}
		if entries = append(entries, e); len(entries) == 2000 || i == p.events-1 {
			if _, err := log.Append(b.Context(), entries); err != nil {
				b.Fatal(err)
			}
			entries = nil
		}
	}
	b.Logf("%d events appended in %s", p.events, time.Since(began))
	began = time.Now()
	a := archive.New(log, offline, log.Head, archive.Options{
		Retention: 5 * 24 * time.Hour, Now: func() time.Time { return p.end().Time() }, Logger: slog.New(slog.DiscardHandler),
	})
	if err := a.Once(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d records moved in %s", offline.Stored(), time.Since(began))
}

func (p *benchPast) end() freshet.Timestamp { return p.start + freshet.Timestamp(p.events)*p.step }

// BenchmarkExport writes one row for every fifth event, with all features of user and content.
func BenchmarkExport(b *testing.B) {
	p := newBenchPast(b)
	rows := p.events / 5
	entities := filepath.Join(b.TempDir(), "entities.csv")
	f, err := os.Create(entities)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	fmt.Fprintln(f, "user_id,content_id,event_time,label")
	for range rows {
		fmt.Fprintf(f, "u%06d,t%03d,%d,%d\n", rng.IntN(benchapp.Users), rng.IntN(benchapp.Titles), p.start+freshet.Timestamp(rng.Int64N(int64(p.end()-p.start))), rng.IntN(2))
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	for _, output := range []string{"train.parquet", "train.csv"} {
		for _, known := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/known=%t", output, known), func(b *testing.B) {
				for b.Loop() {
					_, err := server.Export(b.Context(), p.data, "", p.rel, trainingset.Options{
						Entities: entities, Features: []string{"session", "activity", "body", "popularity", "profile.tenure_days"},
						Known: known, Output: filepath.Join(b.TempDir(), output),
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// BenchmarkReadOfThePast reads the values of one user at a moment: in the offline store's half, and in the log's.
func BenchmarkReadOfThePast(b *testing.B) {
	p := newBenchPast(b)
	log, offline, closeAll := p.open(b)
	defer closeAll()
	read := reader.New(featurestore.New(memfeatures.New()), history.New(log, offline))
	views := map[string]freshet.ViewName{"session (all events)": "session", "sliding 1h": "activity"}
	for name, view := range views {
		v, _ := p.rel.View(view)
		for _, day := range []freshet.Timestamp{2, 8} {
			b.Run(fmt.Sprintf("%s/day %d", name, day), func(b *testing.B) {
				at := p.start + day*24*60*60*1000
				for i := 0; b.Loop(); i++ {
					if _, err := read.Values(b.Context(), p.rel, []*feature.View{v}, freshet.Key(fmt.Sprintf("u%06d", i%1000)), at, true, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
