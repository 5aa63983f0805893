// Package mempredictions is a predictionstore.Driver in memory: for tests, simulations and trials. It never bounds its
// memory and keeps nothing after Close.
package mempredictions

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/predictionstore"
)

// Store is the driver.
type Store struct {
	mu       sync.RWMutex
	closed   bool
	entities map[freshet.Entity]map[freshet.PipelineName]kept
}

type kept struct {
	prediction freshet.Prediction
	version    predictionstore.Version
}

var _ predictionstore.Driver = (*Store)(nil)

// New makes an empty store.
func New() *Store {
	return &Store{entities: make(map[freshet.Entity]map[freshet.PipelineName]kept)}
}

// Put implements predictionstore.Driver.
func (s *Store) Put(ctx context.Context, p freshet.Prediction) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return false, err
	}
	version := predictionstore.VersionOf(&p)
	if k, ok := s.entities[p.Entity][p.Pipeline]; ok {
		if !version.Replaces(k.version) {
			return false, nil
		}
		version = version.After(k.version)
	}
	if s.entities[p.Entity] == nil {
		s.entities[p.Entity] = make(map[freshet.PipelineName]kept)
	}
	s.entities[p.Entity][p.Pipeline] = kept{clone(p), version}
	return true, nil
}

// Get implements predictionstore.Driver.
func (s *Store) Get(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName) (freshet.Prediction, error) {
	p, err := s.GetExplained(ctx, e, pipeline)
	p.Explanation = nil
	return p, err
}

// GetExplained implements predictionstore.Driver.
func (s *Store) GetExplained(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName) (freshet.Prediction, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return freshet.Prediction{}, err
	}
	k, ok := s.entities[e][pipeline]
	if !ok {
		return freshet.Prediction{}, freshet.Errorf(freshet.NotFound, "no prediction of pipeline %s for %v", pipeline, e)
	}
	return clone(k.prediction), nil
}

// List implements predictionstore.Driver.
func (s *Store) List(ctx context.Context, e freshet.Entity) ([]freshet.Prediction, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	var list []freshet.Prediction
	for _, k := range s.entities[e] {
		p := k.prediction
		p.Explanation = nil
		list = append(list, clone(p))
	}
	slices.SortFunc(list, func(a, b freshet.Prediction) int { return cmp.Compare(a.Pipeline, b.Pipeline) })
	return list, nil
}

// Delete implements predictionstore.Driver.
func (s *Store) Delete(ctx context.Context, e freshet.Entity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	delete(s.entities, e)
	return nil
}

// Close implements predictionstore.Driver.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.entities = nil
	return nil
}

func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return freshet.Errorf(freshet.Unavailable, "the prediction store is closed")
	}
	return ctx.Err()
}

// clone makes a copy that shares nothing that can be changed. What is empty becomes nil, as in stores that write it down.
func clone(p freshet.Prediction) freshet.Prediction {
	p.Items = append([]freshet.Item(nil), p.Items...)
	p.Outputs = maps.Clone(p.Outputs)
	if len(p.Outputs) == 0 {
		p.Outputs = nil
	}
	if p.Explanation == nil {
		return p
	}
	x := freshet.Explanation{Names: append([]string(nil), p.Explanation.Names...)}
	for _, in := range p.Explanation.Inputs {
		x.Inputs = append(x.Inputs, append([]float64(nil), in...))
	}
	for column, texts := range p.Explanation.Texts {
		if x.Texts == nil {
			x.Texts = map[string][]string{}
		}
		x.Texts[column] = append([]string(nil), texts...)
	}
	x.Reason = p.Explanation.Reason
	p.Explanation = &x
	return p
}

// Sweep implements predictionstore.Driver, in one step.
func (s *Store) Sweep(ctx context.Context, before freshet.Timestamp, _ []byte, _ int) ([]byte, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, 0, err
	}
	removed := 0
	for e, all := range s.entities {
		for name, k := range all {
			if at := k.prediction.ExpiresAt; at != 0 && at < before {
				delete(all, name)
				removed++
			}
		}
		if len(all) == 0 {
			delete(s.entities, e)
		}
	}
	return nil, removed, nil
}
