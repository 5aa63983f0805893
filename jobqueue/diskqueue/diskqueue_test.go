package diskqueue_test

import (
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/jobqueue"
	"github.com/freshet-ml/freshet/jobqueue/diskqueue"
	"github.com/freshet-ml/freshet/jobqueue/jobqueuetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	var stores sync.Map // *diskqueue.Queue → store
	open := func(t testing.TB, fs vfs.FS) jobqueue.Driver {
		s := openStore(t, fs)
		t.Cleanup(s.close)
		stores.Store(s.Queue, s)
		return s.Queue
	}
	jobqueuetest.Run(t, jobqueuetest.Harness{
		Open: func(t testing.TB) jobqueue.Driver { return open(t, vfs.NewMem()) },
		Reopen: func(t testing.TB, d jobqueue.Driver) jobqueue.Driver {
			v, _ := stores.LoadAndDelete(d)
			s := v.(*store)
			s.close()
			return open(t, s.fs)
		},
		Features: jobqueuetest.Features{LeasesEndAtReopen: true},
	})
}

// store is a queue and what it stands on.
type store struct {
	*diskqueue.Queue
	fs    vfs.FS
	close func()
}

func openStore(t testing.TB, fs vfs.FS) *store {
	t.Helper()
	db, err := disk.Open("data", &disk.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	q, err := diskqueue.New(db)
	if err != nil {
		t.Fatal(err)
	}
	return &store{Queue: q, fs: fs, close: sync.OnceFunc(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})}
}
