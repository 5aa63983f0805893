package loadgen

import (
	"math"
	"math/bits"
	"time"
)

// Each power of two is cut into 128 buckets, so that a value is known to 1/128 (0.8 %) of itself.
const (
	subBits = 7
	subs    = 1 << subBits
	maxBits = 42 // 2⁴² ns is 73 minutes; anything longer counts as that
	buckets = (maxBits - subBits + 1) * subs
)

// Histogram counts durations in buckets whose width grows with the value: any quantile is right to 0.8 %, however many
// values there are. The zero value is empty. Not for concurrent use.
type Histogram struct {
	counts []uint64
	n      uint64
	sum    float64 // ns
	max    time.Duration
}

// Record counts d. A negative one counts as zero.
func (h *Histogram) Record(d time.Duration) {
	d = min(max(d, 0), 1<<maxBits-1)
	if h.counts == nil {
		h.counts = make([]uint64, buckets)
	}
	h.counts[bucketOf(uint64(d))]++
	h.n++
	h.sum += float64(d)
	h.max = max(h.max, d)
}

// Merge adds all that o has counted.
func (h *Histogram) Merge(o *Histogram) {
	if o.n == 0 {
		return
	}
	if h.counts == nil {
		h.counts = make([]uint64, buckets)
	}
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.sum += o.sum
	h.max = max(h.max, o.max)
}

// Count is the number of durations.
func (h *Histogram) Count() uint64 { return h.n }

// Max is the longest duration; 0 if there is none.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean is the mean duration; 0 if there is none.
func (h *Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.n))
}

// Quantile is the least duration that a share of q (0 … 1) of all do not exceed, rounded up to its bucket; 0 if there is
// none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := uint64(math.Ceil(min(max(q, 0), 1) * float64(h.n)))
	rank = max(rank, 1)
	var seen uint64
	for i, c := range h.counts {
		seen += c
		if seen >= rank {
			return min(topOf(i), h.max)
		}
	}
	return h.max
}

// bucketOf is the bucket of v: below 2·subs each value has its own, above the leading subBits+1 bits decide.
func bucketOf(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift*subs + int(v>>shift)
}

// topOf is the largest value of bucket i.
func topOf(i int) time.Duration {
	shift := max(i/subs-1, 0)
	low := uint64(i-shift*subs) << shift
	return time.Duration(low + 1<<shift - 1)
}
