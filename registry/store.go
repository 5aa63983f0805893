package registry

import (
	"bytes"
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
)

// Options of New. The zero value is good.
type Options struct {
	Now func() time.Time // stamps entries. Defaults to time.Now
	// MaxBlobBytes is the largest blob. Defaults to 1 GiB.
	MaxBlobBytes int64
	// Poll is how often Wait looks for entries that another process has appended; those of this one wake it at once.
	// Defaults to 500 ms.
	Poll time.Duration
}

// Registry keeps artifacts and decisions over any Driver. It may be used concurrently.
type Registry struct {
	d Driver
	o Options

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, when this process has appended
}

// New makes a Registry of d. Closing the Registry closes d.
func New(d Driver, o *Options) *Registry {
	if o == nil {
		o = &Options{}
	}
	r := &Registry{d: d, o: *o, changed: make(chan struct{})}
	if r.o.Now == nil {
		r.o.Now = time.Now
	}
	r.o.MaxBlobBytes = cmp.Or(r.o.MaxBlobBytes, 1<<30)
	r.o.Poll = cmp.Or(r.o.Poll, 500*time.Millisecond)
	return r
}

// Append decides: entry becomes the one after expected. Its At and Revision are set here; the entry as stored is returned
// when it is durable. Returns PreconditionFailed, naming the newest revision, if the log is not at expected: somebody else
// was first, and what they decided must be looked at before trying again. Returns InvalidArgument or TooLarge for an entry
// out of its bounds. After any other error the entry may be in the log or not.
func (r *Registry) Append(ctx context.Context, expected Revision, draft Draft) (Entry, error) {
	if err := draft.check(); err != nil {
		return Entry{}, err
	}
	e := Entry{Revision: expected + 1, At: freshet.TimestampOf(r.o.Now()), Draft: draft}
	data, err := encodeEntry(e)
	if err != nil {
		return Entry{}, err
	}
	stored, err := r.d.Append(ctx, e.Revision, data)
	if err != nil {
		return Entry{}, err
	}
	if !stored {
		head, err := r.d.Head(ctx)
		if err != nil {
			return Entry{}, err
		}
		return Entry{}, freshet.Errorf(freshet.PreconditionFailed,
			"the log of decisions is at revision %d, not at %d: look at what was decided meanwhile and try again", head, expected)
	}
	r.wake()
	e.Body = bytes.Clone(e.Body)
	return e, nil
}

// Read appends to dst the entries after revision after, in order, at most limit.
func (r *Registry) Read(ctx context.Context, dst []Entry, after Revision, limit int) ([]Entry, error) {
	head, err := r.d.Head(ctx)
	if err != nil {
		return dst, err
	}
	for n := 0; n < limit && after < head; n++ {
		after++
		data, err := r.d.Read(ctx, after)
		if err != nil {
			return dst, err
		}
		e, err := decodeEntry(after, data)
		if err != nil {
			return dst, err
		}
		dst = append(dst, e)
	}
	return dst, nil
}

// Head is the newest revision, 0 before the first entry.
func (r *Registry) Head(ctx context.Context) (Revision, error) { return r.d.Head(ctx) }

// Wait returns when there is an entry after revision after, or with ctx's error when ctx ends.
func (r *Registry) Wait(ctx context.Context, after Revision) error {
	poll := time.NewTimer(0)
	poll.Stop()
	defer poll.Stop()
	for {
		changed := r.waker() // before the look, so that nothing falls between
		head, err := r.d.Head(ctx)
		if err != nil || head > after {
			return err
		}
		poll.Reset(r.o.Poll)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-poll.C:
		}
	}
}

func (r *Registry) waker() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r *Registry) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.changed)
	r.changed = make(chan struct{})
}

// Close closes the driver. Closing twice is no error.
func (r *Registry) Close() error { return r.d.Close() }
