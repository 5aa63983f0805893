// Package publishing is the layer that brings releases live: it compares what is asked for with what is live, has views
// filled, tries models, gives a share of the users to a release, watches it, and moves the pointer forth and back. Each of its decisions is an
// entry of the log of decisions before anything follows from it, so that a crash lands on one side of it and the next start goes
// on from there. It never computes a feature, never runs a job, and never changes what a release consists of.
package publishing

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/modelregistry"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/registry"
)

// Fill is how far views are on their way to be filled.
type Fill struct {
	Done, Total uint64        // events of the past
	Rate        float64       // events a second, 0 if not known
	Left        time.Duration // 0 if not known
	Filled      bool          // all have what the others have
}

// Views fills the rows of views (the receiver layer).
type Views interface {
	// Fill tells how far views of open releases are; the error is why they do not go on.
	Fill(views []freshet.ViewID) (Fill, error)
	// DropUnused removes the rows of views that no open release has.
	DropUnused()
	// Past is how many events there are.
	Past() uint64
}

// Models runs models (the serving layer).
type Models interface {
	// Warm has all models of a release answer once.
	Warm(ctx context.Context, rel *release.Opened) error
}

// Predictor computes predictions that are not stored, by one release alone (the orchestration layer).
type Predictor interface {
	Try(ctx context.Context, rel *release.Opened, req release.Request) (freshet.Prediction, error)
}

// Users names entities that were seen lately (the event log).
type Users interface {
	Recent(ctx context.Context, kind freshet.EntityKind, n int) ([]freshet.Entity, error)
}

// Deps are what a Publisher works with.
type Deps struct {
	Registry  *registry.Registry
	Versions  *modelregistry.Models
	Live      *release.Live
	Views     Views
	Models    Models
	Predictor Predictor
	Users     Users
	Shadows   Shadows // may be nil: a shadow's answers are then compared and not kept
	Runtimes  []modelruntime.Runtime
	Channels  Channels // may be nil: nothing is missing
}

// Channels say whether messages can be sent from here.
type Channels interface {
	// Check says what is missing for the channels of a project file, such as a secret.
	Check(p *project.Push) error
}

// Options of New. The zero value is good.
type Options struct {
	// Keep is how long the former release is kept ready for a rollback. Defaults to 1 h.
	Keep   time.Duration
	Now    func() time.Time // Defaults to time.Now.
	Logger *slog.Logger     // Defaults to slog.Default().
}

// Publisher decides which release serves. It may be used concurrently.
type Publisher struct {
	Deps
	o        Options
	follower *registry.Follower[deployment.Releases]
	opener   *release.Opener // shares tables between releases
	// wordTables shares those of embedders.
	wordTables project.WordTables
	trial      atomic.Pointer[trial]     // nil while no canary bakes
	shadow     atomic.Pointer[shadowing] // nil while there is no shadow
	progress   atomic.Pointer[onItsWay]
	rate       atomic.Uint64 // float64 bits: events a second of the last fill that was measured

	mu     sync.Mutex // of decisions and what follows from them at once
	opened map[freshet.ReleaseID]*release.Opened
	trying trying
}

// trying is the release that is verified, which takes a while.
type trying struct {
	id     freshet.ReleaseID // "" if none is
	giveUp context.CancelFunc
}

// onItsWay is the progress of a release.
type onItsWay struct {
	id freshet.ReleaseID
	deployment.Progress
}

// New returns a Publisher that has not started.
func New(d Deps, o Options) *Publisher {
	if o.Keep == 0 {
		o.Keep = time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	p := &Publisher{
		Deps: d, o: o, follower: registry.Follow(d.Registry, deployment.Apply), opener: release.NewOpener(d.Runtimes),
		opened: map[freshet.ReleaseID]*release.Opened{},
	}
	d.Live.OnRetired(func(rel *release.Opened, err error) {
		if err != nil {
			o.Logger.Error("a model was not closed", slog.String("release", string(rel.ID())), slog.Any("error", err))
		}
		d.Views.DropUnused()
	})
	return p
}

// Now is the state of all releases, and the revision of the log that it is of. What this process has decided is followed by
// what is open: a release that is live there serves.
func (p *Publisher) Now(ctx context.Context) (deployment.Releases, registry.Revision, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.follower.Now(ctx)
}

// Progress is how far the release is that is on its way; ok is false for others.
func (p *Publisher) Progress(id freshet.ReleaseID) (progress deployment.Progress, ok bool) {
	w := p.progress.Load()
	if w == nil || w.id != id {
		return deployment.Progress{}, false
	}
	return w.Progress, true
}

func (p *Publisher) report(id freshet.ReleaseID, progress deployment.Progress) {
	p.progress.Store(&onItsWay{id, progress})
}

// Close takes all releases out of service. Nothing is decided.
func (p *Publisher) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Live.Store(nil)
	var errs []error
	for id, o := range p.opened {
		errs = append(errs, o.Close())
		delete(p.opened, id)
	}
	return errors.Join(errs...)
}

