package archive_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/archive"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/internal/history"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/reader"
	"github.com/freshet-ml/freshet/internal/receiver"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
	"github.com/freshet-ml/freshet/offlinestore"
	"github.com/freshet-ml/freshet/offlinestore/diroffline"
)

const (
	hour freshet.Timestamp = 60 * 60 * 1000
	day                    = 24 * hour
	noon freshet.Timestamp = 1_741_003_200_000
)

// rig is a log that is archived. Its clock is now.
type rig struct {
	t       *testing.T
	log     *eventlog.Log
	offline *offlinestore.Store
	past    *history.Log
	now     freshet.Timestamp
	applied map[freshet.Partition]freshet.Offset // nil: all
	rng     *rand.Rand
	all     map[freshet.Partition][]eventlog.Record
	n       int
}

func newRig(t *testing.T, d eventlog.Driver) *rig {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := &rig{t: t, log: eventlog.New(d), now: noon, rng: rand.New(rand.NewPCG(seed, 0)), all: map[freshet.Partition][]eventlog.Record{}}
	d2, err := diroffline.Open(t.TempDir(), &diroffline.Options{MaxFileRows: 50, GroupRows: 20})
	if err != nil {
		t.Fatal(err)
	}
	r.offline = offlinestore.New(d2)
	r.past = history.New(r.log, r.offline)
	return r
}

