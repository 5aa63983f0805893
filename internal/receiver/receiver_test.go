package receiver

import (
	"context"
	"fmt"
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
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
)

const plays = `
project: test
entities: { user: { key: user_id } }
events: { play: { keys: [user_id], fields: { seconds: float } } }
views:
  life: { entity: user, from: play, window: lifetime, features: { n: count(), s: sum(seconds) } }
`

// bench is a receiver over memory drivers, in a bubble.
type bench struct {
	t        *testing.T
	log      *eventlog.Log
	features *featurestore.Store
	jobs     *jobqueue.Queue
	live     *release.Live
	receiver *Receiver
	stop     func()
	ids      int
}

func newBench(t *testing.T, text string) *bench {
	b := &bench{t: t, log: eventlog.New(memlog.New(nil)), features: featurestore.New(memfeatures.New()), jobs: jobqueue.New(memqueue.New(), nil), live: &release.Live{}}
	b.deploy(text)
	b.start()
	return b
}

func (b *bench) deploy(text string) {
	b.t.Helper()
	p, err := project.Parse("freshet.yaml", []byte(text))
	if err != nil {
		b.t.Fatal(err)
	}
	rel, err := release.Open(p, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.live.Store(rel)
}

func (b *bench) start() { b.startWith(Options{}) }

func (b *bench) startWith(o Options) {
	ctx, cancel := context.WithCancel(b.t.Context())
	b.receiver = New(b.log, b.features, b.jobs, b.live, o)
	ended := make(chan error, 1)
	go func() { ended <- b.receiver.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	}
}

// play sends an event of user u and returns its place.
func (b *bench) play(u string, seconds float64) freshet.Place {
	b.t.Helper()
	return b.send(u, fmt.Appendf(nil, `{"type":"play","user_id":%q,"seconds":%v}`, u, seconds))
}

// say sends an event of user u with a text.
func (b *bench) say(u, text string) freshet.Place {
	b.t.Helper()
	return b.send(u, fmt.Appendf(nil, `{"type":"play","user_id":%q,"text":%q}`, u, text))
}

func (b *bench) send(u string, payload []byte) freshet.Place {
	b.t.Helper()
	b.ids++
	now := freshet.TimestampOf(time.Now())
	got, err := b.log.Append(b.t.Context(), []eventlog.Entry{{
		Event: freshet.Event{
			ID: freshet.EventID(fmt.Sprint("e", b.ids)), Type: "play", EventTime: now, IngestTime: now,
			Payload: payload,
		},
		Entities: []freshet.Entity{{Kind: "user", Key: freshet.Key(u)}},
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	return got[0].Places[0]
}

// want compares all features of a view for user u, now.
func (b *bench) want(view freshet.ViewName, u string, values ...float64) {
	b.t.Helper()
	synctest.Wait()
	rel := b.live.Load()
	v, _ := rel.View(view)
	got, err := reader.New(b.features, b.log).Values(b.t.Context(), rel, viewsOf(v), freshet.Key(u), freshet.TimestampOf(time.Now()), false, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for i, x := range values {
		if got[i].Kind != expression.Number || got[i].Num != x {
			b.t.Errorf("%s of %s: %v, want %v", view, u, got, values)
			return
		}
	}
}

func TestRowsFollowTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, plays)
		b.play("u1", 5)
		b.play("u2", 7)
		b.play("u1", 0.5)
		b.want("life", "u1", 2, 5.5)
		b.want("life", "u2", 1, 7)
		b.want("life", "u3", 0, 0)
		if n := b.receiver.Recovering(); n != 0 {
			t.Errorf("%d partitions recover", n)
		}
		b.stop()
	})
}

func TestCheckpointsAreTakenAndReplayIsANoOp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, plays)
		place := b.play("u1", 5)
		synctest.Wait()
		stream := func() Stream { return b.receiver.Streams()[place.Partition] }
		if s := stream(); s.Applied != 1 || s.Checkpoint != 0 {
			t.Fatalf("applied %d, checkpoint %d at once, want 1 and 0", s.Applied, s.Checkpoint)
		}
		time.Sleep(b.receiver.o.CheckpointEvery)
		synctest.Wait()
		if s := stream(); s.Checkpoint != 1 {
			t.Fatalf("checkpoint %d when one was due, want 1", s.Checkpoint)
		}
		b.play("u1", 6) // after the checkpoint: taken again by the next owner
		synctest.Wait()
		old := b.receiver
		lost, cancel := context.WithCancel(t.Context())
		cancel()
		_ = old.Run(lost) // a second owner takes the epoch; the first must fail, not write
		b.play("u1", 7)
		synctest.Wait()
		b.start()
		b.want("life", "u1", 3, 18)
		b.stop()
	})
}

const jobs = plays + `
  long: { entity: user, from: play, window: last 2, features: { recent: "last(seconds, 2)", total: sum(seconds) } }
`

func TestANewViewIsFilledFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, plays)
		for i := range 10 {
			b.play("u1", float64(i))
			time.Sleep(time.Minute)
		}
		b.want("life", "u1", 10, 45)
		b.stop()
		b.deploy(jobs)
		b.start()
		b.want("life", "u1", 10, 45)
		synctest.Wait()
		rel := b.live.Load()
		v, _ := rel.View("long")
		got, err := reader.New(b.features, b.log).Values(t.Context(), rel, viewsOf(v), "u1", freshet.TimestampOf(time.Now()), false, nil)
		if err != nil || got[1].Num != 17 {
			t.Errorf("the new view: %v, %v, want a total of 17", got, err)
		}
		b.stop()
	})
}

func TestAnEventThatTheReleaseCannotReadDoesNotStopThePartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, plays)
		now := freshet.TimestampOf(time.Now())
		_, err := b.log.Append(t.Context(), []eventlog.Entry{{
			Event:    freshet.Event{ID: "bad", Type: "play", EventTime: now, IngestTime: now, Payload: []byte(`{"type":"play","user_id":"u1","seconds":"long"}`)},
			Entities: []freshet.Entity{{Kind: "user", Key: "u1"}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		place := b.play("u1", 5)
		b.want("life", "u1", 1, 5)
		if s := b.receiver.Streams()[place.Partition]; s.Unreadable != 1 || s.LastError == "" {
			t.Errorf("unreadable %d, error %q", s.Unreadable, s.LastError)
		}
		b.stop()
	})
}

func viewsOf(v *feature.View) []*feature.View { return []*feature.View{v} }
