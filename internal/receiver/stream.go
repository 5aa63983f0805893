package receiver

import (
	"log/slog"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
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

	lateness time.Duration
	eventAt  time.Time // when the last event was applied; the start before the first
	// unserved are views that serve and are not filled here yet: none, unless a release went live unprepared.
	unserved int

	fed     map[freshet.ViewID]bool           // views with all that is applied
	behind  map[freshet.ViewID]freshet.Offset // and those that have less
	fillErr error                             // why those do not go on
}

// Stream is the state of one partition.
type Stream struct {
	Partition    freshet.Partition
	Head         freshet.Offset // the last event in the log
	Applied      freshet.Offset // the last event in the rows
	Checkpoint   freshet.Offset // the last event in the rows on disk
	CheckpointAt time.Time      // when it was taken; the start of the receiver before the first
	MaxEventTime freshet.Timestamp
	// Watermark is MaxEventTime less the lateness, or, once nothing has come for the idle timeout, the clock less the lateness if that
	// is later: a window for output may close then although the stream is quiet. It never goes back. It judges no event: which events
	// are late is decided by MaxEventTime, which the log keeps, so that every replay decides the same (ADR 5). No read waits for it.
	Watermark  freshet.Timestamp
	Idle       bool   // the watermark goes with the clock
	Events     uint64 // applied since the start
	Late       uint64 // dropped from a session view because its session was closed, since the start
	Behind     uint64 // came behind MaxEventTime less the lateness, counted nevertheless wherever a window sees them, since the start
	Unseen     uint64 // older than any window of the view, since the start; counted for each view
	Unreadable uint64 // not readable by the event types of a release that needs it, since the start
	LastError  string // of the last unreadable event
}

func (s *stream) begin(own featurestore.Ownership, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s = Stream{Applied: own.Checkpoint, Checkpoint: own.Checkpoint, CheckpointAt: now}
	s.ready, s.epoch, s.eventAt = false, own.Epoch, now
	s.unserved, s.fed, s.behind = 0, nil, nil
}

// views notes which views have all that is applied, and how far the others are.
func (s *stream) views(fed map[freshet.ViewID]bool, behind map[freshet.ViewID]freshet.Offset, unserved int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fed, s.behind, s.unserved = fed, behind, unserved
}

// filled notes that views have been filled through an offset.
func (s *stream) filled(views []freshet.ViewID, through freshet.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range views {
		s.behind[v] = max(s.behind[v], through)
	}
}

func (s *stream) fillFailed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fillErr = err
}

// reach tells how many events of the partition all of views have, and whether they are fed.
func (s *stream) reach(views []freshet.ViewID) (events uint64, fed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fed == nil {
		return 0, false, nil
	}
	through, fed := s.s.Applied, true
	for _, v := range views {
		if !s.fed[v] {
			through, fed = min(through, s.behind[v]), false
		}
	}
	if fed {
		return uint64(through), true, nil
	}
	return uint64(through), false, s.fillErr
}

func (s *stream) applied(records []eventlog.Record, lateness time.Duration, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := &records[len(records)-1]
	s.s.Events += uint64(len(records))
	s.s.Applied = last.Offset
	s.eventAt = now
	for i := range records {
		if r := &records[i]; r.Event.EventTime < r.MaxEventTime.Add(-lateness) {
			s.s.Behind++
		}
	}
	s.reached(last, lateness)
}

// reached brings the watermark to where it is with the event of r.
func (s *stream) reached(r *eventlog.Record, lateness time.Duration) {
	s.lateness = lateness
	s.s.MaxEventTime = max(s.s.MaxEventTime, r.MaxEventTime, r.Event.EventTime)
	s.s.Watermark = max(s.s.Watermark, s.s.MaxEventTime.Add(-lateness))
}

// recall is reached for the last event that the rows have when the receiver begins.
func (s *stream) recall(r *eventlog.Record, lateness time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reached(r, lateness)
}

// look is the state now, head being the last event in the log.
func (s *stream) look(head freshet.Offset, idleTimeout time.Duration, now time.Time) Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Idle = s.ready && head <= s.s.Applied && now.Sub(s.eventAt) >= idleTimeout
	if s.s.Idle {
		s.s.Watermark = max(s.s.Watermark, freshet.TimestampOf(now.Add(-s.lateness)))
	}
	return s.s
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

func (s *stream) unreadable(log *slog.Logger, p freshet.Partition, rel freshet.ReleaseID, offset freshet.Offset, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Unreadable++
	first := s.s.LastError == ""
	s.s.LastError = err.Error()
	if first { // once for each partition: the count tells the rest
		log.Warn("event skipped: a release cannot read it", slog.String("release", string(rel)), slog.Int("partition", int(p)), slog.Uint64("offset", uint64(offset)), slog.Any("error", err))
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
	now := r.o.Now()
	for i := range all {
		p := freshet.Partition(i)
		head := r.log.Head(p)
		all[i] = r.streams[i].look(head, r.o.IdleTimeout, now)
		all[i].Partition, all[i].Head = p, head
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
// false while rows of p are behind the log of the time when they were acquired, or lack a view that serves.
func (r *Receiver) Owned(p freshet.Partition) (epoch freshet.Epoch, maxEventTime freshet.Timestamp, ok bool) {
	s := &r.streams[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch, s.s.MaxEventTime, s.ready && s.unserved == 0
}

// Recovering is how many partitions have not yet applied what was in the log when the receiver started, or lack a view that
// serves.
func (r *Receiver) Recovering() int {
	n := 0
	for i := range r.streams {
		s := &r.streams[i]
		s.mu.Lock()
		if !s.ready || s.unserved > 0 {
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