func disklogOf(t *testing.T) eventlog.Driver {
	t.Helper()
	db, err := disk.Open("data", &disk.Options{FS: vfs.NewMem(), CacheBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	d, err := disklog.New(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(); db.Close() })
	return d
}

// send appends n events of four users, some of them late.
func (r *rig) send(n int) {
	r.t.Helper()
	for range n {
		r.n++
		u := freshet.Key(fmt.Sprint("u", r.rng.IntN(4)))
		e := freshet.Event{
			ID: freshet.EventID(fmt.Sprint("e", r.n)), Type: "play", IngestTime: r.now, EventTime: r.now - freshet.Timestamp(r.rng.Int64N(int64(2*hour))),
			Payload: fmt.Appendf(nil, `{"type":"play","user_id":%q,"seconds":%d}`, u, r.rng.IntN(100)),
		}
		if _, err := r.log.Append(r.t.Context(), []eventlog.Entry{{Event: e, Entities: []freshet.Entity{{Kind: "user", Key: u}}}}); err != nil {
			r.t.Fatal(err)
		}
		p := freshet.PartitionOf(u)
		record := eventlog.Record{Event: e, Entity: freshet.Entity{Kind: "user", Key: u}, Offset: freshet.Offset(len(r.all[p]) + 1)}
		for _, before := range r.all[p] {
			record.MaxEventTime = max(record.MaxEventTime, before.Event.EventTime)
		}
		r.all[p] = append(r.all[p], record)
		r.now += freshet.Timestamp(r.rng.Int64N(int64(hour / 2)))
	}
}

func (r *rig) checkpoint(p freshet.Partition) freshet.Offset {
	if r.applied == nil {
		return r.log.Head(p)
	}
	return r.applied[p]
}

func (r *rig) archive(o archive.Options) error {
	o.Now = func() time.Time { return r.now.Time() }
	o.Logger = slog.New(slog.DiscardHandler)
	return archive.New(r.log, r.offline, r.checkpoint, o).Once(r.t.Context())
}

// wantAll reads every partition in both ways and from several places.
func (r *rig) wantAll() {
	r.t.Helper()
	for p, want := range r.all {
		var got []eventlog.Record
		for step := 1 + r.rng.IntN(40); ; {
			n := len(got)
			var err error
			if got, err = r.past.Read(r.t.Context(), got, p, freshet.Offset(n+1), step); err != nil {
				r.t.Fatal(err)
			}
			if len(got) == n {
				break
			}
		}
		if !reflect.DeepEqual(got, want) {
			r.t.Fatalf("partition %d: %d records, expected %d", p, len(got), len(want))
		}
		r.wantPicked(p, want)
		from := r.rng.IntN(len(want)) + 1
		user := want[from-1].Entity.Key
		i := from - 1
		for record, err := range r.past.Scan(r.t.Context(), p, eventlog.Scan{From: freshet.Offset(from), Match: func(_, key []byte) bool { return string(key) == string(user) }}) {
			if err != nil {
				r.t.Fatal(err)
			}
			for want[i].Entity.Key != user {
				i++
			}
			if !reflect.DeepEqual(*record, want[i]) {
				r.t.Fatalf("partition %d: scanned %+v, expected %+v", p, *record, want[i])
			}
			i++
		}
		for ; i < len(want); i++ {
			if want[i].Entity.Key == user {
				r.t.Fatalf("partition %d: the scan of %q ends before offset %d", p, user, want[i].Offset)
			}
		}
	}
}

// wantPicked picks the records of one type.
func (r *rig) wantPicked(p freshet.Partition, all []eventlog.Record) {
	r.t.Helper()
	chosen := all[r.rng.IntN(len(all))].Event.Type
	want := slices.DeleteFunc(slices.Clone(all), func(e eventlog.Record) bool { return e.Event.Type != chosen })
	var got []eventlog.Record
	for from, step := freshet.Offset(1), 1+r.rng.IntN(40); from <= r.log.Head(p); {
		var err error
		before := from
		if got, from, err = r.past.Pick(r.t.Context(), got, p, from, step, func(t, _ []byte) bool { return string(t) == string(chosen) }); err != nil || from == before {
			r.t.Fatalf("partition %d from offset %d: on to %d, %v", p, before, from, err)
		}
	}
	if !reflect.DeepEqual(got, want) {
		r.t.Fatalf("partition %d: %d records of type %q picked, expected %d", p, len(got), chosen, len(want))
	}
}

func TestLogAndOfflineStoreAreOne(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) eventlog.Driver{
		"memlog": func(*testing.T) eventlog.Driver { return memlog.New(nil) }, "disklog": disklogOf,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, open(t))
			for range 12 {
				r.send(60)
				if err := r.archive(archive.Options{Retention: 2 * 24 * time.Hour}); err != nil {
					t.Fatal(err)
				}
				r.wantAll()
			}
			for p, records := range r.all {
				start := r.log.Start(p)
				if start == 1 {
					t.Errorf("partition %d of %d records over %s has not been trimmed", p, len(records), r.now.Sub(noon))
				}
				for _, record := range records[:start-1] {
					if age := r.now.Sub(record.Event.IngestTime); age < 48*time.Hour {
						t.Errorf("a record of an age of %s has left the log", age)
					}
				}
			}
		})
	}
}

func TestNothingBeyondTheCheckpointMoves(t *testing.T) {
	t.Parallel()
	r := newRig(t, memlog.New(nil))
	r.send(300)
	r.applied = map[freshet.Partition]freshet.Offset{}
	for p, records := range r.all {
		r.applied[p] = freshet.Offset(len(records) / 3)
	}
	r.now += 100 * day
	if err := r.archive(archive.Options{Retention: time.Hour}); err != nil {
		t.Fatal(err)
	}
	for p := range r.all {
		if got := r.offline.Through(p); got != r.applied[p] {
			t.Errorf("partition %d: moved through %d, expected %d", p, got, r.applied[p])
		}
	}
	r.wantAll()
}

func TestSizeBound(t *testing.T) {
	t.Parallel()
	r := newRig(t, sized{memlog.New(nil)})
	r.send(400)
	if err := r.archive(archive.Options{Retention: 1000 * 24 * time.Hour, MaxBytes: 50_000}); err != nil {
		t.Fatal(err)
	}
	for p, records := range r.all { // half of the size and a tenth of the rest go
		if got := float64(r.log.Start(p)) / float64(len(records)); got < 0.45 || got > 0.65 {
			t.Errorf("partition %d: %d of %d records went", p, r.log.Start(p)-1, len(records))
		}
	}
	r.wantAll()
}

