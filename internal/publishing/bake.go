package publishing

import (
	"context"
	"fmt"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
)

// trial is the watch over a canary.
type trial struct {
	*deployment.Trial
	candidate freshet.ReleaseID
	since     time.Time
}

// Observe counts how a prediction of an open release went. It costs a load while no canary bakes.
func (p *Publisher) Observe(o deployment.Outcome) {
	if t := p.trial.Load(); t != nil {
		t.Add(o)
	}
}

// watch begins and ends the watch over a canary. Both sides are counted from the same moment on. The caller holds mu.
func (p *Publisher) watch(s deployment.Releases) {
	now, candidate := p.trial.Load(), s.Release(s.Candidate)
	switch {
	case candidate == nil || candidate.State != deployment.Canary:
		p.trial.Store(nil)
	case now == nil || now.candidate != candidate.ID():
		p.trial.Store(&trial{deployment.NewTrial(s.Live, candidate.ID(), candidate.Accept), candidate.ID(), p.o.Now()})
	}
}

// bake judges a canary: it is taken back, or goes live when its time is over.
func (p *Publisher) bake(ctx context.Context, r *deployment.Release) error {
	t := p.trial.Load()
	if t == nil || t.candidate != r.ID() {
		return nil // it has just been decided otherwise
	}
	verdict := t.Verdict(deployment.BakeLimits)
	if verdict.Breach != "" {
		return p.fail(ctx, deployment.KindFailed, r, fmt.Sprintf("guardrail %s: %s", verdict.Breach, verdict.Detail))
	}
	left := r.BakeTime() - p.o.Now().Sub(t.since) // after a restart it begins again: what was counted is gone
	p.report(r.ID(), deployment.Progress{Step: "bake", Left: max(0, left.Seconds()), Detail: verdict.Detail})
	if left > 0 {
		return nil
	}
	return p.change(ctx, deployment.KindLive, deployment.Change{Release: r.ID()},
		by(fmt.Sprintf("the bake of %v has ended: %s", r.BakeTime(), verdict.Detail)), func(s deployment.Releases) bool {
			return s.Candidate == r.ID() && s.Release(r.ID()).State == deployment.Canary
		})
}
