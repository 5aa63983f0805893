// Package erase is a kit: it forgets one entity, wherever Freshet keeps something about it. What is served goes at once: rows,
// jobs, predictions, rows of push tables. The entity's own events become void records, at their offsets, and in events about
// other entities it gets another name that nobody knows; both in the log and in the offline store. A request is on disk
// before anything is done for it, and goes on after a restart. The package never decides who may ask.
package erase

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/predictionstore"
	"github.com/freshet-ml/freshet/tablestore"
)

// State says how far a request is.
type State string

// The states of a request are a closed list.
const (
	Running State = "running"
	Done    State = "done"
)

// Request is a wish to forget an entity, and what has been done for it.
type Request struct {
	ID        string             `json:"id"`
	Kind      freshet.EntityKind `json:"kind"`
	Key       freshet.Key        `json:"key,omitempty"` // "" once it is done: this, too, is forgotten
	State     State              `json:"state"`
	At        freshet.Timestamp  `json:"at"` // events that came in later belong to somebody who has come back
	EndedAt   freshet.Timestamp  `json:"ended_at,omitempty"`
	Alias     string             `json:"alias,omitempty"`     // the name in events about others, until it is done
	Forgotten bool               `json:"forgotten,omitempty"` // its own events and rows are gone
	Events    int                `json:"events"`              // records that became void
	Others    int                `json:"others"`              // records about others in which it has another name now
	Jobs      int                `json:"jobs"`                // jobs and dead letters removed
	Rows      int                `json:"rows"`                // rows of push tables removed
	Error     string             `json:"error,omitempty"`     // why it does not get on; it is tried again
}

// Records keep requests, durably.
type Records interface {
	Put(r *Request) error
	All() ([]Request, error)
	Delete(id string) error
}

// Owner forgets events and rows of an entity, and what rows of others say of it: receiver.Receiver.
type Owner interface {
	Erase(ctx context.Context, e freshet.Entity, change eventlog.Change) (events int, err error)
	// Renew makes rows anew of entities whose events were changed: those of the views that read one of the fields.
	Renew(ctx context.Context, p freshet.Partition, entities map[freshet.Entity]bool, fields []string) error
}

// Past alters events of a partition wherever they are: history.Log.
type Past interface {
	Rewrite(ctx context.Context, partition freshet.Partition, change eventlog.Change) (changed int, err error)
}

// Deps are what an Eraser works with.
type Deps struct {
	Live        *release.Live
	Owner       Owner
	Past        Past
	Jobs        *jobqueue.Queue
	Predictions *predictionstore.Store
	Tables      *tablestore.Store
	Records     Records
	// Also forget an entity elsewhere: devices, messages that wait. Each may be called again.
	Also   []func(context.Context, freshet.Entity) error
	Now    func() time.Time
	Logger *slog.Logger
}

// keepDone is how many requests that are done are remembered.
const keepDone = 1000

// Eraser works off requests. Its methods may be called concurrently.
type Eraser struct {
	d    Deps
	wake chan struct{}
	one  sync.Mutex // requests are worked off one after the other

	mu       sync.Mutex
	requests map[string]*Request
}

// New finds the requests of former starts again.
func New(d Deps) (*Eraser, error) {
	x := &Eraser{d: d, wake: make(chan struct{}, 1), requests: map[string]*Request{}}
	all, err := d.Records.All()
	if err != nil {
		return nil, err
	}
	for i := range all {
		x.requests[all[i].ID] = &all[i]
	}
	return x, nil
}

// Begin takes a request for e, durably, and removes what is served. The rest follows in the background: Get tells when it is
// done. If ctx ends first, all of it follows.
func (x *Eraser) Begin(ctx context.Context, e freshet.Entity) (Request, error) {
	r := x.running(e)
	if r == nil {
		r = &Request{ID: "er-" + rand.Text(), Kind: e.Kind, Key: e.Key, State: Running, At: freshet.TimestampOf(x.d.Now()), Alias: "erased-" + rand.Text()}
		if err := x.keep(r); err != nil {
			return Request{}, err
		}
	}
	err := x.atOnce(ctx, r.ID)
	select {
	case x.wake <- struct{}{}:
	default:
	}
	if err != nil && ctx.Err() == nil {
		return Request{}, err
	}
	got, _ := x.Get(r.ID)
	return got, nil
}

// running is the request about e that is under way; nil if none is.
func (x *Eraser) running(e freshet.Entity) *Request {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.requests {
		if r.State == Running && r.Kind == e.Kind && r.Key == e.Key {
			return &Request{ID: r.ID}
		}
	}
	return nil
}

// Get is the request with an id.
func (x *Eraser) Get(id string) (Request, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	r, ok := x.requests[id]
	if !ok {
		return Request{}, false
	}
	return *r, true
}

// keep writes r down and shows it.
func (x *Eraser) keep(r *Request) error {
	if err := x.d.Records.Put(r); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	shown := *r
	x.requests[r.ID] = &shown
	return nil
}

// Run works off requests until ctx ends. One that fails is tried again, and says why.
func (x *Eraser) Run(ctx context.Context) error {
	const again = 10 * time.Second
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		for _, id := range x.open() {
			if err := x.finish(ctx, id); err != nil && ctx.Err() == nil {
				x.d.Logger.Error("an erase does not get on; it is tried again", slog.String("erase", id), slog.Any("error", err))
				x.fail(id, err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-x.wake:
		case <-tick.C:
		}
	}
}

// open are the requests that are not done, the oldest first.
func (x *Eraser) open() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var open []*Request
	for _, r := range x.requests {
		if r.State == Running {
			open = append(open, r)
		}
	}
	slices.SortFunc(open, func(a, b *Request) int { return int(a.At - b.At) })
	ids := make([]string, len(open))
	for i, r := range open {
		ids[i] = r.ID
	}
	return ids
}

func (x *Eraser) fail(id string, err error) {
	r, ok := x.Get(id)
	if !ok {
		return
	}
	r.Error = string(freshet.CodeOf(err))
	if err := x.keep(&r); err != nil {
		x.d.Logger.Error("an erase cannot be written down", slog.Any("error", err))
	}
}
