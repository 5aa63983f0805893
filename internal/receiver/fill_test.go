package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/diskfeatures"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/reader"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
)

// Releases that share views, change them, and declare events that decode to other slots.
var releases = []string{`
project: test
entities: { user: { key: user_id } }
events: { play: { keys: [user_id], fields: { seconds: float } } }
views:
  life: { entity: user, from: play, window: lifetime, features: { n: count(), s: sum(seconds) } }
  visit: { entity: user, from: play, window: session 30m, features: { n: count(), last: "last(seconds, 3)" } }
`, `
project: test
entities: { user: { key: user_id } }
events: { play: { keys: [user_id], fields: { seconds: float } } }
views:
  life: { entity: user, from: play, window: lifetime, features: { n: count(), s: sum(seconds) } }
  hours: { entity: user, from: play, window: [sliding 1h, sliding 10m], features: { n: count(), m: mean(seconds) } }
`, `
project: test
entities: { user: { key: user_id } }
events: { stop: { keys: [user_id] }, play: { keys: [user_id], fields: { more: string, seconds: float } } }
views:
  life: { entity: user, from: play, window: lifetime, features: { n: count(), s: sum(seconds) } }
  visit: { entity: user, from: play, where: seconds > 3, window: session 30m, features: { n: count(), last: "last(seconds, 3)" } }
  recent: { entity: user, from: play, window: last 4, features: { all: "last(seconds, 4)", d: distinct(seconds) } }
`}

func openRelease(t *testing.T, text string, i int) *release.Opened {
	t.Helper()
	p, err := project.Parse("freshet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	rel, err := release.Open(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	rel.Name(freshet.ReleaseID(fmt.Sprint("r", i)), 0)
	return rel
}

// mortal is a driver that takes nothing any more once it is dead: what a process that is killed has still done.
type mortal struct {
	featurestore.Driver
	dead atomic.Bool
}

var errDead = errors.New("killed")

func (m *mortal) Apply(ctx context.Context, p freshet.Partition, e freshet.Epoch, through freshet.Offset, rows []freshet.Row) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Driver.Apply(ctx, p, e, through, rows)
}

func (m *mortal) Checkpoint(ctx context.Context, p freshet.Partition, e freshet.Epoch, views []freshet.ViewID, filled []featurestore.Filled) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Driver.Checkpoint(ctx, p, e, views, filled)
}

func (m *mortal) Drop(ctx context.Context, p freshet.Partition, e freshet.Epoch, keep []freshet.ViewID) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Driver.Drop(ctx, p, e, keep)
}

// world is a receiver that is killed and started again over what it has left behind.
type world struct {
	*bench
	r      *rand.Rand
	driver featurestore.Driver
	mortal *mortal
	opened []*release.Opened
	users  []string
	kill   func()
}

func newWorld(t *testing.T, seed uint64, driver featurestore.Driver) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 7)), driver: driver}
	w.bench = &bench{t: t, log: eventlog.New(memlog.New(nil)), jobs: jobqueue.New(memqueue.New(), nil), live: &release.Live{}}
	for i, text := range releases {
		w.opened = append(w.opened, openRelease(t, text, i))
	}
	for i := range 6 {
		w.users = append(w.users, fmt.Sprint("u", i))
	}
	w.live.Store(w.opened[0])
	return w
}

