package release

import (
	"sync"
	"sync/atomic"

	"github.com/freshet-ml/freshet"
)

// Common is a prediction that is the same for everybody, kept so that it is not made for each who asks. The zero Common has none yet. It may be used
// concurrently.
type Common struct {
	mu   sync.Mutex // of who makes it
	last atomic.Pointer[freshet.Prediction]
}

// Get is the last prediction if it was created after since, and else the one that makes makes. Meanwhile others get the last one, or wait if there is
// none. It is shared: nobody changes it.
func (c *Common) Get(since freshet.Timestamp, makes func() (freshet.Prediction, error)) (freshet.Prediction, error) {
	last := c.last.Load()
	if last != nil && (last.CreatedAt > since || !c.mu.TryLock()) {
		return *last, nil
	}
	if last == nil {
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	if last = c.last.Load(); last != nil && last.CreatedAt > since {
		return *last, nil
	}
	made, err := makes()
	if err != nil {
		c.last.Store(nil) // an old one is not served on and on while it cannot be made
		return freshet.Prediction{}, err
	}
	c.last.Store(&made)
	return made, nil
}

// isCommon says whether what p predicts depends on candidates and on the time alone.
func isCommon(p *Pipeline) bool {
	return p.Ranked != nil && p.Plan.Event < 0 && len(p.Plan.Context) == 0 && len(p.EntityViews.Views) == 0 && len(p.EntityLookups) == 0
}
