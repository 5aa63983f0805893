package disk

import (
	"sync"
	"time"
)

// Metrics is a snapshot of what the store does. Counters are since Open.
type Metrics struct {
	DiskBytes            uint64 // of all files, garbage included
	LogBytes             uint64 // of the write-ahead log still needed
	MemTableBytes        uint64
	CacheBytes           int64
	CacheHits            int64
	CacheMisses          int64
	BytesWritten         uint64 // by the server into the store
	BytesFlushed         uint64
	BytesCompacted       uint64
	Flushes              int64
	Compactions          int64
	CompactionDebtBytes  uint64 // still to be compacted
	ReadAmplification    int    // sorted runs that a read may have to look into
	WriteStalls          int64  // times that writers had to wait for flush or compaction
	WriteStalledDuration time.Duration
}

// Metrics is what the store does now. It takes some ten microseconds.
func (d *DB) Metrics() Metrics {
	p := d.pebble.Metrics()
	total := p.Total()
	count, stalled := d.stalls.sum(time.Now())
	return Metrics{
		DiskBytes:            p.DiskSpaceUsage(),
		LogBytes:             p.WAL.Size,
		MemTableBytes:        p.MemTable.Size,
		CacheBytes:           p.BlockCache.Size,
		CacheHits:            p.BlockCache.Hits,
		CacheMisses:          p.BlockCache.Misses,
		BytesWritten:         p.WAL.BytesIn,
		BytesFlushed:         total.TableBytesFlushed,
		BytesCompacted:       total.TableBytesCompacted,
		Flushes:              p.Flush.Count,
		Compactions:          p.Compact.Count,
		CompactionDebtBytes:  p.Compact.EstimatedDebt,
		ReadAmplification:    p.ReadAmp(),
		WriteStalls:          count,
		WriteStalledDuration: stalled,
	}
}

// stalls adds up the times in which writers had to wait.
type stalls struct {
	mu    sync.Mutex
	count int64
	total time.Duration
	since time.Time // zero unless stalled now
}

func (s *stalls) begin(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	s.since = now
}

func (s *stalls) end(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total += now.Sub(s.since)
	s.since = time.Time{}
}

func (s *stalls) sum(now time.Time) (count int64, total time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		return s.count, s.total
	}
	return s.count, s.total + now.Sub(s.since)
}
