package receiver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/reader"
	"github.com/freshet-ml/freshet/internal/receiver"
	"github.com/freshet-ml/freshet/internal/recheck"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/sweep"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
)

const allWindows = `
project: test
lateness: 10m
entities: { user: { key: user_id } }
events: { play: { keys: [user_id], fields: { seconds: float } } }
views:
  near:   { entity: user, from: play, window: sliding 10m, features: { n: count(), s: sum(seconds) } }
  list:   { entity: user, from: play, window: [sliding 10m, sliding 24h, sliding 7d], features: { n: count(), s: sum(seconds), l: last(seconds) } }
  bucket: { entity: user, from: play, window: tumbling 1h, features: { n: count(), s: sum(seconds) } }
  visit:  { entity: user, from: play, window: session 30m, features: { n: count(), f: first(seconds) } }
  recent: { entity: user, from: play, window: last 2, features: { l: "last(seconds, 2)" } }
  life:   { entity: user, from: play, window: lifetime, features: { n: count(), m: mean(seconds) } }
`

// TestSweepsLeaveNoTrace drives log, receiver and store through events, late ones among them, sweeps, crashes and clean
// restarts, and compares every view at many moments with what its events say.
func TestSweepsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	var total sweep.Stats
	for range 2 {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		synctest.Test(t, func(t *testing.T) {
			r := newSweepRig(t, seed)
			for range 150 {
				r.step()
			}
			r.end()
			s := r.swept
			total.RolledUp, total.Removed = total.RolledUp+s.RolledUp, total.Removed+s.Removed
		})
	}
	if total.RolledUp == 0 || total.Removed == 0 {
		t.Errorf("%d rows rolled up, %d removed: nothing was tried", total.RolledUp, total.Removed)
	}
}

type sweepRig struct {
	t        *testing.T
	rng      *rand.Rand
	log      *eventlog.Log
	features *featurestore.Store
	live     *release.Live
	receiver *receiver.Receiver
	cancel   func()
	ended    chan error
	swept    sweep.Stats
	ids      int
}

