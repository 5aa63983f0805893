package publishing

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/release"
)

// Shadows keeps what a shadow answered beside what was served (a file of the server).
type Shadows interface {
	// Keep must not fail the job: what it cannot keep it drops.
	Keep(rel freshet.ReleaseID, job *freshet.Job, served, shadow freshet.Prediction, err error)
}

// shadowing is the comparison of a shadow with what serves.
type shadowing struct {
	*deployment.Trial
	candidate freshet.ReleaseID
	share     float64

	mu    sync.Mutex
	jobs  int
	first int     // whose best item is the same
	both  float64 // sum of the shares of items that both have
}

// Shadowed tells whether a shadow runs a job beside what serves: by a hash of it, so that retries do not change it.
func (p *Publisher) Shadowed(job freshet.JobID) bool {
	s := p.shadow.Load()
	return s != nil && release.Share(string(job)) < s.share
}

// Compare takes the answer of a shadow to a job. It is never served.
func (p *Publisher) Compare(rel freshet.ReleaseID, job *freshet.Job, served, made freshet.Prediction, err error, took time.Duration) {
	s := p.shadow.Load()
	if s == nil || s.candidate != rel {
		return
	}
	req := release.Request{Pipeline: job.Pipeline, Entity: job.Entity}
	s.Add(deployment.OutcomeOf(served.Release, req, served, nil, 0))
	s.Add(deployment.OutcomeOf(rel, req, made, err, took))
	if err == nil {
		s.compare(served.Items, made.Items)
	}
	if p.Shadows != nil {
		p.Shadows.Keep(rel, job, served, made, err)
	}
}

func (s *shadowing) compare(served, made []freshet.Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs++
	if len(served) == 0 || len(made) == 0 {
		if len(served) == len(made) {
			s.first++
			s.both++
		}
		return
	}
	if served[0].ID == made[0].ID {
		s.first++
	}
	common := 0
	for _, item := range made {
		if slices.ContainsFunc(served, func(x freshet.Item) bool { return x.ID == item.ID }) {
			common++
		}
	}
	s.both += float64(common) / float64(max(len(served), len(made)))
}

// detail says what was compared so far.
func (s *shadowing) detail() string {
	v := s.Verdict(deployment.SampleLimits)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs == 0 {
		return "no job was run beside yet"
	}
	text := fmt.Sprintf("%d jobs: the best item is the same in %.1f %%, %.1f %% of the items are; %s",
		s.jobs, 100*float64(s.first)/float64(s.jobs), 100*s.both/float64(s.jobs), v.Detail)
	if v.Breach != "" {
		text += fmt.Sprintf(" (guardrail %s would take it back)", v.Breach)
	}
	return text
}

// watchShadow begins and ends the comparison. The caller holds mu.
func (p *Publisher) watchShadow(s deployment.Releases) {
	now, candidate := p.shadow.Load(), s.Release(s.Candidate)
	switch {
	case candidate == nil || candidate.State != deployment.Shadow:
		p.shadow.Store(nil)
	case now == nil || now.candidate != candidate.ID():
		p.shadow.Store(&shadowing{Trial: deployment.NewTrial(s.Live, candidate.ID(), candidate.Accept), candidate: candidate.ID(), share: candidate.Share})
	}
}
