package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/internal/history"
	"github.com/freshet-ml/freshet/internal/orchestration"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/reader"
	"github.com/freshet-ml/freshet/internal/receiver"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/serving"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/linearmodel"
	"github.com/freshet-ml/freshet/offlinestore"
	"github.com/freshet-ml/freshet/offlinestore/diroffline"
	"github.com/freshet-ml/freshet/predictionstore"
)

const simProject = `
project: sim
entities: { user: { key: user_id }, item: { key: [shop, item_id] } }
events:
  play: { keys: [user_id, shop, item_id], fields: { x: float, level: int, tag: string, done: bool } }
  ping: { keys: [user_id], fields: { level: int } }
lateness: LATENESS
views:
  recent:
    entity: user
    from: play
    window: [sliding 1m, sliding 10m, sliding 2h]
    features: { n: count(), s: sum(x), m: mean(x), sd: stddev(x), sl: slope(x), d: distinct(tag), c: counts(tag), q: "quantile(x, 0.9)", dec: 'decay(x, "30m")', l: last(tag) }
  visit:  { entity: user, from: [play, ping], window: session 5m, features: { n: count(), lv: max(level), tags: "last(tag, 4)", f: first(level), since: since_last(done) } }
  newest: { entity: user, from: play, window: last 3, features: { xs: "last(x, 3)", hi: max(x), share: "count(done) / count()" } }
  hourly: { entity: user, from: ping, window: tumbling 1h offset 7m, features: { n: count(), lv: sum(level) } }
  life:   { entity: user, from: play, window: lifetime, features: { plays: count(), t: "top(tag, 2)", mn: min(x), var: variance(x) } }
  trend:  { entity: item, from: play, where: "coalesce(level, 0) > -2", window: sliding 1h, features: { n: count(), s: sum(x) } }
  busy:   { entity: item, from: play, window: session 30s, features: { n: count(), s: sum(x) } }
models:
  risk: { path: risk.json }
pipelines:
  risk: { from: play, entity: user, model: risk, inputs: { plays: life.plays } }
`

// simMore is a view that one of the releases has beside those of the other: its rows are filled from the past when that
// release goes live.
const simMore = `  more: { entity: user, from: play, window: sliding 30m, features: { n: count(), hi: max(x) } }
`

// Keys of the simulation, in as few partitions as there are: what one of them does moves the watermark of the others.
var (
	simUsers = together(4, func(i int) freshet.Key { return freshet.Key(fmt.Sprint("u", i)) })
	simItems = together(6, func(i int) freshet.Key { return freshet.JoinKey(fmt.Sprint("s", i%2), fmt.Sprint("i", i)) })
)

// together gives the first n keys that fall into two partitions.
func together(n int, key func(i int) freshet.Key) (keys []freshet.Key) {
	for i := 0; len(keys) < n; i++ {
		if k := key(i); freshet.PartitionOf(k) < 2 {
			keys = append(keys, k)
		}
	}
	return keys
}

// simBases tell the releases apart: what a release's model adds to the number of plays.
var simBases = map[freshet.ReleaseID]float64{"r1": 0, "r2": 1_000_000}

func simRelease(t simT, dir string, id freshet.ReleaseID, lateness string) *release.Opened {
	t.Helper()
	dir, err := os.MkdirTemp(dir, "release")
	if err != nil {
		t.Fatalf("%v", err)
	}
	model := fmt.Sprintf(`{"format": "freshet.linear/1", "link": "identity", "features": [{"name": "plays"}], "coefficients": [[1]], "intercept": [%v], "outputs": ["risk"]}`, simBases[id])
	text := strings.Replace(simProject, "LATENESS", lateness, 1)
	if id == "r2" {
		text = strings.Replace(text, "models:\n", simMore+"models:\n", 1)
	}
	for name, text := range map[string]string{project.FileName: text, "risk.json": model} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatalf("%v", err)
		}
	}
	p, err := project.Load(dir)
	if err != nil {
		t.Fatalf("%v", err)
	}
	rel, err := release.Open(p, []modelruntime.Runtime{linearmodel.Linear{}})
	if err != nil {
		t.Fatalf("%v", err)
	}
	rel.Name(id, 1)
	return rel
}

