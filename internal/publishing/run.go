package publishing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/release"
)

// server is who takes the decisions that nobody asked for one by one.
const server = "freshet serve"

// look is how often Run looks at what is on its way; a decision wakes it at once.
const look = 100 * time.Millisecond

// Run goes the steps of releases until ctx ends. It returns early if the log of decisions cannot be followed.
func (p *Publisher) Run(ctx context.Context) error {
	for {
		state, revision, err := p.follower.Now(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return freshet.Errorf("", "publishing: %w", err)
		}
		if err := p.step(ctx, state); err != nil && ctx.Err() == nil {
			// What is decided stays decided: it is tried again.
			p.o.Logger.Error("a release does not go on; it is tried again", slog.Any("error", err))
		}
		p.pause(ctx, func(ctx context.Context) error { return p.Registry.Wait(ctx, revision) })
	}
}

// pause waits, but not for long.
func (p *Publisher) pause(ctx context.Context, wait func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, look)
	defer cancel()
	if err := wait(ctx); err != nil {
		<-ctx.Done() // also if the wait itself has failed: not a busy loop
	}
}

// step goes the next step that is due, if one is.
func (p *Publisher) step(ctx context.Context, state deployment.Releases) error {
	if err := p.openAll(ctx, state); err != nil {
		return err
	}
	if former := state.Release(state.Former); former != nil {
		if left := former.Since().At.Add(p.o.Keep).Time().Sub(p.o.Now()); left <= 0 {
			return p.change(ctx, deployment.KindRetired, deployment.Change{Release: former.ID()},
				by(fmt.Sprintf("kept ready for %v", p.o.Keep)), func(s deployment.Releases) bool { return s.Former == former.ID() })
		}
	}
	r := state.Release(state.Candidate)
	if r == nil {
		return nil
	}
	rel := p.openedRelease(r.ID())
	if rel == nil {
		return nil // it is being closed: somebody has decided otherwise
	}
	switch r.State {
	case deployment.Preparing:
		return p.prepare(ctx, state, r, rel)
	case deployment.Canary:
		return p.bake(ctx, r)
	case deployment.Shadow:
		if s := p.shadow.Load(); s != nil {
			p.report(r.ID(), deployment.Progress{Step: "shadow", Detail: s.detail()})
		}
	}
	return nil
}

// maxReason bounds what is written into the log, however many pipelines there are to speak of.
const maxReason = 1000

func by(reason string) deployment.By {
	if len(reason) > maxReason {
		reason = reason[:maxReason] + "…"
	}
	return deployment.By{Actor: server, Reason: validText(reason)}
}

func (p *Publisher) openedRelease(id freshet.ReleaseID) *release.Opened {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened[id]
}

// openAll opens what must be open and is not: after a restart, or because another process has decided it.
func (p *Publisher) openAll(ctx context.Context, state deployment.Releases) error {
	for id := range rolesOf(state) {
		if p.openedRelease(id) != nil {
			continue
		}
		r := state.Release(id)
		rel, err := p.reopen(ctx, r)
		if err == nil {
			err = p.Models.Warm(ctx, rel)
			if err != nil {
				_ = rel.Close() // err says more
			}
		}
		if err == nil {
			p.take(ctx, id, rel)
			continue
		}
		if ctx.Err() != nil || id == state.Live {
			return freshet.Errorf("", "release %s: %w", id, err)
		}
		kind := deployment.KindFailed
		if id == state.Former {
			kind = deployment.KindRetired
		}
		p.o.Logger.Error("a release cannot be opened", slog.String("release", string(id)), slog.Any("error", err))
		if err := p.fail(ctx, kind, r, "it cannot be opened: "+err.Error()); err != nil {
			return err
		}
	}
	return nil
}

