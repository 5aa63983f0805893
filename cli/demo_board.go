package cli

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/client"
)

const (
	demoShown   = 5   // users
	demoTop     = 3   // titles of each
	demoSamples = 500 // newest latencies that percentiles are made of
)

// demoBoard is what the demo knows. Players write, the screen reads.
type demoBoard struct {
	url   string
	start time.Time

	mu          sync.Mutex
	slots       [demoShown]demoSlot
	accepted    int
	samples     []time.Duration // a ring
	next        int
	release     freshet.ReleaseID
	model       string
	lastTrouble string
	looked      demoLook
	before      demoLook
}

// demoSlot is one user on the screen.
type demoSlot struct {
	shown  demoUserShown
	active bool // its session goes on
	at     time.Time
	order  []freshet.Key // of the prediction before, all of its items
}

// demoLook is what the server says about itself at a moment.
type demoLook struct {
	at          time.Time
	accepted    float64
	predictions float64
	events      int // backlog
	jobs        int
	watermark   freshet.Timestamp // 0: not known yet
}

func newDemoBoard(url string, now time.Time) *demoBoard {
	return &demoBoard{url: url, start: now, samples: make([]time.Duration, 0, demoSamples)}
}

// enter offers a place on the screen to a user whose session begins, and reports whether there was one.
func (b *demoBoard) enter(user string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.slots {
		if s := &b.slots[i]; !s.active {
			*s = demoSlot{shown: demoUserShown{User: user}, active: true}
			return true
		}
	}
	return false
}

// leave frees the user's place for another; until then it stays to be seen.
func (b *demoBoard) leave(user string) {
	b.with(user, func(s *demoSlot) { s.active = false })
}

// did notes what a shown user just did.
func (b *demoBoard) did(user, what string, at time.Time) {
	b.with(user, func(s *demoSlot) { s.shown.Did, s.at = what, at })
}

func (b *demoBoard) sent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accepted++
}

// predicted notes the prediction that an event caused, latency after it was sent.
func (b *demoBoard) predicted(user string, p client.Prediction, latency time.Duration, t *demoTraffic) {
	b.mu.Lock()
	if !p.Stale {
		b.sample(latency)
	}
	b.release, b.model = p.Release, p.Model
	b.mu.Unlock()
	b.with(user, func(s *demoSlot) {
		s.shown.predicted(p, s.order, t)
		s.order = s.order[:0]
		for _, item := range p.Items {
			s.order = append(s.order, item.ID)
		}
	})
}

func (b *demoBoard) sample(d time.Duration) {
	if len(b.samples) < demoSamples {
		b.samples = append(b.samples, d)
		return
	}
	b.samples[b.next] = d
	b.next = (b.next + 1) % demoSamples
}

// trouble notes the last thing that went wrong.
func (b *demoBoard) trouble(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastTrouble = text
}

// with changes the slot of a user, if it has one.
func (b *demoBoard) with(user string, change func(*demoSlot)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.slots {
		if b.slots[i].shown.User == user {
			change(&b.slots[i])
			return
		}
	}
}

// look asks the server about itself, at most twice a second.
func (b *demoBoard) look(ctx context.Context, now time.Time) error {
	b.mu.Lock()
	fresh := now.Sub(b.looked.at) < 500*time.Millisecond
	b.mu.Unlock()
	if fresh {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	m, err := scrape(ctx, b.url)
	if err != nil {
		return err
	}
	l := demoLook{at: now, accepted: m["freshet_events_accepted_total"], predictions: m.predictions()}
	l.events, l.jobs = m.backlog()
	if l.watermark, err = b.watermark(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// Rates are those of the last seconds: the look before is replaced when it is old enough to smooth them.
	if b.before.at.IsZero() || now.Sub(b.before.at) > 3*time.Second {
		b.before = b.looked
	}
	b.looked = l
	return nil
}

// watermark is the least of all partitions that hold events.
func (b *demoBoard) watermark(ctx context.Context) (freshet.Timestamp, error) {
	cl, err := client.New(b.url, nil)
	if err != nil {
		return 0, err
	}
	raw, err := cl.Streams(ctx)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Streams []struct {
			Head      freshet.Offset    `json:"head"`
			Watermark freshet.Timestamp `json:"watermark"`
		} `json:"streams"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return 0, err
	}
	var least freshet.Timestamp
	for _, p := range answer.Streams {
		if p.Head > 0 && p.Watermark > 0 && (least == 0 || p.Watermark < least) {
			least = p.Watermark
		}
	}
	return least, nil
}

// snapshot is the board at a moment, for drawing.
func (b *demoBoard) snapshot(now time.Time) demoSnapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	seconds := b.looked.at.Sub(b.before.at).Seconds()
	if b.before.at.IsZero() {
		seconds = b.looked.at.Sub(b.start).Seconds()
	}
	s := demoSnapshot{
		Uptime: now.Sub(b.start).Seconds(), URL: b.url,
		Accepted: int(b.looked.accepted), Predictions: int(b.looked.predictions),
		EventsPerSecond:      perSecond(b.looked.accepted-b.before.accepted, seconds),
		PredictionsPerSecond: perSecond(b.looked.predictions-b.before.predictions, seconds),
		BacklogEvents:        b.looked.events, BacklogJobs: b.looked.jobs,
		Release: b.release, Model: b.model, Trouble: b.lastTrouble, Samples: len(b.samples),
	}
	if b.looked.watermark > 0 {
		s.WatermarkBehind = now.Sub(b.looked.watermark.Time()).Seconds()
	}
	sorted := slices.Sorted(slices.Values(b.samples))
	s.P50, s.P99 = quantileOf(sorted, 0.5), quantileOf(sorted, 0.99)
	for _, slot := range b.slots {
		if slot.shown.Did == "" {
			continue
		}
		u := slot.shown
		u.Ago = now.Sub(slot.at).Seconds()
		u.Items = slices.Clone(u.Items)
		s.Users = append(s.Users, u)
	}
	return s
}

// quantileOf is the element at q of sorted, in milliseconds; 0 if there is none.
func quantileOf(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(q*float64(len(sorted)-1))].Microseconds()) / 1000
}
