package publishing

import (
	"context"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/registry"
)

// Promote ends the bake of a canary, or the shadow of a release: it goes its next step now. Returns Conflict for a release that
// is not on its way, or not ready.
func (p *Publisher) Promote(ctx context.Context, id freshet.ReleaseID, by deployment.By) (*deployment.Release, error) {
	return p.move(ctx, id, by, func(s deployment.Releases) (string, deployment.Change, error) {
		r := s.Release(id)
		switch {
		case r == nil || s.Candidate != id:
			return deployment.KindLive, deployment.Change{Release: id}, nil // the fold says why not
		case r.State == deployment.Preparing:
			return "", deployment.Change{}, freshet.Errorf(freshet.Conflict,
				"release %s is being prepared: it cannot serve yet; freshet releases %s says how far it is", id, id)
		case r.State == deployment.Shadow && r.Canary > 0:
			return deployment.KindCanary, deployment.Change{Release: id, Share: r.Canary}, nil
		}
		return deployment.KindLive, deployment.Change{Release: id}, nil
	})
}

// Abort takes a release back that is on its way. Returns Conflict for others.
func (p *Publisher) Abort(ctx context.Context, id freshet.ReleaseID, by deployment.By) (*deployment.Release, error) {
	return p.move(ctx, id, by, func(deployment.Releases) (string, deployment.Change, error) {
		return deployment.KindAborted, deployment.Change{Release: id}, nil
	})
}

// Rollback has the former release serve everybody again, at once; the one that was live becomes the former. Returns Conflict if no former
// release is kept ready, or another is on its way.
func (p *Publisher) Rollback(ctx context.Context, by deployment.By) (*deployment.Release, error) {
	var to freshet.ReleaseID
	state, err := p.decide(ctx, func(s deployment.Releases, at registry.Revision) (registry.Draft, error) {
		if err := expect(by.Revision, at); err != nil {
			return registry.Draft{}, err
		}
		if s.Former != "" && p.opened[s.Former] == nil {
			return registry.Draft{}, freshet.Errorf(freshet.Unavailable, "release %s is not open yet; try again", s.Former)
		}
		to = s.Former
		return registry.NewDraft(deployment.KindRollback, by.Actor, by.Reason, deployment.Change{Release: to})
	})
	if err != nil {
		return nil, err
	}
	return state.Release(to), nil
}

// move takes a decision of somebody about one release.
func (p *Publisher) move(ctx context.Context, id freshet.ReleaseID, by deployment.By,
	choose func(deployment.Releases) (kind string, c deployment.Change, err error)) (*deployment.Release, error) {
	state, err := p.decide(ctx, func(s deployment.Releases, at registry.Revision) (registry.Draft, error) {
		if err := expect(by.Revision, at); err != nil {
			return registry.Draft{}, err
		}
		kind, c, err := choose(s)
		if err != nil {
			return registry.Draft{}, err
		}
		return registry.NewDraft(kind, by.Actor, by.Reason, c)
	})
	if err != nil {
		return nil, err
	}
	return state.Release(id), nil
}