func (w *world) start() {
	w.mortal = &mortal{Driver: w.driver}
	w.features = featurestore.New(w.mortal)
	ctx, cancel := context.WithCancel(w.t.Context())
	w.receiver = New(w.log, w.features, w.jobs, w.live, Options{
		CheckpointEvery: time.Duration(1+w.r.IntN(3000)) * time.Millisecond, CheckpointRows: 1 + w.r.IntN(40), BatchEvents: 1 + w.r.IntN(20),
		FillEvents: 1 + w.r.IntN(8), Fills: 1 + w.r.IntN(3), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	ended := make(chan error, 1)
	receiver := w.receiver
	go func() { ended <- receiver.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	}
	w.kill = func() {
		w.mortal.dead.Store(true)
		cancel()
		<-ended
	}
}

// event sends one whose time may lie long ago.
func (w *world) event() {
	w.ids++
	now := freshet.TimestampOf(time.Now())
	at := now
	if w.r.IntN(3) == 0 {
		at = now.Add(-time.Duration(w.r.IntN(7200)) * time.Second)
	}
	u := w.users[w.r.IntN(len(w.users))]
	_, err := w.log.Append(w.t.Context(), []eventlog.Entry{{
		Event: freshet.Event{
			ID: freshet.EventID(fmt.Sprint("e", w.ids)), Type: "play", EventTime: at, IngestTime: now,
			Payload: fmt.Appendf(nil, `{"type":"play","user_id":%q,"seconds":%v}`, u, float64(w.r.IntN(100))/8),
		},
		Entities: []freshet.Entity{{Kind: "user", Key: freshet.Key(u)}},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// roles draws which releases are open and what for.
func (w *world) roles() {
	draw := func() *release.Opened {
		if i := w.r.IntN(len(w.opened) + 1); i < len(w.opened) {
			return w.opened[i]
		}
		return nil
	}
	err := w.live.Update(func(r release.Roles) (release.Roles, error) {
		switch w.r.IntN(3) {
		case 0: // cancel, or prepare another
			r.Preparing = draw()
		case 1: // switch, forwards or back
			r.Live, r.Former = w.opened[w.r.IntN(len(w.opened))], r.Live
		case 2:
			r.Former = nil
		}
		return r, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// check compares the rows of every view of every open release with what its events say, bit for bit.
func (w *world) check() {
	w.t.Helper()
	set := w.live.Set()
	var ids []freshet.ViewID
	for _, v := range set.Views() {
		ids = append(ids, v.ID())
	}
	if err := w.receiver.AwaitFilled(w.t.Context(), ids); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
	if f, err := w.receiver.Fill(ids); !f.Done() || f.Events != f.Total || err != nil {
		w.t.Fatalf("fill %+v, %v", f, err)
	}
	if n := w.receiver.Recovering(); n != 0 {
		w.t.Fatalf("%d partitions recover", n)
	}
	read := reader.New(w.features, w.log)
	now := freshet.TimestampOf(time.Now())
	for _, rel := range set.Open() {
		for _, v := range rel.Project().Views {
			for _, u := range w.users {
				got, err := read.Values(w.t.Context(), rel, []*feature.View{v}, freshet.Key(u), now, false, nil)
				want, errWant := read.Values(w.t.Context(), rel, []*feature.View{v}, freshet.Key(u), now, true, nil)
				if err != nil || errWant != nil || !reflect.DeepEqual(got, want) {
					w.t.Fatalf("%s of %s in %s: rows say %v (%v), events %v (%v)", v.Name(), u, rel.ID(), got, err, want, errWant)
				}
			}
		}
	}
}

// TestRowsEqualTheEventsWhateverIsOpened draws events, late ones too, releases that come and go, kills and drops, and
// compares all rows with brute force.
func TestRowsEqualTheEventsWhateverIsOpened(t *testing.T) {
	t.Parallel()
	for name, driver := range map[string]func(t *testing.T) featurestore.Driver{
		"memory": func(*testing.T) featurestore.Driver { return memfeatures.New() },
		"disk": func(t *testing.T) featurestore.Driver {
			db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			return diskfeatures.New(db, &diskfeatures.Options{HotBytes: 64 << 10})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 3 {
				seed := rand.Uint64()
				d := driver(t) // outside the bubble: it has goroutines of its own
				synctest.Test(t, func(t *testing.T) {
					t.Logf("seed %d", seed)
					history(newWorld(t, seed, d))
				})
			}
		})
	}
}

func history(w *world) {
	w.start()
	for range 80 {
		switch w.r.IntN(13) {
		case 0:
			w.roles()
		case 1:
			w.kill()
			if w.r.IntN(2) == 0 {
				w.roles() // a changed project at a restart
			}
			w.start()
		case 2:
			w.receiver.DropUnused()
		case 12: // away, dropped, and back
			w.live.Store(w.opened[0])
			synctest.Wait()
			w.receiver.DropUnused()
			synctest.Wait()
			w.live.Store(w.opened[1+w.r.IntN(2)])
		case 3:
			time.Sleep(time.Duration(w.r.IntN(1200)) * time.Second)
		case 4:
			w.check()
		default:
			for range w.r.IntN(12) {
				w.event()
			}
		}
		if w.r.IntN(4) == 0 {
			synctest.Wait()
		}
	}
	w.check()
	w.stop()
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