func newSweepRig(t *testing.T, seed uint64) *sweepRig {
	p, err := project.Parse("freshet.yaml", []byte(allWindows))
	if err != nil {
		t.Fatal(err)
	}
	rel, err := release.Open(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &sweepRig{t: t, rng: rand.New(rand.NewPCG(seed, 1)), log: eventlog.New(memlog.New(nil)), features: featurestore.New(memfeatures.New()), live: &release.Live{}}
	r.live.Store(rel)
	r.start()
	return r
}

func (r *sweepRig) start() {
	ctx, cancel := context.WithCancel(r.t.Context())
	r.receiver = receiver.New(r.log, r.features, jobqueue.New(memqueue.New(), nil), r.live, receiver.Options{})
	r.cancel, r.ended = cancel, make(chan error, 1)
	owner, ended := r.receiver, r.ended
	go func() { ended <- owner.Run(ctx) }()
	synctest.Wait()
}

// crash takes the partitions away from the receiver: what no checkpoint has is gone.
func (r *sweepRig) crash() {
	for p := range freshet.Partition(freshet.Partitions) {
		if _, err := r.features.Acquire(r.t.Context(), p, r.live.Load().ViewIDs()); err != nil {
			r.t.Fatal(err)
		}
	}
	r.cancel()
	<-r.ended
	r.start()
}

func (r *sweepRig) end() {
	r.cancel()
	if err := <-r.ended; err != nil {
		r.t.Error(err)
	}
}

func (r *sweepRig) step() {
	switch n := r.rng.IntN(100); {
	case n < 55:
		r.play()
	case n < 70:
		r.sweep()
	case n < 72:
		r.crash()
	case n < 75:
		r.end()
		r.start()
	case n < 90:
		time.Sleep(time.Duration(r.rng.ExpFloat64() * float64(10*time.Minute)))
	default:
		time.Sleep(time.Duration(r.rng.ExpFloat64() * float64(12*time.Hour)))
	}
	synctest.Wait()
	r.check(r.key())
}

func (r *sweepRig) key() freshet.Key { return freshet.Key(fmt.Sprint("u", r.rng.IntN(3))) }

func (r *sweepRig) play() {
	r.ids++
	now := freshet.TimestampOf(time.Now())
	at := now
	switch r.rng.IntN(4) {
	case 0:
		at = now.Add(-time.Duration(r.rng.ExpFloat64() * float64(15*time.Minute)))
	case 1:
		at = now.Add(-time.Duration(r.rng.ExpFloat64() * float64(30*time.Hour)))
	}
	key := r.key()
	_, err := r.log.Append(r.t.Context(), []eventlog.Entry{{
		Event: freshet.Event{ID: freshet.EventID(fmt.Sprint("e", r.ids)), Type: "play", EventTime: at, IngestTime: now,
			Payload: fmt.Appendf(nil, `{"type":"play","user_id":%q,"seconds":%v}`, string(key), r.rng.NormFloat64())},
		Entities: []freshet.Entity{{Kind: "user", Key: key}},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *sweepRig) sweep() {
	behind := time.Duration(r.rng.IntN(3)) * time.Hour
	s := sweep.New(r.features, r.receiver, r.live, sweep.Options{Behind: max(behind, 1), Batch: 1 + r.rng.IntN(3)})
	if err := s.Once(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	got := s.Stats()
	r.swept.RolledUp, r.swept.Removed = r.swept.RolledUp+got.RolledUp, r.swept.Removed+got.Removed
}

// check compares what the rows of a user say with what the events say, now, later and before.
func (r *sweepRig) check(key freshet.Key) {
	r.t.Helper()
	rel := r.live.Load()
	var events []feature.HistoricEvent
	for record, err := range r.log.Scan(r.t.Context(), freshet.PartitionOf(key), eventlog.Scan{Match: func(_, k []byte) bool { return string(k) == string(key) }}) {
		if err != nil {
			r.t.Fatal(err)
		}
		rec := rel.Project().Schema.NewRecord()
		if err := rel.Project().Schema.DecodeEvent(&record.Event, rec); err != nil {
			r.t.Fatal(err)
		}
		events = append(events, feature.HistoricEvent{Record: rec, MaxEventTime: record.MaxEventTime})
	}
	values := reader.New(r.features, r.log)
	now := freshet.TimestampOf(time.Now())
	soon := func(mean time.Duration) time.Duration { return time.Duration(r.rng.ExpFloat64() * float64(mean)) }
	moments := []freshet.Timestamp{now, now.Add(soon(time.Hour)), now.Add(-soon(time.Hour))}
	for range min(len(events), 4) {
		e := events[len(events)-1-min(int(r.rng.ExpFloat64()*3), len(events)-1)]
		moments = append(moments, e.Record.EventTime.Add(soon(20*time.Minute)))
	}
	r.recheck(values, key, now)
	for _, at := range moments {
		for _, v := range rel.Project().Views {
			got, err := values.Values(r.t.Context(), rel, []*feature.View{v}, key, at, false, nil)
			if err != nil {
				r.t.Fatal(err)
			}
			want, err := v.Compute(v.NewScratch(), events, at, false, nil)
			if err != nil {
				r.t.Fatal(err)
			}
			if !slices.EqualFunc(got, want, func(a, b expression.Value) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
				r.t.Fatalf("%s of %s at %s, %s from now: %v, the events say %v", v.Name(), key, at, at.Sub(now), got, want)
			}
		}
	}
}

// recheck does what the server's continuous check does: it must find nothing.
func (r *sweepRig) recheck(values *reader.Reader, key freshet.Key, now freshet.Timestamp) {
	r.t.Helper()
	rel := r.live.Load()
	c := recheck.New(values, r.features, r.log, recheck.Options{})
	for _, v := range rel.Project().Views {
		rows, err := values.Rows(r.t.Context(), nil, []*feature.View{v}, key)
		if err != nil {
			r.t.Fatal(err)
		}
		served, err := values.Read(r.t.Context(), rel, []*feature.View{v}, rows, key, now, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		c.Check(r.t.Context(), reader.Served{Release: rel, View: v, Row: rows[0], At: now, Values: served})
	}
	if s := c.Stats(); s.Mismatched > 0 || s.Checked == 0 {
		r.t.Fatalf("the continuous check of %s counts %+v", key, s)
	}
}
