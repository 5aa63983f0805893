// Package refused is a kit: it keeps events that were answered as taken, because their protocol has no other answer, and could not be taken. The newest
// are kept, over restarts, to be looked at. It never decides what is refused, and makes no event of one later.
package refused

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/freshet-ml/freshet"
)

// Event is one that was refused.
type Event struct {
	ID      string            `json:"id"` // gives List.Add
	At      freshet.Timestamp `json:"at"`
	Door    string            `json:"door"`
	EventID string            `json:"event_id,omitempty"`
	Cause   string            `json:"cause"`
	Code    freshet.Code      `json:"code"`
	Field   string            `json:"field,omitempty"`
	Reason  string            `json:"reason"`
	Message string            `json:"message"` // as it was sent
}

// Bounds of a List.
const (
	MaxEvents = 1000
	MaxBytes  = 4 << 20 // of their messages
)

// Records keep events by number. What Write does is there after a crash of the process; one of the machine may take a suffix of it, unless it is durable.
type Records interface {
	Write(put map[uint64]Event, remove []uint64, durable bool) error
	// All gives what is kept, in the order of numbers.
	All(each func(number uint64, e Event)) error
}

// List is the newest refused events. It may be used concurrently.
type List struct {
	records Records

	mu    sync.Mutex
	kept  []numbered // the oldest first
	bytes int
	last  uint64
}

type nowhere struct{}

func (nowhere) Write(map[uint64]Event, []uint64, bool) error { return nil }
func (nowhere) All(func(uint64, Event)) error                { return nil }

type numbered struct {
	number uint64
	Event
}

// New finds the events of former starts. With a nil r there are none, and none is kept for the next.
func New(r Records) (*List, error) {
	l := &List{records: r}
	if r == nil {
		l.records = nowhere{}
		return l, nil
	}
	err := r.All(func(number uint64, e Event) {
		l.kept = append(l.kept, numbered{number, e})
		l.bytes, l.last = l.bytes+len(e.Message), number
	})
	return l, err
}

// Add keeps events, whose ID it gives, and drops the oldest where there are too many.
func (l *List) Add(events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before, kept, total, last := len(l.kept), l.kept, l.bytes, l.last
	for _, e := range events {
		last++
		e.ID = idPrefix + strconv.FormatUint(last, 10)
		kept, total = append(kept, numbered{last, e}), total+len(e.Message)
	}
	drop := 0
	for len(kept)-drop > MaxEvents || total > MaxBytes {
		total -= len(kept[drop].Message)
		drop++
	}
	put := map[uint64]Event{}
	for _, e := range kept[max(drop, before):] {
		put[e.number] = e.Event
	}
	var remove []uint64
	for _, e := range kept[:min(drop, before)] {
		remove = append(remove, e.number)
	}
	if err := l.records.Write(put, remove, false); err != nil {
		return err
	}
	l.kept, l.bytes, l.last = kept[drop:], total, last
	return nil
}

// idPrefix begins the ids: no id of a job is like them, which has two numbers.
const idPrefix = "refused-"

// Newest are at most limit events, the newest first.
func (l *List) Newest(limit int) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var newest []Event
	for _, e := range slices.Backward(l.kept[max(0, len(l.kept)-limit):]) {
		newest = append(newest, e.Event)
	}
	return newest
}

// Len is how many there are.
func (l *List) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.kept)
}

// Drop forgets the events with these ids, and returns how many there were. Others are passed over.
func (l *List) Drop(ids ...string) (int, error) {
	return l.remove(func(e *Event) bool { return slices.Contains(ids, e.ID) }, false)
}

// DropAll forgets all.
func (l *List) DropAll() (int, error) { return l.remove(func(*Event) bool { return true }, false) }

// Erase forgets, durably, what mentions an entity whose key has these values, and returns how many there were. An event too many does no harm: it is one that nobody serves.
func (l *List) Erase(values []string) (int, error) {
	return l.remove(func(e *Event) bool { return e.Mentions(values) }, true)
}

func (l *List) remove(which func(*Event) bool, durable bool) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var left []numbered
	var gone []uint64
	total := 0
	for _, e := range l.kept {
		if which(&e.Event) {
			gone = append(gone, e.number)
			continue
		}
		left, total = append(left, e), total+len(e.Message)
	}
	if len(gone) == 0 {
		return 0, nil
	}
	if err := l.records.Write(nil, gone, durable); err != nil {
		return 0, err
	}
	l.kept, l.bytes = left, total
	return len(gone), nil
}

// longValue is how long a value must be for its bytes to be looked for anywhere: a short one stands by chance in much else.
const longValue = 8

// Mentions tells whether the event says each of values: as a text or a number of its message, wherever in it; a long one, or where the message is no JSON, as a
// part of anything.
func (e *Event) Mentions(values []string) bool {
	said := map[string]bool{e.EventID: true}
	readable := textsOf(e.Message, said)
	for _, v := range values {
		loose := !readable || len(v) >= longValue
		if !said[v] && !(loose && (strings.Contains(e.Message, v) || strings.Contains(e.Reason, v) || strings.Contains(e.EventID, v) || partOf(said, v))) {
			return false
		}
	}
	return true
}

func partOf(said map[string]bool, v string) bool {
	for text := range said {
		if strings.Contains(text, v) {
			return true
		}
	}
	return false
}

// textsOf notes all texts and numbers in message. It is false for one that is no JSON.
func textsOf(message string, said map[string]bool) bool {
	d := json.NewDecoder(bytes.NewReader([]byte(message)))
	d.UseNumber()
	if !json.Valid([]byte(message)) {
		return false
	}
	for {
		t, err := d.Token()
		if err != nil {
			return true // its end
		}
		switch t := t.(type) {
		case string:
			said[t] = true
		case json.Number:
			said[t.String()] = true
		}
	}
}
