package server_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/predictionstore"
)

// Between two hand-offs nearly no time passes, so that nearly nothing ever comes between them: a stop, another owner, a cut.
// Here they dawdle now and then. Nothing waits for that.

// slowly has the drivers of d dawdle before and after what they do.
func slowly(d simDrivers) simDrivers {
	d.features, d.jobs, d.predictions = slowFeatures{d.features}, slowJobs{d.jobs}, slowPredictions{d.predictions}
	return d
}

func dawdle() {
	switch rand.IntN(40) {
	case 0:
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
	case 1, 2, 3:
		runtime.Gosched()
	}
}

type slowFeatures struct{ featurestore.Driver }

func (s slowFeatures) Acquire(ctx context.Context, p freshet.Partition, views []freshet.ViewID) (featurestore.Ownership, error) {
	defer dawdle()
	return s.Driver.Acquire(ctx, p, views)
}

func (s slowFeatures) Apply(ctx context.Context, p freshet.Partition, e freshet.Epoch, through freshet.Offset, rows []freshet.Row) error {
	dawdle()
	defer dawdle()
	return s.Driver.Apply(ctx, p, e, through, rows)
}

func (s slowFeatures) Checkpoint(ctx context.Context, p freshet.Partition, e freshet.Epoch, views []freshet.ViewID, filled []featurestore.Filled) error {
	dawdle()
	defer dawdle()
	return s.Driver.Checkpoint(ctx, p, e, views, filled)
}

func (s slowFeatures) Get(ctx context.Context, dst []freshet.Row, p freshet.Partition, key freshet.Key, views []freshet.ViewID) ([]freshet.Row, error) {
	dawdle()
	defer dawdle()
	return s.Driver.Get(ctx, dst, p, key, views)
}

type slowJobs struct{ jobqueue.Driver }

func (s slowJobs) Enqueue(ctx context.Context, p freshet.Partition, e freshet.Epoch, through freshet.Offset, jobs []freshet.Job) error {
	dawdle()
	defer dawdle()
	return s.Driver.Enqueue(ctx, p, e, through, jobs)
}

func (s slowJobs) Ack(ctx context.Context, l jobqueue.Lease, a jobqueue.Attempt, keep int) error {
	dawdle()
	defer dawdle()
	return s.Driver.Ack(ctx, l, a, keep)
}

type slowPredictions struct{ predictionstore.Driver }

func (s slowPredictions) Put(ctx context.Context, p freshet.Prediction) (bool, error) {
	dawdle()
	defer dawdle()
	return s.Driver.Put(ctx, p)
}