// sim is one simulation: what was acknowledged, and the run that serves it. One goroutine drives it.
type sim struct {
	t       told
	pick    choices
	stores  simStores
	rels    []*release.Opened
	clock   atomic.Int64 // epoch milliseconds
	offline *offlinestore.Store
	*simRun

	sent       []eventlog.Entry                           // acknowledged, each once, in the order of the log
	partitions [freshet.Partitions][]simRecord            // what the log must hold
	about      map[freshet.Entity][]feature.HistoricEvent // what features must be made of
	largest    [freshet.Partitions]freshet.Timestamp
}

// simRecord is an event about an entity.
type simRecord struct {
	event  freshet.Event
	entity freshet.Entity
}

// simRun is the layers over one set of drivers.
type simRun struct {
	rel         *release.Opened
	log         *history.Log
	features    *featurestore.Store
	jobs        *jobqueue.Queue
	predictions *predictionstore.Store
	receiver    *receiver.Receiver // the newest
	live        *release.Live      // its releases
	closed      func() error
	stops       []func() error // of what runs, in the order of their start
}

func newSim(t simT, dir string, pick choices, stores simStores) *sim {
	t.Helper()
	s := &sim{t: told{t, &trace{}}, pick: pick, stores: stores, about: map[freshet.Entity][]feature.HistoricEvent{}}
	s.clock.Store(1_741_003_200_000)
	lateness := []string{"0s", "10s", "2m", "400d"}[pick(4, "lateness")]
	for _, id := range []freshet.ReleaseID{"r1", "r2"} {
		s.rels = append(s.rels, simRelease(t, dir, id, lateness))
	}
	folder, err := os.MkdirTemp(dir, "offline")
	if err != nil {
		t.Fatalf("%v", err)
	}
	old, err := diroffline.Open(folder, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	s.offline = offlinestore.New(old)
	s.start()
	return s
}

func (s *sim) now() time.Time { return time.UnixMilli(s.clock.Load()) }

// start opens the drivers and lets receiver and workers run.
func (s *sim) start() {
	s.t.Helper()
	d, err := s.stores.open()
	if err != nil {
		s.t.Fatalf("open: %v", err)
	}
	d = slowly(d)
	r := &simRun{
		rel: s.rels[s.pick(len(s.rels), "release")], log: history.New(eventlog.New(d.log), s.offline), features: featurestore.New(d.features),
		jobs: jobqueue.New(d.jobs, nil), predictions: predictionstore.New(d.predictions, &predictionstore.Options{Now: s.now}), closed: d.close,
	}
	s.simRun = r
	s.receive()
	live := &release.Live{}
	live.Store(r.rel)
	workers := orchestration.New(orchestration.Deps{
		Live: live, Log: r.log, Features: r.features, Reader: reader.New(r.features, r.log), Jobs: r.jobs, Predictions: r.predictions,
		Models: serving.New(prometheus.NewRegistry()), Metrics: orchestration.NewMetrics(prometheus.NewRegistry()),
	}, orchestration.Options{Workers: 1 + s.pick(3, "workers"), Now: s.now})
	r.stops = append(r.stops, running(workers.Run))
}

// receive starts a receiver, with batches and checkpoints of any size. If another runs already, that one loses its
// partitions.
func (s *sim) receive() {
	s.live = &release.Live{}
	s.live.Store(s.rel)
	o := receiver.Options{
		BatchEvents: 1 + s.pick(20, "events in a batch"), CheckpointRows: 1 + s.pick(30, "rows before a checkpoint"), Now: s.now,
		Logger: slog.New(slog.DiscardHandler),
	}
	s.receiver = receiver.New(s.log, s.features, s.jobs, s.live, o)
	s.did("a receiver of %s with batches of %d and checkpoints after %d rows", s.rel.ID(), o.BatchEvents, o.CheckpointRows)
	r := s.receiver
	stop := running(r.Run)
	for r.Recovering() > 0 { // until it owns all: there is nobody who would tell
		runtime.Gosched()
	}
	s.did("it has recovered")
	s.stops = append(s.stops, func() error {
		if err := stop(); freshet.CodeOf(err) != freshet.PreconditionFailed || r == s.receiver {
			return err
		}
		return nil // it had lost a partition to the one after it, as it should
	})
}

func running(run func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}

// stop ends what runs, the newest first.
func (s *sim) stop() {
	s.t.Helper()
	s.did("stop")
	var errs []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		errs = append(errs, s.stops[i]())
	}
	if err := errors.Join(append(errs, s.closed())...); err != nil {
		s.t.Fatalf("stop: %v", err)
	}
}

