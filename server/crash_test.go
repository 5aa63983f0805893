package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/jobqueue"
)

// These tests check promise P1, durable once, and P5, every job ends, on a file system that forgets what was not synced
// and on one that fails. What a kill of the process shows is tested in test/crash with the real binary.

const crashProject = `
project: crash
entities: { user: { key: user_id } }
events:
  pay: { keys: [user_id], fields: { ref: string, cents: int } }
lateness: 2d
views:
  total:  { entity: user, from: pay, window: lifetime,    features: { n: count(), cents: sum(cents) } }
  newest: { entity: user, from: pay, window: last 1,      features: { ref: last(ref) } }
  visit:  { entity: user, from: pay, window: session 30m, features: { visit: count() } }
models:
  risk: { path: risk.json }
pipelines:
  risk: { from: pay, entity: user, model: risk }
`

const crashModel = `{"format": "freshet.linear/1", "link": "identity", "features": [{"name": "n"}, {"name": "cents"}],
  "coefficients": [[1, 2]], "intercept": [0], "outputs": ["risk"]}`

const crashUsers = 20

// payment is one event of the test.
type payment struct {
	id    freshet.EventID
	user  freshet.Key
	at    freshet.Timestamp
	cents int
}

// crashRig makes servers over one file system after the other.
type crashRig struct {
	project string
	start   time.Time
	events  []payment
}

