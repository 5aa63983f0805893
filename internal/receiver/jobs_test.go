package receiver

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
	"github.com/freshet-ml/freshet/modelruntime"
	"github.com/freshet-ml/freshet/modelruntime/linearmodel"
)

const predicting = plays + `
  more: { entity: user, from: play, window: last 2, features: { total: sum(seconds) } }
models: { risk: { path: risk.json } }
pipelines: { risk: { from: play, entity: user, model: risk, inputs: { n: life.n } } }
`

const risk = `{"format": "freshet.linear/1", "link": "identity", "features": [{"name": "n"}], "coefficients": [[1]], "intercept": [0], "outputs": ["risk"]}`

// openPredicting opens a release with a pipeline.
func openPredicting(t *testing.T) *release.Opened {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{project.FileName: predicting, "risk.json": risk} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	loaded, err := project.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	rel, err := release.Open(loaded, []modelruntime.Runtime{linearmodel.Linear{}})
	if err != nil {
		t.Fatal(err)
	}
	return rel
}

// ending is a queue that the server's end meets in Enqueue, at the jobs of an offset.
type ending struct {
	jobqueue.Driver
	at  freshet.Offset
	end func()
}

func (q *ending) Enqueue(ctx context.Context, p freshet.Partition, e freshet.Epoch, through freshet.Offset, jobs []freshet.Job) error {
	if len(jobs) > 0 && through == q.at {
		q.end()
	}
	return q.Driver.Enqueue(ctx, p, e, through, jobs)
}

// TestAStopBetweenRowsAndJobsLosesNoJob proves P5: the last checkpoint does not stand for jobs that were not made.
func TestAStopBetweenRowsAndJobsLosesNoJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rel := openPredicting(t)
		queue := &ending{Driver: memqueue.New(), at: 2}
		b := &bench{t: t, log: eventlog.New(memlog.New(nil)), features: featurestore.New(memfeatures.New()), jobs: jobqueue.New(queue, nil), live: &release.Live{}}
		b.live.Store(rel)

		ctx, cancel := context.WithCancel(t.Context())
		queue.end = cancel
		ended := make(chan error, 1)
		first := New(b.log, b.features, b.jobs, b.live, Options{})
		go func() { ended <- first.Run(ctx) }()
		b.play("u1", 5)
		synctest.Wait()
		b.play("u1", 6)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}

		queue.at = 0
		b.start()
		b.want("life", "u1", 2, 11)
		leases, err := b.jobs.Lease(t.Context(), 10)
		if err != nil || len(leases) != 2 || leases[1].Job.Cause.Offset != 2 {
			t.Errorf("the jobs of two events are %+v, %v", leases, err)
		}
		b.stop()
	})
}

// TestANewPipelineMakesNoJobOfThePast: a release that comes with a restart has a new view, filled from the start, and a new
// pipeline. The queue has not written down how far the events without a job went.
func TestANewPipelineMakesNoJobOfThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, plays)
		b.play("u1", 5)
		b.play("u1", 6)
		synctest.Wait()
		b.stop()
		b.jobs = jobqueue.New(memqueue.New(), nil)
		b.live.Store(openPredicting(t))
		b.start()
		b.want("more", "u1", 11)
		if s := b.jobs.Stats(); s.Queued != 0 {
			t.Errorf("%d jobs of events before the pipeline", s.Queued)
		}
		b.play("u1", 7)
		synctest.Wait()
		if s := b.jobs.Stats(); s.Queued != 1 {
			t.Errorf("%d jobs of one event", s.Queued)
		}
		b.stop()
	})
}
