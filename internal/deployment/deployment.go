// Package deployment is a kit: what is decided about releases, as values. It folds the log of decisions into the state of all
// releases, says how a project differs from what is live, and judges a release beside the one that it is to follow. It is pure: it
// opens nothing, serves nothing and has no clock.
package deployment

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/registry"
)

// Kinds of entries about releases. Other kinds are folded elsewhere, by the same log.
const (
	KindDeploy   = "release.deploy"   // Order: a new release is asked for
	KindShadow   = "release.shadow"   // Change: it runs beside the others, for nobody to see
	KindCanary   = "release.canary"   // Change: it serves Share of the users
	KindLive     = "release.live"     // Change: it serves everybody
	KindRollback = "release.rollback" // Change: the former release serves everybody again
	KindFailed   = "release.failed"   // Change: the server took it back
	KindAborted  = "release.aborted"  // Change: somebody took it back
	KindRetired  = "release.retired"  // Change: the former release is not kept ready any more
)

// State is where a release is on its way.
type State string

// A release is Preparing first, and ends as Failed, Aborted or Retired.
const (
	Preparing State = "preparing" // its views are filled, its models tried: it serves nobody
	Shadow    State = "shadow"    // it predicts beside what serves; nobody sees it
	Canary    State = "canary"    // it serves a share of the users
	Live      State = "live"      // it serves everybody whom the canary does not
	Former    State = "former"    // it was live, and is kept ready for a rollback
	Retired   State = "retired"   // it was live
	Failed    State = "failed"    // it was taken back by the server
	Aborted   State = "aborted"   // it was taken back by somebody
)

// Ended tells whether the release is over: nothing brings it back but another deployment.
func (s State) Ended() bool { return s == Retired || s == Failed || s == Aborted }

// Order is what somebody has asked to go live: a release and how it is to get there. It never changes.
type Order struct {
	Release freshet.Release `json:"release"` // the manifest; Project and Models name blobs as well
	// Tables are the digests of the tables' files, which are blobs. Release.Tables are those of their content.
	Tables map[freshet.TableName]freshet.Digest `json:"tables,omitempty"`
	// Embedder is the digest of the word table that the project file names, which is a blob; "" if it names none.
	Embedder freshet.Digest            `json:"embedder,omitempty"`
	Versions map[freshet.ModelName]int `json:"versions,omitempty"`
	Shadow   float64                   `json:"shadow,omitempty"`       // share of the jobs that it runs beside; 0: none
	Canary   float64                   `json:"canary,omitempty"`       // share of the users; 0: everybody at once
	Bake     float64                   `json:"bake_seconds,omitempty"` // how long it is a canary
	Accept   []Guard                   `json:"accept,omitempty"`       // what is not looked at
}

// BakeTime is Bake as a duration.
func (o *Order) BakeTime() time.Duration { return time.Duration(o.Bake * float64(time.Second)) }

// Change is a step of a release.
type Change struct {
	Release freshet.ReleaseID `json:"release"`
	Share   float64           `json:"share,omitempty"` // of a canary or shadow
}

// Step is one decision about a release.
type Step struct {
	Revision registry.Revision
	At       freshet.Timestamp
	Actor    string
	Reason   string
	State    State // after it
}

// because is the step of a release that another one takes the place of.
func (s Step) because(other freshet.ReleaseID) Step {
	reason := string(other) + " is live"
	if s.Reason != "" {
		reason += ": " + s.Reason
	}
	s.Reason = reason
	return s
}

// Release is a release and what became of it.
type Release struct {
	Order
	State   State
	Share   float64 // of a canary or shadow
	History []Step  // the first is the deployment
	// Withdrawn tells that it has served somebody and was taken back, or rolled back: what it predicted then is not good any more.
	Withdrawn bool
}

// ID is the release's name.
func (r *Release) ID() freshet.ReleaseID { return r.Order.Release.ID }

// Since is the last step.
func (r *Release) Since() Step { return r.History[len(r.History)-1] }

// Releases is the state of all releases: what the log amounts to so far. The zero Releases has none. It is never changed: Apply
// gives a new one.
type Releases struct {
	All       []*Release        // by number, from 1 without a gap
	Requested freshet.ReleaseID // that was last asked to serve
	Live      freshet.ReleaseID // that serves; "" before the first
	Former    freshet.ReleaseID // to which a rollback leads; "" if there is none
	Candidate freshet.ReleaseID // on its way to be live: preparing, shadow or canary; "" if there is none
}

// Release finds a release by name; nil if there is none.
func (r Releases) Release(id freshet.ReleaseID) *Release {
	n, ok := number(id)
	if !ok || n < 1 || n > len(r.All) {
		return nil
	}
	return r.All[n-1]
}

// Withdrawn are the releases whose predictions are not good any more.
func (r Releases) Withdrawn() map[freshet.ReleaseID]bool {
	withdrawn := map[freshet.ReleaseID]bool{}
	for _, x := range r.All {
		if x.Withdrawn {
			withdrawn[x.ID()] = true
		}
	}
	return withdrawn
}

// Next is the name of the next release.
func (r Releases) Next() freshet.ReleaseID { return name(len(r.All) + 1) }

func name(n int) freshet.ReleaseID { return freshet.ReleaseID("r" + strconv.Itoa(n)) }

// number is the n of "rn".
func number(id freshet.ReleaseID) (int, bool) {
	if len(id) < 2 || id[0] != 'r' {
		return 0, false
	}
	n, err := strconv.Atoi(string(id[1:]))
	return n, err == nil && name(n) == id
}

