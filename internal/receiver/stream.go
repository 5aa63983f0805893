package receiver

import (
	"log/slog"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/featurestore"
)

// stream is what can be told about one partition.
type stream struct {
	mu sync.Mutex
	s  Stream
	// ready is true from the moment at which the partition has applied all that was in the log when it was acquired.
	ready bool
	epoch freshet.Epoch
}

// Stream is the state of one partition.
type Stream struct {
	Partition    freshet.Partition
	Head         freshet.Offset // the last event in the log
	Applied      freshet.Offset // the last event in the rows
	Checkpoint   freshet.Offset // the last event in the rows on disk
	CheckpointAt time.Time      // when it was taken; the start of the receiver before the first
	MaxEventTime freshet.Timestamp
	Watermark    freshet.Timestamp // MaxEventTime less the lateness; 0 before the first event
	Events       uint64            // applied since the start
	Late         uint64            // dropped from a session view because its session was closed, since the start
	Unseen       uint64            // older than any window of the view, since the start; counted for each view
	Unreadable   uint64            // not readable by the live release's event types, since the start
	LastError    string            // of the last unreadable event
}

func (s *stream) begin(own featurestore.Ownership, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s = Stream{Applied: own.Checkpoint, Checkpoint: own.Checkpoint, CheckpointAt: now}
	s.ready, s.epoch = false, own.Epoch
}

func (s *stream) applied(events int, through freshet.Offset, maxEventTime freshet.Timestamp, lateness time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Events += uint64(events)
	s.s.Applied = through
	if maxEventTime > s.s.MaxEventTime {
		s.s.MaxEventTime = maxEventTime
		s.s.Watermark = max(0, maxEventTime.Add(-lateness))
	}
}

func (s *stream) count(outcome feature.Outcome) {
	if outcome != feature.Late && outcome != feature.Unseen {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if outcome == feature.Late {
		s.s.Late++
		return
	}
	s.s.Unseen++
}

func (s *stream) unreadable(log *slog.Logger, p freshet.Partition, offset freshet.Offset, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Unreadable++
	first := s.s.LastError == ""
	s.s.LastError = err.Error()
	if first { // once for each partition: the count tells the rest
		log.Warn("event skipped: the live release cannot read it", slog.Int("partition", int(p)), slog.Uint64("offset", uint64(offset)), slog.Any("error", err))
	}
}

func (s *stream) saved(through freshet.Offset, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Checkpoint, s.s.CheckpointAt = through, now
}

func (s *stream) caughtUp(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = s.ready || yes
}

// Streams is the state of all partitions, in their order.
func (r *Receiver) Streams() []Stream {
	all := make([]Stream, freshet.Partitions)
	for i := range all {
		s := &r.streams[i]
		s.mu.Lock()
		all[i] = s.s
		s.mu.Unlock()
		all[i].Partition = freshet.Partition(i)
		all[i].Head = r.log.Head(all[i].Partition)
	}
	return all
}

// Checkpoint is the last event of partition p that is in its rows on disk, as far as this receiver knows: 0 before it has
// begun with p, or while it replays p for a view that has no rows yet.
func (r *Receiver) Checkpoint(p freshet.Partition) freshet.Offset {
	s := &r.streams[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.s.Checkpoint
}

// Owned gives the epoch under which this receiver writes partition p, and the largest event time among the events that are in its rows. ok is
// false while rows of p are behind the log of the time when they were acquired.
func (r *Receiver) Owned(p freshet.Partition) (epoch freshet.Epoch, maxEventTime freshet.Timestamp, ok bool) {
	s := &r.streams[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch, s.s.MaxEventTime, s.ready
}

// Recovering is how many partitions have not yet applied what was in the log when the receiver started.
func (r *Receiver) Recovering() int {
	n := 0
	for i := range r.streams {
		s := &r.streams[i]
		s.mu.Lock()
		if !s.ready {
			n++
		}
		s.mu.Unlock()
	}
	return n
}

// Lag is how many events are in the log and not yet in the rows.
func (r *Receiver) Lag() uint64 {
	var lag uint64
	for p := range freshet.Partition(freshet.Partitions) {
		if head, applied := r.log.Head(p), r.features.Applied(p); head > applied {
			lag += uint64(head - applied)
		}
	}
	return lag
}