// run does steps.
func (s *sim) run(steps int) {
	for range steps {
		switch step := s.pick(22, "step"); {
		case step < 9:
			s.send(s.batch())
		case step < 13:
			s.check()
		case step < 16:
			s.clock.Add([]int64{1, 999, 40_000, 420_000, 3_600_000}[s.pick(5, "time passes")])
		case step == 16:
			s.stop()
			s.start()
		case step == 17:
			s.receive()
		case step == 18:
			s.archive()
		case step < 21:
			s.sweep()
		default:
			s.crash()
		}
	}
}

// batch invents the events of one request: new ones, and some that were sent before, also with other contents.
func (s *sim) batch() []eventlog.Entry {
	var entries []eventlog.Entry
	for range 1 + s.pick(8, "events") {
		if len(s.sent) > 0 && s.pick(6, "duplicate") == 0 {
			old := s.sent[s.pick(len(s.sent), "of")]
			var keys map[string]any
			if err := json.Unmarshal(old.Event.Payload, &keys); err != nil {
				s.t.Fatalf("%v", err)
			}
			entries = append(entries, s.event(string(old.Event.ID), string(old.Event.Type), keys["user_id"], keys["shop"], keys["item_id"]))
			continue
		}
		kind := []string{"play", "play", "ping"}[s.pick(3, "type")]
		user := simUsers[s.pick(len(simUsers), "user")]
		item, err := simItems[s.pick(len(simItems), "item")].Split(2)
		if err != nil {
			s.t.Fatalf("%v", err)
		}
		// Ids in no order: they break ties.
		id := fmt.Sprintf("%c-%d-%d", 'a'+rune(s.pick(26, "letter")), len(s.sent), len(entries))
		entries = append(entries, s.event(id, kind, user, item[0], item[1]))
	}
	return entries
}

