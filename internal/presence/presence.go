// Package presence is a kit: who is there. It holds the open streams of users, by which the app is told at once, and remembers when an event of a user
// came last. It keeps no message and does no I/O.
package presence

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/freshet-ml/freshet"
)

// Bounds of the streams.
const (
	MaxStreams     = 10_000 // open at once
	maxUserStreams = 8      // of one user
	maxPending     = 32     // predictions that a reader has not taken yet
	maxSeenUsers   = 100_000
)

// Hub knows who is there: the open streams of users, and when an event of a user came last. The zero Hub is not ready: NewHub makes one.
type Hub struct {
	slow, refused atomic.Uint64

	mu      sync.Mutex
	streams map[freshet.Key][]*Stream
	open    int
	seen    map[freshet.Key]time.Time // of the last event
}

// NewHub makes a Hub.
func NewHub() *Hub {
	return &Hub{streams: map[freshet.Key][]*Stream{}, seen: map[freshet.Key]time.Time{}}
}

// Stream is one open stream of a user. Its owner closes it.
type Stream struct {
	// Messages has a token when there may be new messages in the outbox.
	Messages chan struct{}
	// Predictions are those that were stored for the user since the stream was opened. It is closed when the reader is too slow.
	Predictions chan freshet.Prediction

	hub  *Hub
	user freshet.Key
	slow bool
}

// Subscribe opens a stream. ResourceExhausted if there are too many.
func (h *Hub) Subscribe(user freshet.Key) (*Stream, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open >= MaxStreams || len(h.streams[user]) >= maxUserStreams {
		h.refused.Add(1)
		return nil, freshet.Errorf(freshet.ResourceExhausted, "too many streams are open; close one of the user's %d, or try again later", len(h.streams[user]))
	}
	s := &Stream{Messages: make(chan struct{}, 1), Predictions: make(chan freshet.Prediction, maxPending), hub: h, user: user}
	h.streams[user] = append(h.streams[user], s)
	h.open++
	return s, nil
}

// Close ends the stream. Closing twice is no error.
func (s *Stream) Close() {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.streams[s.user]
	for i, x := range all {
		if x == s {
			all[i] = all[len(all)-1]
			if all = all[:len(all)-1]; len(all) == 0 {
				delete(h.streams, s.user)
			} else {
				h.streams[s.user] = all
			}
			h.open--
			return
		}
	}
}

// Stats count streams.
type Stats struct {
	Open    int    // now
	Slow    uint64 // ended because their reader was too slow
	Refused uint64 // because too many were open
}

// Stats are the counts so far.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Stats{h.open, h.slow.Load(), h.refused.Load()}
}

// Changed tells the user's streams of a prediction that was stored.
func (h *Hub) Changed(p freshet.Prediction) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.streams[p.Entity.Key] {
		if s.slow {
			continue
		}
		select {
		case s.Predictions <- p:
		default: // who cannot follow begins anew, rather than that we keep it all
			s.slow = true
			close(s.Predictions)
			h.slow.Add(1)
		}
	}
}

// Told tells the user's streams that there is a message in the outbox.
func (h *Hub) Told(user freshet.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.streams[user] {
		select {
		case s.Messages <- struct{}{}:
		default:
		}
	}
}

// Seen notes that an event of the user has come.
func (h *Hub) Seen(user freshet.Key, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.seen[user]; !known && len(h.seen) >= maxSeenUsers {
		for u := range h.seen { // any one: what is lost is a message in the app instead of a push
			delete(h.seen, u)
			break
		}
	}
	h.seen[user] = at
}

// Forget drops what is remembered of a user; open streams stay.
func (h *Hub) Forget(user freshet.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.seen, user)
}

// Present says whether the user has the app open: a stream is, or an event came within the window and after since.
func (h *Hub) Present(user freshet.Key, since, now time.Time, window time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.streams[user]) > 0 {
		return true
	}
	last, ok := h.seen[user]
	return ok && window > 0 && now.Sub(last) < window && last.After(since)
}