// Apply gives the state after e, for registry.Follow. Entries of other kinds change nothing. Returns the error of the
// decision that could never have been taken.
func Apply(r Releases, e registry.Entry) (Releases, error) {
	step := Step{Revision: e.Revision, At: e.At, Actor: e.Actor, Reason: e.Reason}
	switch e.Kind {
	case KindDeploy:
		var o Order
		if err := e.Decode(&o); err != nil {
			return r, err
		}
		return r.deploy(o, step)
	case KindShadow, KindCanary, KindLive, KindRollback, KindFailed, KindAborted, KindRetired:
		var c Change
		if err := e.Decode(&c); err != nil {
			return r, err
		}
		return r.change(e.Kind, c, step)
	}
	return r, nil
}

func (r Releases) deploy(o Order, step Step) (Releases, error) {
	if err := r.Free(); err != nil {
		return r, err
	}
	if want := r.Next(); o.Release.ID != want {
		return r, freshet.FieldErrorf(freshet.InvalidArgument, "release", "release: %.80q cannot be the next; expected %s", string(o.Release.ID), want)
	}
	step.State = Preparing
	next := r
	next.All = append(slices.Clip(r.All), &Release{Order: o, State: Preparing, History: []Step{step}})
	next.Candidate, next.Requested = o.Release.ID, o.Release.ID
	return next, nil
}

// Free returns Conflict, with what to do, while a release is on its way: one goes at a time.
func (r Releases) Free() error {
	c := r.Release(r.Candidate)
	if c == nil {
		return nil
	}
	next := fmt.Sprintf("wait for it (freshet releases %s)", c.ID())
	if c.State == Shadow { // that lasts for as long as nobody ends it
		next = fmt.Sprintf("promote it (freshet promote %s)", c.ID())
	}
	return freshet.Errorf(freshet.Conflict, "release %s of %s is %s: %s, or take it back first (freshet abort %s)", c.ID(), c.History[0].Actor, c.State, next, c.ID())
}

func (r Releases) change(kind string, c Change, step Step) (Releases, error) {
	if kind == KindRollback {
		return r.rollback(c, step)
	}
	if r.Release(c.Release) == nil {
		return r, freshet.FieldErrorf(freshet.NotFound, "release", "release: there is no release %.80q; freshet releases lists all", string(c.Release))
	}
	if kind == KindRetired {
		if c.Release != r.Former {
			return r, freshet.Errorf(freshet.Conflict, "release %s is not the former one: it cannot be retired", c.Release)
		}
		next := r.step(c.Release, Retired, 0, step)
		next.Former = ""
		return next, nil
	}
	if c.Release != r.Candidate {
		return r, r.notOnItsWay(c.Release)
	}
	switch kind {
	case KindShadow:
		return r.step(c.Release, Shadow, c.Share, step), nil
	case KindCanary:
		return r.step(c.Release, Canary, c.Share, step), nil
	case KindLive:
		next, plain := r, step
		plain.Reason = "" // it is about the other one
		if r.Former != "" {
			next = next.step(r.Former, Retired, 0, plain.because(c.Release))
		}
		if r.Live != "" {
			next = next.step(r.Live, Former, 0, plain.because(c.Release))
		}
		next = next.step(c.Release, Live, 0, step)
		next.Live, next.Former, next.Candidate = c.Release, r.Live, ""
		return next, nil
	case KindAborted:
		next := r.step(c.Release, Aborted, 0, step)
		next.Candidate, next.Requested = "", r.Live
		return next, nil
	}
	// Failed: what was asked for stays what was asked for, so that it does not look like a success.
	next := r.step(c.Release, Failed, 0, step)
	next.Candidate = ""
	return next, nil
}

func (r Releases) rollback(c Change, step Step) (Releases, error) {
	if err := r.Free(); err != nil {
		return r, err
	}
	if r.Former == "" || c.Release != r.Former {
		return r, freshet.Errorf(freshet.Conflict,
			"there is no former release that is kept ready: freshet deploy --release NAME goes back to what an earlier one was")
	}
	next := r.step(r.Live, Former, 0, step.because(c.Release)).step(c.Release, Live, 0, step)
	next.Release(r.Live).Withdrawn = true // it is a copy of this step
	next.Live, next.Former, next.Requested = c.Release, r.Live, c.Release
	return next, nil
}

func (r Releases) notOnItsWay(id freshet.ReleaseID) error {
	if r.Candidate != "" {
		return freshet.Errorf(freshet.Conflict, "release %s is %s; on its way is %s", id, r.Release(id).State, r.Candidate)
	}
	return freshet.Errorf(freshet.Conflict, "release %s is %s: no release is on its way", id, r.Release(id).State)
}

// step gives a state in which a release has taken a step.
func (r Releases) step(id freshet.ReleaseID, state State, share float64, step Step) Releases {
	n, _ := number(id)
	old := r.All[n-1]
	step.State = state
	changed := &Release{Order: old.Order, State: state, Share: share, History: append(slices.Clip(old.History), step), Withdrawn: old.Withdrawn}
	switch state {
	case Live:
		changed.Withdrawn = false
	case Failed, Aborted:
		changed.Withdrawn = old.State == Canary
	}
	next := r
	next.All = slices.Clone(r.All)
	next.All[n-1] = changed
	return next
}
