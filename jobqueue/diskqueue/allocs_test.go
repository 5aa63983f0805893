package diskqueue_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/alloctest"
	"github.com/freshet-ml/freshet/jobqueue"
)

// TestStateOfAllocatesNothing: readers who wait ask often, and most of them ask about an entity that has no job.
func TestStateOfAllocatesNothing(t *testing.T) {
	s := openStore(t, vfs.NewMem())
	defer s.close()
	jobs := []freshet.Job{crashJob(freshet.PartitionOf("u1"), 1)}
	must(t, s.Enqueue(t.Context(), jobs[0].Cause.Partition, 1, 1, jobs))
	ctx := t.Context()
	for _, key := range []freshet.Key{"u1", "nobody"} {
		subject := jobqueue.Subject{Pipeline: "today", Entity: freshet.Entity{Kind: "user", Key: key}}
		if n := alloctest.PerRun(100, func() { _, _ = s.StateOf(ctx, subject, 1) }); n != 0 {
			t.Errorf("state of %s: %v allocations", key, n)
		}
	}
}