// sized is a log that says it is twice too large.
type sized struct{ *memlog.Log }

func (sized) Bytes() (int64, error) { return 100_000, nil }

// TestMissingPast: a log that was trimmed says so where the files are gone, instead of giving less.
func TestMissingPast(t *testing.T) {
	t.Parallel()
	r := newRig(t, memlog.New(nil))
	r.send(200)
	p := freshet.PartitionOf("u1")
	if err := r.log.Trim(t.Context(), p, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := r.past.Read(t.Context(), nil, p, 1, 5); !errors.Is(err, eventlog.ErrTrimmed) || freshet.CodeOf(err) != freshet.Internal {
		t.Errorf("Read of what is nowhere: %v", err)
	}
	for _, err := range r.past.Scan(t.Context(), p, eventlog.Scan{}) {
		if !errors.Is(err, eventlog.ErrTrimmed) || freshet.CodeOf(err) != freshet.Internal {
			t.Errorf("Scan of what is nowhere: %v", err)
		}
	}
}

const twoViews = `
project: test
entities: { user: { key: user_id } }
events: { play: { keys: [user_id], fields: { seconds: float } } }
views:
  week: { entity: user, from: play, window: sliding 7d, features: { n: count(), s: sum(seconds) } }
  sittings: { entity: user, from: play, window: session 30m, features: { n: count(), s: sum(seconds) } }
`

// TestReplayAndPastReads fills the rows of new views and reads the past when most events have left the log: all is as it
// was while the log had everything.
func TestReplayAndPastReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memlog.New(nil))
		r.send(600)
		p, err := project.Parse("freshet.yaml", []byte(twoViews))
		if err != nil {
			t.Fatal(err)
		}
		rel, err := release.Open(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		live := &release.Live{}
		live.Store(rel)
		moments := []freshet.Timestamp{r.now}
		for range 5 {
			moments = append(moments, noon+freshet.Timestamp(r.rng.Int64N(int64(r.now-noon))))
		}
		before := values(t, rel, rows(t, r.log, live), r.log, moments)
		if err := r.archive(archive.Options{Retention: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if r.offline.Stored() < 500 {
			t.Fatalf("only %d of 600 events were moved", r.offline.Stored())
		}
		after := values(t, rel, rows(t, r.past, live), r.past, moments)
		if !reflect.DeepEqual(before, after) {
			t.Errorf("values are\n%v\nexpected\n%v", after, before)
		}
	})
}

// source is what receiver and reader need of a log.
type source interface {
	Read(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, limit int) ([]eventlog.Record, error)
	Pick(ctx context.Context, dst []eventlog.Record, partition freshet.Partition, from freshet.Offset, n int, want eventlog.Want) ([]eventlog.Record, freshet.Offset, error)
	Wait(ctx context.Context, partition freshet.Partition, offset freshet.Offset) error
	Head(partition freshet.Partition) freshet.Offset
}

// rows replays log from its first event into rows of a new store.
func rows(t *testing.T, log source, live *release.Live) *featurestore.Store {
	t.Helper()
	features := featurestore.New(memfeatures.New())
	r := receiver.New(log, features, jobqueue.New(memqueue.New(), nil), live, receiver.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for p := range freshet.Partition(freshet.Partitions) {
		if err := features.Wait(t.Context(), p, log.Head(p)); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return features
}

// values reads both views of all users at all moments, as they happened and as they were known.
func values(t *testing.T, rel *release.Opened, rows *featurestore.Store, log scanner, moments []freshet.Timestamp) (all [][]expression.Value) {
	t.Helper()
	read := reader.New(rows, log)
	for i, at := range moments {
		for u := range 4 {
			got, err := read.Values(t.Context(), rel, rel.Project().Views, freshet.Key(fmt.Sprint("u", u)), at, i%2 == 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, got)
		}
	}
	return all
}

type scanner interface {
	Scan(context.Context, freshet.Partition, eventlog.Scan) iter.Seq2[*eventlog.Record, error]
}