func newCrashRig(t *testing.T, rng *rand.Rand, n int) *crashRig {
	t.Helper()
	r := &crashRig{project: t.TempDir(), start: time.Now()}
	for name, text := range map[string]string{"freshet.yaml": crashProject, "risk.json": crashModel} {
		if err := os.WriteFile(filepath.Join(r.project, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		r.events = append(r.events, payment{
			id: freshet.EventID(fmt.Sprintf("e%05d", i)), user: freshet.Key(fmt.Sprint("u", rng.IntN(crashUsers))),
			at: freshet.TimestampOf(r.start.Add(-time.Duration(rng.Int64N(int64(24 * time.Hour))))), cents: rng.IntN(10_000),
		})
	}
	return r
}

// running is a server that runs.
type running struct {
	*Server
	c    *client.Client
	stop func()
}

// open opens a server over fs. Its clock runs a hundred times as fast, so that a short run takes many checkpoints.
func (r *crashRig) open(t *testing.T, fs vfs.FS, onFatal func(error)) *Server {
	t.Helper()
	s, err := New(t.Context(), Options{
		Project: r.project, Data: filepath.Join(r.project, "data"), Listen: "127.0.0.1:0", Workers: 2, Visibility: time.Hour,
		Now:    func() time.Time { return r.start.Add(100 * time.Since(r.start)) },
		Logger: slog.New(slog.DiscardHandler), OnFatal: onFatal, fs: fs,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t *testing.T, s *Server) *running {
	t.Helper()
	c, err := client.New("http://"+s.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return &running{Server: s, c: c, stop: func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}}
}

// send posts events in one request and returns how many the server knew. The context is not the test's: a request may
// have to be given up.
func (r *running) send(ctx context.Context, events []payment) (known int, err error) {
	var body bytes.Buffer
	for _, e := range events {
		fmt.Fprintf(&body, `{"event_id":%q,"type":"pay","user_id":%q,"event_time":%d,"ref":%q,"cents":%d}`+"\n", e.id, e.user, int64(e.at), e.id, e.cents)
	}
	result, err := r.c.SendEvents(ctx, client.NDJSON, body.Bytes())
	if err == nil && result.Accepted+result.Duplicates != len(events) {
		err = fmt.Errorf("%+v of %d events", result, len(events))
	}
	return result.Duplicates, err
}

// cut is what a crash leaves of a file system, and how many of the events had been acknowledged before.
type cut struct {
	fs    vfs.FS
	acked []payment
}

// TestCrash runs a server under load, cuts the power before many of the changes that it makes to the file system, and
// has a new server carry on from each.
func TestCrash(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	n, wanted := 3000, 60
	if raceDetector { // which makes all ten times slower
		n, wanted = 800, 12
	}
	r := newCrashRig(t, rng, n)
	mem := vfs.NewCrashableMem()
	var (
		mu     sync.Mutex // guards all below and rng: the file system is used by several goroutines
		acked  []payment
		cuts   []cut
		writes int
	)
	power := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		writes++
		if len(cuts) < wanted && rng.IntN(8) == 0 {
			// Acknowledged before the cut: what comes after does not change this slice.
			cuts = append(cuts, cut{acked: acked[:len(acked):len(acked)], fs: mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * rng.IntN(3), RNG: rng})})
		}
		return nil
	})
	s := run(t, r.open(t, errorfs.Wrap(mem, power), nil))
	batches := make(chan []payment, len(r.events))
	for rest := r.events; len(rest) > 0; {
		n := min(len(rest), 1+rng.IntN(8))
		batches <- rest[:n]
		rest = rest[n:]
	}
	close(batches)
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for batch := range batches {
				if _, err := s.send(context.Background(), batch); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked = append(acked, batch...)
				flush := len(acked)%400 < len(batch)
				mu.Unlock()
				if flush { // tables and manifests are files, too
					if err := s.db.Pebble().Flush(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	senders.Wait()
	s.stop()
	t.Logf("%d cuts among %d changes of the file system", len(cuts), writes)
	if len(cuts) < wanted/4 {
		t.Error("too few cuts")
	}
	for i, c := range cuts {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			r.carryOn(t, c)
		})
	}
}

// carryOn starts a server on what a crash has left, sends everything again and compares with brute force.
func (r *crashRig) carryOn(t *testing.T, c cut) {
	opened := r.open(t, c.fs, nil)
	watch := newPredictionWatch(opened)
	watch.look(t)
	s := run(t, opened)
	for batch := range slices.Chunk(c.acked, 200) {
		if known, err := s.send(t.Context(), batch); err != nil || known != len(batch) {
			t.Errorf("of %d acknowledged events %d are known: %v", len(batch), known, err)
		}
	}
	watch.look(t)
	for batch := range slices.Chunk(r.events, 200) {
		if _, err := s.send(t.Context(), batch); err != nil {
			t.Error(err)
		}
		watch.look(t)
	}
	r.checkUsers(t, s)
	watch.look(t)
	if stats := s.jobs.Stats(); stats.Queued+stats.Leased+stats.Dead > 0 {
		t.Errorf("jobs have not ended: %+v", stats)
	}
	s.stop()
}

// checkUsers waits until all is done, and compares features and predictions with brute force over all events.
func (r *crashRig) checkUsers(t *testing.T, s *running) {
	t.Helper()
	of := map[freshet.Key][]payment{}
	for _, e := range r.events {
		of[e.user] = append(of[e.user], e)
	}
	for user, events := range of {
		e := freshet.Entity{Kind: "user", Key: user}
		partition := freshet.PartitionOf(user)
		last := lastRecord(t, s.log, e)
		if state, err := s.jobs.Wait(t.Context(), jobqueue.Subject{Pipeline: "risk", Entity: e}, s.log.Head(partition)); err != nil || state != jobqueue.Ended {
			t.Fatalf("the jobs of %s: %v, %v", user, state, err)
		}
		slices.SortFunc(events, func(a, b payment) int { return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.id, a.id)) })
		cents, visit, end := 0, 0, freshet.TimestampOf(r.start)
		for i, e := range events {
			cents += e.cents
			if visit == i && end.Sub(e.at) <= 30*time.Minute {
				visit++
				end = e.at
			}
		}
		want := map[string]any{"n": float64(len(events)), "cents": float64(cents), "ref": string(events[0].id), "visit": float64(visit)}
		for _, view := range []freshet.ViewName{"total", "newest", "visit"} {
			got, err := s.c.GetFeatures(t.Context(), view, map[string]string{"user_id": string(user)}, &client.FeatureOptions{At: r.start})
			if err != nil {
				t.Fatal(err)
			}
			for name, v := range got.Features {
				if v != want[name] {
					t.Errorf("%s.%s of %s is %v, the events give %v", view, name, user, v, want[name])
				}
			}
		}
		p, err := s.predictions.GetExplained(t.Context(), e, "risk")
		if err != nil {
			t.Fatal(err)
		}
		if p.EventID != last.Event.ID || p.Cause.Offset != last.Offset || p.Items[0].Score != float64(len(events)+2*cents) {
			t.Errorf("the prediction of %s is %+v, the last event is %s at %d", user, p, last.Event.ID, last.Offset)
		}
	}
}

