package diskpredictions_test

import (
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/predictionstore"
	"github.com/freshet-ml/freshet/predictionstore/diskpredictions"
	"github.com/freshet-ml/freshet/predictionstore/predictionstoretest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*diskpredictions.Options{"hot": nil, "cold": {HotBytes: 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runContract(t, o)
		})
	}
}

func runContract(t *testing.T, o *diskpredictions.Options) {
	type base struct {
		fs    vfs.FS
		close func()
	}
	var bases sync.Map // driver → base
	open := func(t testing.TB, fs vfs.FS) predictionstore.Driver {
		db := openDisk(t, "data", fs)
		d := diskpredictions.New(db, o)
		b := base{fs, sync.OnceFunc(func() {
			must(t, d.Close())
			must(t, db.Close())
		})}
		t.Cleanup(b.close)
		bases.Store(d, b)
		return d
	}
	predictionstoretest.Run(t, predictionstoretest.Harness{
		Open: func(t testing.TB) predictionstore.Driver { return open(t, vfs.NewMem()) },
		Reopen: func(t testing.TB, d predictionstore.Driver) predictionstore.Driver {
			v, _ := bases.LoadAndDelete(d)
			b := v.(base)
			b.close()
			return open(t, b.fs)
		},
	})
}

func openDisk(t testing.TB, dir string, fs vfs.FS) *disk.DB {
	t.Helper()
	db, err := disk.Open(dir, &disk.Options{FS: fs})
	must(t, err)
	return db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
