package registry

import (
	"context"
	"sync"

	"github.com/freshet-ml/freshet"
)

// Follower keeps a state that is folded from the log. The fold is pure: every process that follows the same log comes to the
// same state. It may be used concurrently.
type Follower[S any] struct {
	r     *Registry
	apply func(S, Entry) (S, error)

	mu       sync.Mutex
	state    S
	revision Revision
}

// Follow makes a follower that starts with the zero S. apply gives the state after an entry and leaves the state before it as it
// was, because readers may hold it; entries of kinds that it does not know change nothing. An error of apply stops the
// follower at the entry: it means that the log holds what could never have been decided.
func Follow[S any](r *Registry, apply func(S, Entry) (S, error)) *Follower[S] {
	return &Follower[S]{r: r, apply: apply}
}

// followChunk is how many entries are held at once.
const followChunk = 256

// Now is the state after all entries that are in the log, and the revision of the last one.
func (f *Follower[S]) Now(ctx context.Context) (S, Revision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		entries, err := f.r.Read(ctx, nil, f.revision, followChunk)
		if err != nil {
			return f.state, f.revision, err
		}
		for _, e := range entries {
			state, err := f.apply(f.state, e)
			if err != nil {
				return f.state, f.revision, freshet.Errorf("", "log of decisions: revision %d (%s): %w", e.Revision, e.Kind, err)
			}
			f.state, f.revision = state, e.Revision
		}
		if len(entries) < followChunk {
			return f.state, f.revision, nil
		}
	}
}

// Decide asks decide what to do in the newest state, and appends it. If somebody else was first, it asks again in the state
// that they have made. A draft without a Kind means that nothing is to be done. It returns the state after the decision.
func (f *Follower[S]) Decide(ctx context.Context, decide func(S, Revision) (Draft, error)) (S, Revision, error) {
	for {
		state, revision, err := f.Now(ctx)
		if err != nil {
			return state, revision, err
		}
		draft, err := decide(state, revision)
		if err != nil || draft.Kind == "" {
			return state, revision, err
		}
		_, err = f.r.Append(ctx, revision, draft)
		if err == nil {
			return f.Now(ctx)
		}
		if freshet.CodeOf(err) != freshet.PreconditionFailed {
			return state, revision, err
		}
	}
}
