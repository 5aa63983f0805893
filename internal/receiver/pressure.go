package receiver

import (
	"runtime/metrics"
	"sync"
	"time"
)

// pressure tells what a fill may take of a core, by how long goroutines that could run have to wait for one. That wait is what a live
// event meets at each step of its way, whoever is to blame: fills, jobs, the collector, or another process of the machine.
// The zero pressure is ready to use.
type pressure struct {
	mu     sync.Mutex
	at     time.Time // of the last look
	sample []metrics.Sample
	before []uint64 // the histogram of the last look
	now    float64
}

const (
	lookEvery = 50 * time.Millisecond
	// Goroutines are late that waited longer than lateAfter for a core; a hundredth of them may be. An event is handed on some seven times
	// until its prediction is stored.
	lateAfter = 4 * time.Millisecond
	mayBeLate = 0.01
	// The share is taken back faster than it is given.
	shareLess  = 0.8
	shareMore  = 0.1
	firstShare = 0.5
	leastShare = 0.1 // so that a fill ends even where there are always too few cores
)

// share is the part of a core that a fill may take, 0.1 … 1. At most every lookEvery it looks anew.
func (p *pressure) share(now time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sample == nil {
		p.sample = []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	}
	switch passed := now.Sub(p.at); {
	case passed < lookEvery:
	case passed > 2*time.Second: // nobody has filled: what was then says nothing
		p.look()
		p.at, p.now = now, firstShare
	default:
		p.at = now
		p.adapt(p.look())
	}
	return p.now
}

// adapt follows what a look has found.
func (p *pressure) adapt(late, all uint64) {
	if float64(late) > mayBeLate*float64(all) {
		p.now = max(leastShare, p.now*shareLess)
		return
	}
	p.now = min(1, p.now+shareMore)
}

// look counts the goroutines that have got a core since the last look, and those of them that were late.
func (p *pressure) look() (late, all uint64) {
	metrics.Read(p.sample)
	h := p.sample[0].Value.Float64Histogram()
	if len(p.before) != len(h.Counts) {
		p.before = make([]uint64, len(h.Counts))
	}
	for i, n := range h.Counts {
		more := n - p.before[i]
		p.before[i] = n
		if all += more; h.Buckets[i] >= lateAfter.Seconds() {
			late += more
		}
	}
	return late, all
}