// take has a release that was just opened do what it is for now.
func (p *Publisher) take(ctx context.Context, id freshet.ReleaseID, rel *release.Opened) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opened[id] != nil {
		_ = rel.Close() // somebody else was first
		return
	}
	p.opened[id] = rel
	state, _, err := p.follower.Now(ctx)
	if err == nil {
		err = p.arrange(state)
	}
	if err != nil {
		p.o.Logger.Error("the open releases do not follow the log of decisions", slog.Any("error", err))
	}
}

// reopen opens a release as it was deployed, from the registry.
func (p *Publisher) reopen(ctx context.Context, r *deployment.Release) (*release.Opened, error) {
	text, err := p.text(ctx, r.Order.Release.Project)
	if err != nil {
		return nil, err
	}
	rel, err := p.open(ctx, text, r.Order)
	if err != nil {
		return nil, err
	}
	if got, want := rel.Manifest().Digest, r.Order.Release.Digest; got != want {
		_ = rel.Close() // it has served nobody
		return nil, freshet.Errorf(freshet.Internal, "what it consists of has digest %s now, not %s: this program reads the project file otherwise; deploy it again", got, want)
	}
	rel.Name(r.ID(), r.Order.Release.CreatedAt)
	return rel, nil
}

func (p *Publisher) fail(ctx context.Context, kind string, r *deployment.Release, why string) error {
	state := r.State
	return p.change(ctx, kind, deployment.Change{Release: r.ID()}, by(why), func(s deployment.Releases) bool {
		return s.Release(r.ID()).State == state
	})
}

// prepare has the views filled, then tries the release, then lets it go on.
func (p *Publisher) prepare(ctx context.Context, state deployment.Releases, r *deployment.Release, rel *release.Opened) error {
	fill, err := p.Views.Fill(rel.ViewIDs())
	if err != nil {
		return p.fail(ctx, deployment.KindFailed, r, "its views cannot be filled: "+err.Error())
	}
	if fill.Rate > 0 {
		p.rate.Store(math.Float64bits(fill.Rate))
	}
	if !fill.Filled {
		p.report(r.ID(), deployment.Progress{Step: "fill views", Done: fill.Done, Total: fill.Total, Rate: fill.Rate, Left: fill.Left.Seconds()})
		return nil
	}
	found, err := p.try(ctx, r, rel)
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // the server stops: the next start tries again
	case errors.Is(err, errGivenUp):
		return nil
	case err != nil:
		return p.fail(ctx, deployment.KindFailed, r, err.Error())
	}
	return p.goOn(ctx, state, r, found)
}

// errGivenUp is the error of try for a release that somebody has taken back meanwhile.
var errGivenUp = errors.New("it was taken back")

// try warms and verifies a release, which stays open as long. It ends at once if the release is taken back.
func (p *Publisher) try(ctx context.Context, r *deployment.Release, rel *release.Opened) (found string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.mu.Lock()
	there := p.opened[r.ID()] == rel && rel.Pin()
	if there {
		p.trying = trying{r.ID(), cancel}
	}
	p.mu.Unlock()
	if !there {
		return "", errGivenUp
	}
	defer func() {
		p.mu.Lock()
		p.trying = trying{}
		p.mu.Unlock()
		rel.Unpin()
	}()
	p.report(r.ID(), deployment.Progress{Step: "verify"})
	if err = p.Models.Warm(ctx, rel); err == nil {
		found, err = p.verify(ctx, r, rel)
	}
	if ctx.Err() != nil {
		return "", errGivenUp
	}
	return found, err
}

// goOn is the step after the preparation.
func (p *Publisher) goOn(ctx context.Context, state deployment.Releases, r *deployment.Release, found string) error {
	kind, share := deployment.KindLive, 0.0
	switch {
	case state.Live == "":
	case r.Shadow > 0:
		kind, share = deployment.KindShadow, r.Shadow
	case r.Canary > 0:
		kind, share = deployment.KindCanary, r.Canary
	}
	return p.change(ctx, kind, deployment.Change{Release: r.ID(), Share: share}, by(found), func(s deployment.Releases) bool {
		return s.Candidate == r.ID() && s.Release(r.ID()).State == deployment.Preparing
	})
}
