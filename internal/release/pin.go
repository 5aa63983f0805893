package release

import (
	"errors"
	"sync"
	"sync/atomic"
)

// hold counts who needs an Opened to stay open: its opener until Close, a Live while it has a role there, and every
// request, job and batch that has pinned it.
type hold struct {
	refs   atomic.Int64
	closed atomic.Bool // by its opener
	mu     sync.Mutex
	freed  map[any]func(o *Opened, err error)
	err    error // of freeing
}

// Pin keeps o open until Unpin; false if it is closed already.
func (o *Opened) Pin() bool {
	for {
		n := o.refs.Load()
		if n == 0 {
			return false
		}
		if o.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Unpin gives back what Pin gave. Nothing of the release may be used by the caller afterwards.
func (o *Opened) Unpin() {
	if o.refs.Add(-1) == 0 {
		o.free()
	}
}

// Close gives back the opener's hold. The models and tables are freed when nobody holds the release any more, which may be
// later; the error is that of freeing them, if it is now. Those that another release has stay. Closing twice is no error.
func (o *Opened) Close() error {
	if o.closed.Swap(true) {
		return nil
	}
	if o.refs.Add(-1) > 0 {
		return nil
	}
	o.free()
	return o.err
}

// onFree has f called after the release is freed. The caller holds o; there is one f for each owner.
func (o *Opened) onFree(owner any, f func(o *Opened, err error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.freed == nil {
		o.freed = map[any]func(*Opened, error){}
	}
	o.freed[owner] = f
}

func (o *Opened) free() {
	var errs []error
	for _, give := range o.give {
		errs = append(errs, give())
	}
	o.err = errors.Join(errs...)
	o.mu.Lock()
	freed := o.freed
	o.mu.Unlock()
	for _, f := range freed {
		f(o, o.err)
	}
}
