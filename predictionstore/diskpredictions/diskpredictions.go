// Package diskpredictions is the predictionstore.Driver of the embedded store: predictions in the one Pebble store of the
// server, so that those of an entity lie side by side. A prediction is derived from the event log and its job is
// acknowledged behind it in the same write-ahead log, so nothing is synced here: after a crash the job is there again
// wherever its prediction is not. The package never looks at a clock.
package diskpredictions

import (
	"context"
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/zeebo/xxh3"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/predictionstore"
)

// stripes is how many entities can be written at a time.
const stripes = 64

// Store is the driver.
type Store struct {
	db      *pebble.DB
	seed    uint64
	gate    disk.Gate           // held while db is used, so that Close waits for that
	writing [stripes]sync.Mutex // by entity: a Put reads before it writes
}

var _ predictionstore.Driver = (*Store)(nil)

// New makes the driver. db must stay open until Close.
func New(db *disk.DB) *Store { return &Store{db: db.Pebble(), seed: db.Seed()} }

// Put implements predictionstore.Driver.
func (s *Store) Put(ctx context.Context, p freshet.Prediction) (bool, error) {
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return false, err
	}
	defer s.gate.Leave()
	var stack [256]byte
	key := appendEntityKey(stack[:0], p.Entity)
	defer s.lock(key).Unlock()
	key = append(key, p.Pipeline...)
	version := predictionstore.VersionOf(&p)
	kept, found, err := s.kept(key)
	if err != nil {
		return false, err
	}
	if found && !version.Replaces(kept) {
		return false, nil
	}
	var buf [2048]byte
	value := appendPrediction(buf[:0], &p, version.After(kept))
	if err := s.db.Set(key, value, pebble.NoSync); err != nil {
		return false, storeError(err)
	}
	return true, nil
}

// lock locks the stripe of an entity's key.
func (s *Store) lock(entityKey []byte) *sync.Mutex {
	m := &s.writing[xxh3.HashSeed(entityKey, s.seed)%stripes]
	m.Lock()
	return m
}

// kept is the version of the prediction at key; found is false if there is none.
func (s *Store) kept(key []byte) (v predictionstore.Version, found bool, err error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return v, false, nil
	}
	if err != nil {
		return v, false, storeError(err)
	}
	defer closer.Close()
	h, _, err := decodeHead(value)
	return h.version, err == nil, err
}

// Get implements predictionstore.Driver.
func (s *Store) Get(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName) (freshet.Prediction, error) {
	return s.get(ctx, e, pipeline, false)
}

// GetExplained implements predictionstore.Driver.
func (s *Store) GetExplained(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName) (freshet.Prediction, error) {
	return s.get(ctx, e, pipeline, true)
}

func (s *Store) get(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName, explained bool) (freshet.Prediction, error) {
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return freshet.Prediction{}, err
	}
	defer s.gate.Leave()
	var stack [256]byte
	value, closer, err := s.db.Get(append(appendEntityKey(stack[:0], e), pipeline...))
	if errors.Is(err, pebble.ErrNotFound) {
		return freshet.Prediction{}, freshet.Errorf(freshet.NotFound, "no prediction of pipeline %s for %v", pipeline, e)
	}
	if err != nil {
		return freshet.Prediction{}, storeError(err)
	}
	defer closer.Close()
	p, _, err := decodePrediction(value, explained)
	p.Entity, p.Pipeline = e, pipeline
	return p, err
}

// List implements predictionstore.Driver.
func (s *Store) List(ctx context.Context, e freshet.Entity) ([]freshet.Prediction, error) {
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	var list []freshet.Prediction
	err := s.scan(e, func(it *pebble.Iterator, prefix int) error {
		value, err := it.ValueAndErr()
		if err != nil {
			return storeError(err)
		}
		p, _, err := decodePrediction(value, false)
		p.Entity, p.Pipeline = e, freshet.PipelineName(it.Key()[prefix:])
		list = append(list, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Delete implements predictionstore.Driver. It is synced: nothing would delete again what comes back after a crash.
func (s *Store) Delete(ctx context.Context, e freshet.Entity) error {
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return err
	}
	defer s.gate.Leave()
	defer s.lock(appendEntityKey(nil, e)).Unlock()
	b := s.db.NewBatch()
	defer b.Close()
	err := s.scan(e, func(it *pebble.Iterator, _ int) error { return storeError(b.Delete(it.Key(), nil)) })
	if err != nil || b.Empty() {
		return err
	}
	return storeError(b.Commit(pebble.Sync))
}

// scan calls each at all predictions of e, in the order of their pipelines' names, with the length of the keys' common prefix.
func (s *Store) scan(e freshet.Entity, each func(it *pebble.Iterator, prefix int) error) error {
	var low, high [256]byte
	from := appendEntityKey(low[:0], e)
	to := append(high[:0], from...)
	to[len(to)-1]++ // behind all that begin with from, which does not end with ff
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return storeError(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := each(it, len(from)); err != nil {
			return err
		}
	}
	return storeError(it.Error())
}

// Close implements predictionstore.Driver. The store below stays open.
func (s *Store) Close() error {
	s.gate.Close()
	return nil
}

// storeName is what the store is called in errors.
const storeName = "prediction store"

func storeError(err error) error {
	if err == nil {
		return nil
	}
	return freshet.Errorf(freshet.Internal, storeName+": %w", err)
}
