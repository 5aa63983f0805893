// Package diskpredictions is the predictionstore.Driver of the embedded store: predictions in the one Pebble store of the
// server, so that those of an entity lie side by side, with some in memory in front. A prediction is derived from the event log and its job is
// acknowledged behind it in the same write-ahead log, so nothing is synced here: after a crash the job is there again
// wherever its prediction is not. The package never looks at a clock.
package diskpredictions

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/zeebo/xxh3"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/predictionstore"
)

// Options say how much memory the predictions may take. The zero value is good.
type Options struct {
	// HotBytes bounds the predictions in memory, keys and bookkeeping included. Defaults to 32 MiB.
	HotBytes int64
}

const defaultHotBytes = 32 << 20

// Store is the driver.
type Store struct {
	db       *pebble.DB
	seed     uint64
	gate     disk.Gate // held while db is used, so that Close waits for that
	hotBytes int64     // of each stripe
	stripes  [stripes]stripe
}

// stripes is how many entities can be written at a time.
const stripes = 64

// stripe are the entities whose keys have one hash.
type stripe struct {
	writing sync.Mutex // a Put reads before it writes
	hot     hot
}

var _ predictionstore.Driver = (*Store)(nil)

// New makes the driver. db must stay open until Close. o may be nil.
func New(db *disk.DB, o *Options) *Store {
	if o == nil {
		o = &Options{}
	}
	return &Store{db: db.Pebble(), seed: db.Seed(), hotBytes: cmp.Or(o.HotBytes, defaultHotBytes) / stripes}
}

// Put implements predictionstore.Driver.
func (s *Store) Put(ctx context.Context, p freshet.Prediction) (bool, error) {
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return false, err
	}
	defer s.gate.Leave()
	var stack [256]byte
	key := appendEntityKey(stack[:0], p.Entity)
	stripe := s.stripe(key)
	stripe.writing.Lock()
	defer stripe.writing.Unlock()
	key = append(key, p.Pipeline...)
	version := predictionstore.VersionOf(&p)
	kept, found, err := s.kept(stripe, key)
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
	h, rest, err := decodeHead(value)
	if err != nil {
		return false, err
	}
	stripe.hot.put(key, hotPrediction{h, string(rest[:h.bodyBytes])}, s.hotBytes)
	return true, nil
}

// stripe is that of an entity's key.
func (s *Store) stripe(entityKey []byte) *stripe {
	return &s.stripes[xxh3.HashSeed(entityKey, s.seed)%stripes]
}

// kept is the version of the prediction at key; found is false if there is none.
func (s *Store) kept(stripe *stripe, key []byte) (v predictionstore.Version, found bool, err error) {
	if p, ok, _ := stripe.hot.get(key); ok {
		return p.head.version, true, nil
	}
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
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return freshet.Prediction{}, err
	}
	defer s.gate.Leave()
	var stack [256]byte
	key := appendEntityKey(stack[:0], e)
	stripe := s.stripe(key)
	key = append(key, pipeline...)
	kept, found, mark := stripe.hot.get(key)
	if !found {
		var err error
		if kept, err = s.warm(stripe, e, pipeline, mark); err != nil {
			return freshet.Prediction{}, err
		}
	}
	p, ok := decodeFront(kept.head, kept.body)
	if !ok {
		return freshet.Prediction{}, unreadable([]byte(kept.body))
	}
	p.Entity, p.Pipeline = e, pipeline
	return p, nil
}

// warm reads from disk what is not hot. It makes the key anew: one that goes to the disk escapes, and would cost those that
// do not go there an allocation.
func (s *Store) warm(stripe *stripe, e freshet.Entity, pipeline freshet.PipelineName, mark uint64) (hotPrediction, error) {
	var stack [256]byte
	key := append(appendEntityKey(stack[:0], e), pipeline...)
	value, closer, err := s.read(key, e, pipeline)
	if err != nil {
		return hotPrediction{}, err
	}
	defer closer.Close()
	h, rest, err := decodeHead(value)
	if err != nil {
		return hotPrediction{}, err
	}
	p := hotPrediction{h, string(rest[:h.bodyBytes])}
	stripe.hot.remember(key, p, mark, s.hotBytes)
	return p, nil
}

// GetExplained implements predictionstore.Driver. It reads the disk: explanations are larger than all else, and asked for
// by people.
func (s *Store) GetExplained(ctx context.Context, e freshet.Entity, pipeline freshet.PipelineName) (freshet.Prediction, error) {
	if err := s.gate.Enter(ctx, storeName); err != nil {
		return freshet.Prediction{}, err
	}
	defer s.gate.Leave()
	var stack [256]byte
	value, closer, err := s.read(append(appendEntityKey(stack[:0], e), pipeline...), e, pipeline)
	if err != nil {
		return freshet.Prediction{}, err
	}
	defer closer.Close()
	p, _, err := decodePrediction(value, true)
	p.Entity, p.Pipeline = e, pipeline
	return p, err
}

// read reads the value at key, that of pipeline and e, from disk. It is valid until closer is closed.
func (s *Store) read(key []byte, e freshet.Entity, pipeline freshet.PipelineName) (value []byte, closer io.Closer, err error) {
	value, closer, err = s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil, freshet.Errorf(freshet.NotFound, "no prediction of pipeline %s for %v", pipeline, e)
	}
	return value, closer, storeError(err)
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
	stripe := s.stripe(appendEntityKey(nil, e))
	stripe.writing.Lock()
	defer stripe.writing.Unlock()
	b := s.db.NewBatch()
	defer b.Close()
	var keys [][]byte
	err := s.scan(e, func(it *pebble.Iterator, _ int) error {
		keys = append(keys, bytes.Clone(it.Key()))
		return storeError(b.Delete(it.Key(), nil))
	})
	if err != nil || b.Empty() {
		return err
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return storeError(err)
	}
	for _, key := range keys {
		stripe.hot.remove(key)
	}
	return nil
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