// lastRecord is the last event of e in the log.
func lastRecord(t *testing.T, l *eventlog.Log, e freshet.Entity) (last eventlog.Record) {
	t.Helper()
	p := freshet.PartitionOf(e.Key)
	for o := freshet.Offset(1); o <= l.Head(p); {
		records, err := l.Read(t.Context(), nil, p, o, 1000)
		if err != nil || len(records) == 0 {
			t.Fatalf("partition %d from %d: %d events, %v", p, o, len(records), err)
		}
		for _, r := range records {
			if r.Entity == e {
				last = r
			}
		}
		o = records[len(records)-1].Offset + 1
	}
	return last
}

// predictionWatch sees that predictions never go backwards.
type predictionWatch struct {
	s    *Server
	seen map[freshet.Key]freshet.Offset
}

func newPredictionWatch(s *Server) *predictionWatch {
	return &predictionWatch{s: s, seen: map[freshet.Key]freshet.Offset{}}
}

func (w *predictionWatch) look(t *testing.T) {
	t.Helper()
	for i := range crashUsers {
		user := freshet.Key(fmt.Sprint("u", i))
		p, err := w.s.predictions.Get(t.Context(), freshet.Entity{Kind: "user", Key: user}, "risk")
		if freshet.CodeOf(err) == freshet.NotFound && w.seen[user] == 0 {
			continue
		}
		if err != nil || p.Cause.Offset < w.seen[user] {
			t.Errorf("the prediction of %s went from offset %d to %d, %v", user, w.seen[user], p.Cause.Offset, err)
		}
		w.seen[user] = p.Cause.Offset
	}
}

// TestFailedDisk breaks the disk under a server: it reports it, acknowledges nothing from then on, and what it had
// acknowledged is there for the next.
func TestFailedDisk(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]errorfs.OpKind{"sync": errorfs.OpFileSyncData, "write": errorfs.OpFileWrite} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newCrashRig(t, rand.New(rand.NewPCG(1, 2)), 200)
			var broken atomic.Bool
			noDisk := errors.New("the disk is gone")
			mem := vfs.NewCrashableMem()
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if broken.Load() && op.Kind == kind && strings.HasSuffix(op.Path, ".log") {
					return noDisk
				}
				return nil
			}))
			fatal := make(chan error)
			s := run(t, r.open(t, fs, func(err error) {
				fatal <- err
				select {} // the process would be gone
			}))
			if _, err := s.send(t.Context(), r.events[:100]); err != nil {
				t.Fatal(err)
			}
			broken.Store(true)
			ctx, giveUp := context.WithCancel(t.Context())
			answer := make(chan error, 1)
			go func() {
				_, err := s.send(ctx, r.events[100:])
				answer <- err
			}()
			if err := <-fatal; !errors.Is(err, noDisk) || !strings.HasPrefix(err.Error(), "disk: ") {
				t.Errorf("OnFatal got %v", err)
			}
			giveUp()
			if err := <-answer; err == nil {
				t.Error("the events were acknowledged on a broken disk")
			}
			// Not stopped: the process would be gone.
			r.carryOn(t, cut{acked: r.events[:100], fs: mem.CrashClone(vfs.CrashCloneCfg{})})
		})
	}
}
