package sweep

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
)

// Size is how much the rows of a view are, as the last pass over each partition found them.
type Size struct {
	Rows  int64
	Bytes int64 // of their data, before the store compresses it
	// At is when the partition that was counted first was counted; zero before the first pass over all has ended.
	At time.Time
}

// PerRow is the mean number of bytes; 0 without rows.
func (s Size) PerRow() float64 {
	if s.Rows == 0 {
		return 0
	}
	return float64(s.Bytes) / float64(s.Rows)
}

// sizes keeps what was found in each partition.
type sizes struct {
	mu         sync.Mutex
	partitions [freshet.Partitions]counted
}

type counted struct {
	views map[freshet.ViewID]Size
	at    time.Time
}

func (s *sizes) set(p freshet.Partition, views map[freshet.ViewID]Size, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partitions[p] = counted{views, at}
}

// Size is what is known about the rows of view.
func (s *Sweeper) Size(view freshet.ViewID) Size {
	s.sizes.mu.Lock()
	defer s.sizes.mu.Unlock()
	var sum Size
	all := true
	for i := range s.sizes.partitions {
		c := &s.sizes.partitions[i]
		if c.views == nil {
			all = false
			continue
		}
		sum.Rows += c.views[view].Rows
		sum.Bytes += c.views[view].Bytes
		if sum.At.IsZero() || c.at.Before(sum.At) {
			sum.At = c.at
		}
	}
	if !all {
		sum.At = time.Time{}
	}
	return sum
}

// Stats are counts since the start.
type Stats struct {
	Passes   uint64 // over all partitions
	Rows     uint64 // looked at
	RolledUp uint64 // rows made shorter
	Removed  uint64 // rows that no window saw any more
	Bytes    uint64 // by which both have made rows shorter
}

// stats count while Stats reads.
type stats struct{ passes, rows, rolledUp, removed, bytes atomic.Uint64 }

func (s *stats) count(swept feature.Swept, bytes int) {
	s.bytes.Add(uint64(bytes))
	if swept == feature.Removed {
		s.removed.Add(1)
		return
	}
	s.rolledUp.Add(1)
}

// Stats counts what has happened since New.
func (s *Sweeper) Stats() Stats {
	return Stats{
		Passes: s.stats.passes.Load(), Rows: s.stats.rows.Load(), RolledUp: s.stats.rolledUp.Load(), Removed: s.stats.removed.Load(),
		Bytes: s.stats.bytes.Load(),
	}
}