// decide takes a decision in the newest state, and has what is open follow it at once. draft may refuse, or decide nothing.
func (p *Publisher) decide(ctx context.Context, draft func(deployment.Releases, registry.Revision) (registry.Draft, error)) (deployment.Releases, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	state, _, err := p.follower.Decide(ctx, func(s deployment.Releases, at registry.Revision) (registry.Draft, error) {
		d, err := draft(s, at)
		if err != nil || d.Kind == "" {
			return d, err
		}
		// What the fold would refuse must not get into the log: nobody could fold beyond it.
		_, err = deployment.Apply(s, registry.Entry{Revision: at + 1, Draft: d})
		return d, err
	})
	if err != nil {
		return state, err
	}
	return state, p.arrange(state)
}

// change is decide for one step of a release. The state must be one in which still holds.
func (p *Publisher) change(ctx context.Context, kind string, c deployment.Change, by deployment.By, still func(deployment.Releases) bool) error {
	_, err := p.decide(ctx, func(s deployment.Releases, at registry.Revision) (registry.Draft, error) {
		if err := expect(by.Revision, at); err != nil {
			return registry.Draft{}, err
		}
		if still != nil && !still(s) {
			return registry.Draft{}, nil // somebody has decided otherwise meanwhile
		}
		return registry.NewDraft(kind, by.Actor, by.Reason, c)
	})
	return err
}

func expect(revision, at registry.Revision) error {
	if revision != 0 && revision != at {
		return freshet.Errorf(freshet.PreconditionFailed,
			"the log of decisions is at revision %d, not at %d: look at what was decided meanwhile and try again", at, revision)
	}
	return nil
}

// arrange gives the open releases the roles that state says. The caller holds mu. A release that is not open yet gets its role
// when it is; the live one stays until then.
func (p *Publisher) arrange(s deployment.Releases) error {
	roles := rolesOf(s)
	for id := range roles {
		if p.opened[id] == nil && id == s.Live {
			return nil
		}
	}
	p.watch(s)
	p.watchShadow(s)
	candidate := s.Release(s.Candidate)
	if p.trying.id != "" && (p.trying.id != s.Candidate || candidate.State != deployment.Preparing) {
		p.trying.giveUp() // somebody has decided otherwise
	}
	err := p.Live.Update(func(release.Roles) (release.Roles, error) {
		r := release.Roles{Live: p.opened[s.Live], Former: p.opened[s.Former], Withdrawn: s.Withdrawn()}
		if candidate == nil {
			return r, nil
		}
		o := p.opened[candidate.ID()]
		switch candidate.State {
		case deployment.Preparing:
			r.Preparing = o
		case deployment.Shadow:
			r.Shadow = o
		case deployment.Canary:
			r.Candidate, r.Share = o, candidate.Share
		}
		return r, nil
	})
	if err != nil {
		return err
	}
	for id, o := range p.opened {
		if !roles[id] {
			delete(p.opened, id)
			err = errors.Join(err, o.Close()) // freed when its last job is done
		}
	}
	return err
}

// rolesOf are the releases that must be open.
func rolesOf(s deployment.Releases) map[freshet.ReleaseID]bool {
	roles := map[freshet.ReleaseID]bool{}
	for _, id := range []freshet.ReleaseID{s.Live, s.Former, s.Candidate} {
		if id != "" {
			roles[id] = true
		}
	}
	return roles
}

// files gives a release its tables and models from the registry.
func (p *Publisher) files(ctx context.Context, tables map[freshet.TableName]freshet.Digest, versions map[freshet.ModelName]int) (release.Source, error) {
	state, _, err := p.Versions.Now(ctx)
	if err != nil {
		return nil, err
	}
	chosen := map[freshet.ModelName]registry.ModelVersion{}
	for name, n := range versions {
		v, ok := state.Model(name).Version(n)
		if !ok {
			return nil, freshet.FieldErrorf(freshet.NotFound, "models."+string(name), "models.%s: there is no version %d", name, n)
		}
		chosen[name] = v
	}
	return p.Versions.Source(chosen, blobs{p.Registry, tables}), nil
}

// text is the project file with a digest.
func (p *Publisher) text(ctx context.Context, digest freshet.Digest) ([]byte, error) {
	b, err := p.Registry.Open(ctx, digest)
	if err != nil {
		return nil, freshet.Errorf("", "project file: %w", err)
	}
	defer b.Close()
	return io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
}