// event makes an entry as the door would: decoded, corrected, clamped.
func (s *sim) event(id, kind string, user, shop, item any) eventlog.Entry {
	now := s.clock.Load()
	step := []int64{1, 500, 1000, 30_000, 300_000, 3_600_000}[s.pick(6, "far")]
	at := now + step*int64(s.pick(24, "steps")-20) // some would be in the future, and are clamped
	e := map[string]any{"event_id": id, "type": kind, "user_id": user, "event_time": at}
	if s.pick(5, "clock is wrong") == 0 {
		e["sent_time"] = now + int64(s.pick(7_200_000, "by"))
	}
	maybe := func(name string, value any) {
		if s.pick(5, "no "+name) > 0 {
			e[name] = value
		}
	}
	maybe("level", s.pick(9, "level")-4)
	if kind == "play" {
		e["shop"], e["item_id"] = shop, item
		maybe("x", []float64{0.1, -0.1, 0.3, 1e15, -1e15, 1e-9, 7, 1.0 / 3}[s.pick(8, "x")])
		maybe("tag", []string{"a", "b", "", "é"}[s.pick(4, "tag")])
		maybe("done", s.pick(2, "done") == 0)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	rec := s.rel.Project().Schema.NewRecord()
	if err := s.rel.Project().Schema.Decode(raw, freshet.Timestamp(now), rec); err != nil {
		s.t.Fatalf("%s: %v", raw, err)
	}
	entry := eventlog.Entry{Event: freshet.Event{ID: rec.ID, Type: rec.Type, EventTime: rec.EventTime, IngestTime: rec.IngestTime, Payload: raw}}
	for _, kind := range s.rel.Kinds(rec.Type) {
		if key, ok := rec.Key(kind); ok {
			entry.Entities = append(entry.Entities, freshet.Entity{Kind: kind, Key: key})
		}
	}
	return entry
}

// send appends entries, which may have been appended before a crash, and notes what is new.
func (s *sim) send(entries []eventlog.Entry) {
	s.t.Helper()
	got, err := s.log.Append(context.Background(), entries)
	if err != nil {
		s.t.Fatalf("append: %v", err)
	}
	s.note(entries, got)
}

func (s *sim) note(entries []eventlog.Entry, got []eventlog.Appended) {
	s.t.Helper()
	before := len(s.sent)
	defer func() { s.did("%d of %d events are new", len(s.sent)-before, len(entries)) }()
	for i, e := range entries {
		known := false
		for _, old := range s.sent {
			known = known || old.Event.ID == e.Event.ID
		}
		if got != nil && got[i].Duplicate != known {
			s.t.Fatalf("event %s: duplicate %t", e.Event.ID, got[i].Duplicate)
		}
		if known {
			continue
		}
		s.sent = append(s.sent, e)
		for _, entity := range e.Entities {
			p := freshet.PartitionOf(entity.Key)
			rec := s.rel.Project().Schema.NewRecord()
			if err := s.rel.Project().Schema.DecodeEvent(&e.Event, rec); err != nil {
				s.t.Fatalf("%v", err)
			}
			s.about[entity] = append(s.about[entity], feature.HistoricEvent{Record: rec, MaxEventTime: s.largest[p]})
			s.largest[p] = max(s.largest[p], e.Event.EventTime)
			s.partitions[p] = append(s.partitions[p], simRecord{e.Event, entity})
		}
	}
}

// crash lets the power fail while a request is under way. Whether its events were kept is not known; they are sent again.
func (s *sim) crash() {
	s.t.Helper()
	entries := s.batch()
	after, ok := s.stores.cut(func() {
		if _, err := s.log.Append(context.Background(), entries); err != nil {
			s.t.Fatalf("append: %v", err)
		}
	})
	if !ok {
		s.send(entries)
		return
	}
	s.did("the power fails; after the acknowledgement: %t", after)
	s.stop() // what it still does is lost
	s.start()
	got, err := s.log.Append(context.Background(), entries)
	if err != nil {
		s.t.Fatalf("append again: %v", err)
	}
	for i := range got {
		if after && !got[i].Duplicate {
			s.t.Fatalf("event %s was acknowledged before the power failed, and is lost", entries[i].Event.ID)
		}
	}
	s.note(entries, nil)
}

// caughtUp waits until the rows have all events.
func (s *sim) caughtUp() {
	s.t.Helper()
	for p := range freshet.Partition(freshet.Partitions) {
		if err := s.features.Wait(context.Background(), p, s.log.Head(p)); err != nil {
			s.t.Fatalf("wait: %v", err)
		}
	}
}

// check compares all features of one entity at a moment with brute force.
func (s *sim) check() {
	s.t.Helper()
	e := freshet.Entity{Kind: "user", Key: simUsers[s.pick(len(simUsers), "user")]}
	if s.pick(3, "an item") == 0 {
		e = freshet.Entity{Kind: "item", Key: simItems[s.pick(len(simItems), "item")]}
	}
	at := freshet.Timestamp(s.clock.Load())
	if s.pick(2, "another moment") == 0 {
		at = at.Add(time.Duration(s.pick(6*3600_000, "moment")-3*3600_000) * time.Millisecond)
	}
	s.caughtUp()
	s.compare(e, at, s.pick(3, "known") == 0)
}

func (s *sim) compare(e freshet.Entity, at freshet.Timestamp, known bool) {
	s.t.Helper()
	var views []*feature.View
	var want []expression.Value
	for _, v := range s.rel.Project().Views {
		if v.Entity() != e.Kind {
			continue
		}
		views = append(views, v)
		var err error
		if want, err = v.Compute(v.NewScratch(), s.about[e], at, known, want); err != nil {
			s.t.Fatalf("%v", err)
		}
	}
	got, err := reader.New(s.features, s.log).Values(context.Background(), s.rel, views, e.Key, at, known, nil)
	if err != nil {
		s.t.Fatalf("%s at %s: %v", e, at, err)
	}
	i := 0
	for _, v := range views {
		for _, f := range v.Features() {
			if !identical(got[i], want[i]) {
				s.t.Fatalf("%s.%s of %s at %s (known %t) is %s, the %d events give %s", v.Name(), f.Name, e, at, known,
					got[i].AppendJSON(nil), len(s.about[e]), want[i].AppendJSON(nil))
			}
			i++
		}
	}
}

// identical compares bit for bit.
func identical(a, b expression.Value) bool {
	return a.Kind == b.Kind && math.Float64bits(a.Num) == math.Float64bits(b.Num) && bytes.Equal(a.AppendJSON(nil), b.AppendJSON(nil))
}

// end expects that everything is there, once, and that every job has ended.
func (s *sim) end() {
	s.t.Helper()
	s.caughtUp()
	for e := range s.about {
		now := freshet.Timestamp(s.clock.Load())
		s.compare(e, now, false)
		s.compare(e, now.Add(90*time.Second), false)
		s.compare(e, now.Add(-20*time.Minute), true)
	}
	last := s.checkLog()
	for user, of := range last {
		s.checkPrediction(user, of)
	}
	if stats := s.jobs.Stats(); stats.Queued+stats.Leased+stats.Dead > 0 {
		s.t.Fatalf("jobs have not ended: %+v", stats)
	}
	s.stop()
	if err := s.offline.Close(); err != nil {
		s.t.Fatalf("%v", err)
	}
}

// simLast is the last play of a user.
type simLast struct {
	id    freshet.EventID
	place freshet.Place
	plays int
}

// checkLog reads the log from its beginning: it holds what was acknowledged, in that order, each once and with its first content.
func (s *sim) checkLog() map[freshet.Entity]simLast {
	s.t.Helper()
	last := map[freshet.Entity]simLast{}
	for p := range freshet.Partition(freshet.Partitions) {
		want, largest, n := s.partitions[p], freshet.Timestamp(0), 0
		for r, err := range s.log.Scan(context.Background(), p, eventlog.Scan{From: 1}) {
			if err != nil {
				s.t.Fatalf("partition %d: %v", p, err)
			}
			if n == len(want) {
				s.t.Fatalf("partition %d has more than the %d events that were acknowledged: %s", p, n, r.Event.ID)
			}
			w := want[n]
			n++
			if r.Event.ID != w.event.ID || r.Entity != w.entity || r.Event.EventTime != w.event.EventTime || r.Event.IngestTime != w.event.IngestTime ||
				!bytes.Equal(r.Event.Payload, w.event.Payload) || r.MaxEventTime != largest || r.Offset != freshet.Offset(n) {
				s.t.Fatalf("partition %d, offset %d: %+v, expected %+v after %s", p, n, r, w, largest)
			}
			largest = max(largest, r.Event.EventTime)
			if r.Entity.Kind == "user" && r.Event.Type == "play" {
				last[r.Entity] = simLast{r.Event.ID, freshet.Place{Partition: p, Offset: r.Offset}, last[r.Entity].plays + 1}
			}
		}
		if n != len(want) {
			s.t.Fatalf("partition %d has %d events, %d were acknowledged", p, n, len(want))
		}
	}
	return last
}

// checkPrediction expects that the newest prediction of a user was caused by the last play, sees all plays once, and was
// made by the release that it names.
func (s *sim) checkPrediction(user freshet.Entity, last simLast) {
	s.t.Helper()
	ctx := context.Background()
	state, err := s.jobs.Wait(ctx, jobqueue.Subject{Pipeline: "risk", Entity: user}, s.log.Head(last.place.Partition))
	if err != nil || state != jobqueue.Ended {
		s.t.Fatalf("the jobs of %s: %v, %v", user, state, err)
	}
	p, err := s.predictions.GetExplained(ctx, user, "risk")
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	base, known := simBases[p.Release]
	if !known || p.EventID != last.id || p.Cause != last.place || p.Explanation.Inputs[0][0] != float64(last.plays) ||
		p.Items[0].Score != base+float64(last.plays) || strings.TrimSpace(p.Model) == "" {
		s.t.Fatalf("the prediction of %s is %+v, made from %v; the last of %d plays is %s at %v", user, p, p.Explanation, last.plays, last.id, last.place)
	}
}
