package disktables_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/tablestore"
	"github.com/freshet-ml/freshet/tablestore/disktables"
	"github.com/freshet-ml/freshet/tablestore/tablestoretest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	type base struct {
		fs    vfs.FS
		close func()
	}
	var bases sync.Map // driver → base
	open := func(t testing.TB, fs vfs.FS) tablestore.Driver {
		db := openDisk(t, fs)
		d := disktables.New(db)
		b := base{fs, sync.OnceFunc(func() {
			must(t, d.Close())
			must(t, db.Close())
		})}
		t.Cleanup(b.close)
		bases.Store(d, b)
		return d
	}
	tablestoretest.Run(t, tablestoretest.Harness{
		Open: func(t testing.TB) tablestore.Driver { return open(t, vfs.NewMem()) },
		Reopen: func(t testing.TB, d tablestore.Driver) tablestore.Driver {
			v, _ := bases.LoadAndDelete(d)
			b := v.(base)
			b.close()
			return open(t, b.fs)
		},
	})
}

func openDisk(t testing.TB, fs vfs.FS) *disk.DB {
	t.Helper()
	db, err := disk.Open("data", &disk.Options{FS: fs})
	must(t, err)
	return db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestPowerLoss takes the power away while writers write the same keys, drops what was not synced, and expects each
// acknowledged row or a newer one, also where the acknowledged one was historic.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const keys = 4
	fs := vfs.NewCrashableMem()
	db := openDisk(t, fs)
	d := disktables.New(db)
	t.Cleanup(func() {
		must(t, d.Close())
		must(t, db.Close())
	})
	var mu sync.Mutex
	newest := map[freshet.Key]tablestore.Moment{} // of what was acknowledged
	for round := range 20 {
		var wg sync.WaitGroup
		crash := make(chan vfs.FS, 1)
		var acked map[freshet.Key]tablestore.Moment
		cut, unsynced := rng.IntN(40), 100*rng.IntN(2)
		crashRNG := rand.New(rand.NewPCG(seed, uint64(round)))
		count := 0
		for w := range 4 {
			wrng := rand.New(rand.NewPCG(seed, uint64(round*100+w+1)))
			wg.Go(func() {
				for range 10 {
					r := tablestore.Row{Table: "t", Key: freshet.Key(fmt.Sprint("k", wrng.IntN(keys))), EventTime: tablestore.Moment(wrng.IntN(round*50 + 50))}
					r.Data = fmt.Append(nil, r.EventTime)
					if _, err := d.Put(t.Context(), tablestore.TakeLast, []tablestore.Row{r}); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					newest[r.Key] = max(newest[r.Key], r.EventTime)
					if count++; count == cut+1 {
						// What was acknowledged until here must be in the copy, which is taken after it.
						acked = map[freshet.Key]tablestore.Moment{}
						for k, v := range newest {
							acked[k] = v
						}
						crash <- fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: crashRNG})
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		checkLeft(t, <-crash, acked)
	}
}

func checkLeft(t *testing.T, fs vfs.FS, acked map[freshet.Key]tablestore.Moment) {
	t.Helper()
	db := openDisk(t, fs)
	d := disktables.New(db)
	defer func() {
		must(t, d.Close())
		must(t, db.Close())
	}()
	for key, m := range acked {
		r, ok, err := d.Get(t.Context(), "t", key)
		must(t, err)
		if !ok || r.EventTime < m || string(r.Data) != fmt.Sprint(r.EventTime) {
			t.Errorf("%s: acknowledged up to %d, after the crash there is %+v (%t)", key, m, r, ok)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	db, err := disk.Open(b.TempDir(), nil)
	must(b, err)
	d := disktables.New(db)
	defer func() {
		must(b, d.Close())
		must(b, db.Close())
	}()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
		for i := tablestore.Moment(1); pb.Next(); i++ {
			row := tablestore.Row{Table: "t", Key: freshet.Key(fmt.Sprint(rng.IntN(100_000))), EventTime: i, Data: make([]byte, 100)}
			if _, err := d.Put(b.Context(), tablestore.TakeLast, []tablestore.Row{row}); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkGet(b *testing.B) {
	db, err := disk.Open(b.TempDir(), nil)
	must(b, err)
	d := disktables.New(db)
	defer func() {
		must(b, d.Close())
		must(b, db.Close())
	}()
	var rows []tablestore.Row
	for i := range 10_000 {
		rows = append(rows, tablestore.Row{Table: "t", Key: freshet.Key(fmt.Sprint(i)), EventTime: 1, Data: make([]byte, 100)})
	}
	_, err = d.Put(b.Context(), tablestore.TakeLast, rows)
	must(b, err)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, _, err := d.Get(b.Context(), "t", rows[i%len(rows)].Key); err != nil {
			b.Fatal(err)
		}
	}
}
