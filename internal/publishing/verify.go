package publishing

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/deployment"
	"github.com/freshet-ml/freshet/internal/release"
)

// verify tries a release before any user sees it: the golden rows of models that are new, then users that were seen lately,
// answered by the live release and by this one. It says what was found; the error says why the release must not go on.
func (p *Publisher) verify(ctx context.Context, r *deployment.Release, rel *release.Opened) (found string, err error) {
	texts, err := p.golden(ctx, rel)
	if err != nil {
		return "", err
	}
	live := p.Live.Pin()
	if live == nil {
		return "", nil
	}
	defer live.Unpin()
	sampled, err := p.sample(ctx, r, live, rel)
	return strings.Join(append(texts, sampled), "; "), err
}

// golden runs the golden rows of the models that the live release does not have, and says of each what it has run.
func (p *Publisher) golden(ctx context.Context, rel *release.Opened) (texts []string, err error) {
	versions, _, err := p.Versions.Now(ctx)
	if err != nil {
		return nil, err
	}
	live := p.Live.Load()
	for _, m := range rel.Models() {
		if live != nil && live.Manifest().Models[m.Name] == m.Digest {
			continue
		}
		v, ok := versions.Model(m.Name).Version(m.Version)
		if !ok {
			return nil, freshet.Errorf(freshet.Internal, "model %s: version %d is not in the registry", m.Name, m.Version)
		}
		artifact, err := p.Versions.Open(ctx, v)
		if err != nil {
			return nil, err
		}
		checked, err := p.Versions.Check(ctx, artifact)
		if closed := artifact.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return nil, freshet.Errorf("", "model %s: %w", v.Label(), err)
		}
		texts = append(texts, v.Label()+": "+checked.Golden.String())
	}
	return texts, nil
}

// Bounds of a sample: entities of a pipeline, and the time for all. What was tried until then is judged.
const (
	sampled    = 200
	sampleTime = time.Minute
)

// sample answers for the same users by both releases.
func (p *Publisher) sample(ctx context.Context, r *deployment.Release, live, rel *release.Opened) (string, error) {
	trial := deployment.NewTrial(live.ID(), rel.ID(), r.Accept)
	tried, start := 0, p.o.Now()
	for _, pipeline := range rel.Pipelines() {
		if _, ok := live.Pipeline(pipeline.Name); !ok {
			continue
		}
		users, err := p.Users.Recent(ctx, pipeline.Entity, sampled)
		if err != nil {
			return "", err
		}
		for _, user := range users {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			if p.o.Now().Sub(start) > sampleTime {
				break
			}
			tried++
			p.report(r.ID(), deployment.Progress{Step: "verify", Detail: fmt.Sprintf("%d users that were seen lately were tried", tried)})
			for _, o := range []*release.Opened{live, rel} {
				p.ask(ctx, trial, o, release.Request{Pipeline: pipeline.Name, Entity: user, Explain: true})
			}
		}
	}
	if tried == 0 {
		return "no users were seen lately to compare answers", nil
	}
	verdict := trial.Verdict(deployment.SampleLimits)
	if verdict.Breach != "" {
		return "", freshet.Errorf(freshet.Unprocessable, "%d users that were seen lately, answered by %s and by %s: %s; --accept %s lets it pass",
			tried, live.ID(), rel.ID(), verdict.Detail, verdict.Breach)
	}
	return fmt.Sprintf("%d users that were seen lately, answered by both: %s", tried, verdict.Detail), nil
}

// ask has one release answer, for the trial alone.
func (p *Publisher) ask(ctx context.Context, trial *deployment.Trial, o *release.Opened, req release.Request) {
	start := p.o.Now()
	prediction, err := p.Predictor.Try(ctx, o, req)
	trial.Add(deployment.OutcomeOf(o.ID(), req, prediction, err, p.o.Now().Sub(start)))
}
