package server_test

import (
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/eventlog/memlog"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/diskfeatures"
	"github.com/freshet-ml/freshet/featurestore/memfeatures"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/diskqueue"
	"github.com/freshet-ml/freshet/jobqueue/memqueue"
	"github.com/freshet-ml/freshet/predictionstore"
	"github.com/freshet-ml/freshet/predictionstore/diskpredictions"
	"github.com/freshet-ml/freshet/predictionstore/mempredictions"
)

// simDrivers are the drivers of one run.
type simDrivers struct {
	log         eventlog.Driver
	features    featurestore.Driver
	jobs        jobqueue.Driver
	predictions predictionstore.Driver
	close       func() error // after all that use them have ended
}

// simStores give drivers over the same data, again and again.
type simStores interface {
	open() (simDrivers, error)
	// cut lets the power fail at some moment while during runs, or after. What a later open gives is what that leaves; the
	// drivers opened before may go on and change nothing of it. ok is false if the stores cannot lose power: then during is
	// not run.
	cut(during func()) (after, ok bool)
}

// memStores keep everything while the test runs.
type memStores struct{ d simDrivers }

func newMemStores() *memStores {
	return &memStores{simDrivers{
		log: memlog.New(nil), features: memfeatures.New(), jobs: memqueue.New(), predictions: mempredictions.New(),
		close: func() error { return nil },
	}}
}

func (s *memStores) open() (simDrivers, error) { return s.d, nil }

func (s *memStores) cut(func()) (after, ok bool) { return false, false }

// diskStores are the embedded ones over a file system that forgets what was not synced.
type diskStores struct {
	pick choices
	fs   *vfs.MemFS

	mu    sync.Mutex // guards all below: the file system is used by several goroutines
	until int        // changes before the cut; below 0: none is asked for
	left  *vfs.MemFS // what the cut has left
	rng   *rand.Rand
}

func newDiskStores(pick choices) *diskStores {
	return &diskStores{
		pick: pick, fs: vfs.NewCrashableMem(), until: -1,
		rng: rand.New(rand.NewPCG(uint64(pick(1<<30, "seed of the file system")), 0)),
	}
}

func (s *diskStores) open() (simDrivers, error) {
	fs := s.fs
	power := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			s.change(fs)
		}
		return nil
	})
	db, err := disk.Open("data", &disk.Options{FS: errorfs.Wrap(fs, power)})
	if err != nil {
		return simDrivers{}, err
	}
	log, err := disklog.New(db, nil)
	if err != nil {
		return simDrivers{}, err
	}
	jobs, err := diskqueue.New(db)
	if err != nil {
		return simDrivers{}, err
	}
	// From no rows in memory to all.
	hot := diskfeatures.New(db.Pebble(), &diskfeatures.Options{HotBytes: 1 << s.pick(24, "bytes in memory")})
	predictions := diskpredictions.New(db, nil)
	return simDrivers{log: log, features: hot, jobs: jobs, predictions: predictions, close: func() error {
		// The drivers first: they may still be reading.
		return errors.Join(predictions.Close(), jobs.Close(), hot.Close(), log.Close(), db.Close())
	}}, nil
}

// change hears of a change of fs before it is made.
func (s *diskStores) change(fs *vfs.MemFS) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fs != s.fs || s.until < 0 {
		return
	}
	if s.until--; s.until < 0 {
		s.left = s.crashed()
	}
}

func (s *diskStores) crashed() *vfs.MemFS {
	return s.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * s.rng.IntN(3), RNG: s.rng})
}

func (s *diskStores) cut(during func()) (after, ok bool) {
	s.mu.Lock()
	s.until, s.left = s.pick(12, "changes before the cut"), nil
	s.mu.Unlock()
	during()
	s.mu.Lock()
	defer s.mu.Unlock()
	if after = s.left == nil; after {
		s.left = s.crashed()
	}
	s.fs, s.until = s.left, -1
	return after, true
}
