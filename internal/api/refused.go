package api

import (
	"slices"
	"sync"

	"github.com/freshet-ml/freshet"
)

// refusedEvent is an event that was answered as taken, because its protocol has no other answer, and could not be taken.
type refusedEvent struct {
	At      freshet.Timestamp `json:"at"`
	Door    string            `json:"door"`
	EventID string            `json:"event_id,omitempty"`
	Cause   refusalCause      `json:"cause"`
	Code    freshet.Code      `json:"code"`
	Field   string            `json:"field,omitempty"`
	Reason  string            `json:"reason"`
	Message string            `json:"message"` // as it was sent
}

// Bounds of the list of refused events.
const (
	maxRefused      = 1000
	maxRefusedBytes = 4 << 20 // of their messages
)

// refusedEvents keeps the newest refused events in memory.
type refusedEvents struct {
	mu    sync.Mutex
	list  []refusedEvent // the oldest first
	bytes int
}

func (r *refusedEvents) add(e refusedEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, e)
	r.bytes += len(e.Message)
	drop := 0
	for len(r.list)-drop > maxRefused || r.bytes > maxRefusedBytes {
		r.bytes -= len(r.list[drop].Message)
		drop++
	}
	r.list = slices.Delete(r.list, 0, drop)
}

// newest are at most limit events, the newest first.
func (r *refusedEvents) newest(limit int) []refusedEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	newest := slices.Clone(r.list[max(0, len(r.list)-limit):])
	slices.Reverse(newest)
	return newest
}
