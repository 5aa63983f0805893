package release

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/freshet-ml/freshet"
)

// Roles say which releases are open, and what each is for. A nil one is not filled; one release may have several.
type Roles struct {
	Live      *Opened // serves everybody whom the candidate does not
	Candidate *Opened // serves Share of the entities
	Share     float64 // of the candidate, 0 … 1
	Former    *Opened // serves nobody and is fed: a way back without a wait
	Shadow    *Opened // predicts beside the others, for nobody to see
	Preparing *Opened // serves nobody: its views are filled beside the others', in small steps
	// Withdrawn are releases, open or not, that have served somebody and were taken back: what they predicted is served no more. It is not
	// changed afterwards.
	Withdrawn map[freshet.ReleaseID]bool
}

// list is each release that has a role, once.
func (r Roles) list() []*Opened {
	var all []*Opened
	for _, o := range []*Opened{r.Live, r.Candidate, r.Former, r.Shadow, r.Preparing} {
		if o != nil && !slices.Contains(all, o) {
			all = append(all, o)
		}
	}
	return all
}

// Live holds the releases that are open. All that can be reached of them is reached by one load of one pointer, to an
// immutable Set. The zero Live is ready to use; all methods may be called concurrently.
//
// A request, a job or a batch of events pins the one release that serves it with Pin, PinCandidate or PinJob, reaches everything
// through it, and gives it back with Unpin. A release that has lost its last role stays open and fed until the last pin of it is gone; then
// it is closed, and whoever asked with OnRetired is told.
type Live struct {
	set     atomic.Pointer[Set]
	mu      sync.Mutex // of changes
	changed []*subscription
	retired func(o *Opened, err error)
}

type subscription struct{ f func() }

// Set is what is open now. What it leads to may be closed at any time unless it is pinned: see Set.
func (l *Live) Set() *Set {
	if s := l.set.Load(); s != nil {
		return s
	}
	return &nothing
}

// Load is the live release, nil before the first. It is not pinned: its manifest and project may be read, no more.
func (l *Live) Load() *Opened { return l.Set().roles.Live }

// Pin is the live release, nil before the first. Unpin gives it back.
func (l *Live) Pin() *Opened {
	for {
		// A pin can fail only if the release has left the set since it was loaded.
		if o := l.Load(); o == nil || o.Pin() {
			return o
		}
	}
}

// PinJob is the release that runs a job of pipeline for the entity with key: the one that serves the entity, or, if that
// does not know the pipeline, another open one that does and that may have made the job before a switch. Nil before the first release. Unpin
// gives it back.
func (l *Live) PinJob(key freshet.Key, pipeline freshet.PipelineName) *Opened {
	for {
		if o := l.Set().forJob(key, pipeline); o == nil || o.Pin() {
			return o
		}
	}
}

// PinCandidate is the release that serves a share of the entities, nil if there is none. Unpin gives it back.
func (l *Live) PinCandidate() *Opened {
	for {
		if o := l.Set().roles.Candidate; o == nil || o.Pin() {
			return o
		}
	}
}

// PinShadow is the release that predicts in the shadow, nil if there is none. Unpin gives it back.
func (l *Live) PinShadow() *Opened {
	for {
		if o := l.Set().roles.Shadow; o == nil || o.Pin() {
			return o
		}
	}
}

// Store makes o the only release; nil takes all roles away. o must not be closed.
func (l *Live) Store(o *Opened) {
	if err := l.Update(func(Roles) (Roles, error) { return Roles{Live: o}, nil }); err != nil {
		panic(err)
	}
}

// Update changes the roles. Those who pin see the roles before or those after, never a mix; nobody waits. A release gets its first role while its
// opener still holds it, and may be closed by its opener at once: a role keeps it open. The error is change's own, or
// FailedPrecondition for a release that is closed already.
func (l *Live) Update(change func(Roles) (Roles, error)) error {
	leaving, err := l.update(change)
	// Not under the lock: the last pin's end comes back to retire.
	for _, o := range leaving {
		o.Unpin()
	}
	return err
}

func (l *Live) update(change func(Roles) (Roles, error)) (leaving []*Opened, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.Set()
	roles, err := change(old.roles)
	if err != nil {
		return nil, err
	}
	before, after := old.roles.list(), roles.list()
	var entered []*Opened
	for _, o := range after {
		if slices.Contains(before, o) {
			continue
		}
		if !o.Pin() {
			for _, o := range entered {
				o.refs.Add(-1) // not the last one: the opener or a job holds it
			}
			return nil, freshet.Errorf(freshet.PreconditionFailed, "release %s is closed already; open it again", o.ID())
		}
		entered = append(entered, o)
	}
	draining := slices.DeleteFunc(slices.Clone(old.draining), func(o *Opened) bool { return slices.Contains(after, o) })
	for _, o := range before {
		if !slices.Contains(after, o) {
			leaving = append(leaving, o)
			draining = append(draining, o)
		}
	}
	for _, o := range entered {
		o.onFree(l, l.retire)
	}
	l.publish(newSet(roles, draining))
	return leaving, nil
}

// publish makes s what is open. The caller holds mu.
func (l *Live) publish(s *Set) {
	l.set.Store(s)
	for _, c := range l.changed {
		c.f()
	}
}

// retire is called when the last pin of o is gone.
func (l *Live) retire(o *Opened, err error) {
	l.mu.Lock()
	old := l.Set()
	l.publish(newSet(old.roles, slices.DeleteFunc(slices.Clone(old.draining), func(d *Opened) bool { return d == o })))
	retired := l.retired
	l.mu.Unlock()
	if retired != nil {
		retired(o, err)
	}
}

// Subscribe has f called after each change, until stop. f must not wait and must not call Live's methods that change it.
func (l *Live) Subscribe(f func()) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &subscription{f}
	l.changed = append(l.changed, s)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.changed = slices.DeleteFunc(l.changed, func(c *subscription) bool { return c == s })
	}
}

// OnRetired has f called for each release that is closed because its last role and its last pin are gone, with the error
// of closing its models. Its views, as far as no other release has them, are not fed any more: their rows may be dropped.
func (l *Live) OnRetired(f func(o *Opened, err error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retired = f
}
