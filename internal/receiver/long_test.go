package receiver

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
)

const notes = `
project: test
entities: { user: { key: user_id } }
events: { play: { keys: [user_id], fields: { seconds: float, text: string } } }
views:
  life: { entity: user, from: play, window: lifetime, features: { n: count(), s: sum(seconds), texts: "last(text, 1000)" } }
`

// counting counts how often rows are applied.
type counting struct {
	featurestore.Driver
	applied atomic.Int64
}

func (c *counting) Apply(ctx context.Context, p freshet.Partition, epoch freshet.Epoch, through freshet.Offset, rows []freshet.Row) error {
	if len(rows) > 0 {
		c.applied.Add(1)
	}
	return c.Driver.Apply(ctx, p, epoch, through, rows)
}

// Who is behind, or fills a view, changes no more rows at a time than a checkpoint may have bytes of, however long they are.
func TestLongRowsEndABatch(t *testing.T) {
	const users, each, length, most = 20, 5, 1000, 20_000
	synctest.Test(t, func(t *testing.T) {
		driver := &counting{Driver: memfeatures.New()}
		b := &bench{t: t, log: eventlog.New(memlog.New(nil)), features: featurestore.New(driver), jobs: jobqueue.New(memqueue.New(), nil), live: &release.Live{}}
		b.deploy(notes)
		keys := inOnePartition(users)
		for _, u := range keys {
			for range each {
				b.say(u, strings.Repeat("x", length))
			}
		}
		b.startWith(Options{CheckpointBytes: most})
		b.want("life", keys[0], each, 0)
		const least = users * each * length / (most + each*length) // batches that end in time
		applied := driver.applied.Load()
		if applied < least {
			t.Errorf("%d bytes of rows were applied in %d batches", users*each*length, applied)
		}
		b.deploy(strings.ReplaceAll(notes, "1000", "999"))
		b.want("life", keys[0], each, 0)
		if n := driver.applied.Load() - applied; n < least {
			t.Errorf("%d bytes of rows were filled in %d steps", users*each*length, n)
		}
		b.stop()
	})
}

// inOnePartition gives n keys of one partition.
func inOnePartition(n int) (keys []string) {
	for i := 0; len(keys) < n; i++ {
		if u := fmt.Sprint("u", i); freshet.PartitionOf(freshet.Key(u)) == 0 {
			keys = append(keys, u)
		}
	}
	return keys
}
