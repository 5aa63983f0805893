package release_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
)

const one = `
project: test
entities: { user: { key: user_id } }
events: { play: { keys: [user_id], fields: { seconds: float } } }
views:
  life: { entity: user, from: play, window: lifetime, features: { n: count() } }
`

const two = one + `
  long: { entity: user, from: play, window: last 2, features: { total: sum(seconds) } }
`

// three declares events that decode to other slots, and needs another entity.
const three = `
project: test
entities: { user: { key: user_id }, item: { key: item_id } }
events: { play: { keys: [user_id, item_id], fields: { seconds: float } } }
views:
  life: { entity: user, from: play, window: lifetime, features: { n: count() } }
  popular: { entity: item, from: play, window: lifetime, features: { n: count() } }
`

func open(t testing.TB, text string, id freshet.ReleaseID) *release.Opened {
	t.Helper()
	p, err := project.Parse("freshet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o, err := release.Open(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Name(id, 0)
	return o
}

func update(t testing.TB, l *release.Live, r release.Roles) {
	t.Helper()
	if err := l.Update(func(release.Roles) (release.Roles, error) { return r, nil }); err != nil {
		t.Fatal(err)
	}
}

func TestAReleaseIsClosedWhenItsLastPinIsGone(t *testing.T) {
	t.Parallel()
	l := &release.Live{}
	if l.Pin() != nil || l.PinCandidate() != nil || l.PinJob("u", "p") != nil || l.PinShadow() != nil || l.Set().For("u") != nil {
		t.Fatal("there is a release before the first")
	}
	var retired []freshet.ReleaseID
	l.OnRetired(func(o *release.Opened, err error) { retired = append(retired, o.ID()) })
	r1, r2 := open(t, one, "r1"), open(t, two, "r2")
	update(t, l, release.Roles{Live: r1})
	for range 2 { // the opener's hold, once
		if err := r1.Close(); err != nil {
			t.Fatal(err)
		}
	}
	job := l.Pin()
	if job != r1 {
		t.Fatal("another release is live")
	}
	update(t, l, release.Roles{Live: r2, Former: r1})
	update(t, l, release.Roles{Live: r2})
	if len(retired) != 0 || len(l.Set().Open()) != 2 || len(l.Set().Views()) != 2 {
		t.Fatalf("retired %v, %d open: a job still works with r1", retired, len(l.Set().Open()))
	}
	if again := l.Pin(); again != r2 {
		t.Fatal("r1 still serves")
	} else {
		again.Unpin()
	}
	job.Unpin()
	if len(retired) != 1 || retired[0] != "r1" || len(l.Set().Open()) != 1 {
		t.Fatalf("retired %v, %d open", retired, len(l.Set().Open()))
	}
	err := l.Update(func(r release.Roles) (release.Roles, error) { r.Former = r1; return r, nil })
	if freshet.CodeOf(err) != freshet.PreconditionFailed || l.Set().Roles().Former != nil {
		t.Fatalf("a closed release gets a role: %v", err)
	}
	l.Store(nil)
	if len(retired) != 1 {
		t.Fatal("r2 is closed while its opener holds it")
	}
	if err := r2.Close(); err != nil || len(retired) != 2 {
		t.Fatalf("retired %v, %v", retired, err)
	}
}

func TestAReleaseThatComesBackWhileItDrainsStaysOpen(t *testing.T) {
	t.Parallel()
	l := &release.Live{}
	r1, r2 := open(t, one, "r1"), open(t, two, "r2")
	defer r2.Close()
	update(t, l, release.Roles{Live: r1})
	r1.Close()
	job := l.Pin()
	update(t, l, release.Roles{Live: r2})
	update(t, l, release.Roles{Live: r1, Former: r2})
	job.Unpin()
	if got := l.Pin(); got != r1 {
		t.Fatal("r1 does not serve")
	}
}

func TestTheCandidateServesItsShare(t *testing.T) {
	t.Parallel()
	l := &release.Live{}
	live, candidate := open(t, one, "r1"), open(t, two, "r2")
	const keys = 20000
	served := func(share float64) map[int]bool {
		update(t, l, release.Roles{Live: live, Candidate: candidate, Share: share})
		who := map[int]bool{}
		for i := range keys {
			if l.Set().For(freshet.Key(fmt.Sprint("user", i))) == candidate {
				who[i] = true
			}
		}
		return who
	}
	before := served(0)
	for _, share := range []float64{0, 0.01, 0.2, 0.7, 1} {
		who := served(share)
		if got := float64(len(who)) / keys; got < share-0.01 || got > share+0.01 {
			t.Errorf("share %v: %v", share, got)
		}
		for i := range before {
			if !who[i] {
				t.Fatalf("user %d is not served by the candidate any more when its share grows to %v", i, share)
			}
		}
		before = who
	}
}

func TestFeedsAreTheUnion(t *testing.T) {
	t.Parallel()
	l := &release.Live{}
	r1, r2, r3 := open(t, one, "r1"), open(t, two, "r2"), open(t, three, "r3")
	update(t, l, release.Roles{Live: r1, Former: r2, Preparing: r3})
	s := l.Set()
	if len(s.Views()) != 3 || len(s.Serving()) != 2 {
		t.Fatalf("%d views, %d serve; want 3 and 2", len(s.Views()), len(s.Serving()))
	}
	// life and long are fed from one decoding, life only once.
	if feeds := s.Feeds("play", "user"); len(feeds) != 1 || feeds[0].Release != r1 || len(feeds[0].ViewIDs) != 2 {
		t.Errorf("feeds of users: %+v", feeds)
	}
	if feeds := s.Feeds("play", "item"); len(feeds) != 1 || feeds[0].Release != r3 {
		t.Errorf("feeds of items: %+v", feeds)
	}
	if s.Decoder(r2) != r1 || s.Decoder(r3) != r3 {
		t.Error("r2 declares its events as r1 does, r3 does not")
	}
	kinds := s.Kinds("play")
	if len(kinds) != 2 || kinds[0].Release != r1 || kinds[0].Kinds[0] != "user" || kinds[1].Release != r3 || kinds[1].Kinds[0] != "item" {
		t.Errorf("kinds: %+v", kinds)
	}
}

// TestPinsUnderChange pins from many goroutines while the roles change: nobody ever holds a closed release.
func TestPinsUnderChange(t *testing.T) {
	t.Parallel()
	l := &release.Live{}
	open1 := func(i int) *release.Opened { return open(t, one, freshet.ReleaseID(fmt.Sprint("r", i))) }
	var mu sync.Mutex
	closed := map[*release.Opened]bool{}
	l.OnRetired(func(o *release.Opened, err error) {
		mu.Lock()
		defer mu.Unlock()
		closed[o] = true
	})
	first := open1(0)
	update(t, l, release.Roles{Live: first})
	first.Close()
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				o := l.PinJob(freshet.Key(fmt.Sprint(w, i)), "p")
				mu.Lock()
				bad := closed[o]
				mu.Unlock()
				o.Unpin()
				if bad {
					t.Error("pinned a closed release")
					return
				}
			}
		})
	}
	const switches = 100
	for i := range switches {
		next := open1(i + 1)
		update(t, l, release.Roles{Live: l.Load(), Candidate: next, Share: 0.5})
		next.Close()
		update(t, l, release.Roles{Live: next})
	}
	close(stop)
	workers.Wait()
	l.Store(nil)
	if len(closed) != switches+1 {
		t.Errorf("%d closed, want all %d", len(closed), switches+1)
	}
}

func BenchmarkPin(b *testing.B) {
	l := &release.Live{}
	l.Store(open(b, one, "r1"))
	for b.Loop() {
		l.PinJob("user-0012345", "p").Unpin()
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	l := &release.Live{}
	r1, r3 := open(t, one, "r1"), open(t, three, "r3")
	if gaps := release.Missing(l.Set(), r3); len(gaps) != 0 {
		t.Errorf("nothing has been taken yet, and yet it lacks %v", gaps)
	}
	update(t, l, release.Roles{Live: r1})
	gaps := release.Missing(l.Set(), r3)
	if len(gaps) != 1 || gaps[0].Type != "play" || gaps[0].Kind != "item" || len(gaps[0].Views) != 1 || gaps[0].Views[0] != "popular" {
		t.Errorf("gaps: %+v", gaps)
	}
	update(t, l, release.Roles{Live: r1, Former: r3})
	if gaps := release.Missing(l.Set(), r3); len(gaps) != 0 {
		t.Errorf("an open release needs them, and yet it lacks %v", gaps)
	}
}
