package diskfeatures

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/featurestore"
	"github.com/freshet-ml/freshet/featurestore/featurestoretest"
	"github.com/freshet-ml/freshet/internal/alloctest"
)

func openPebble(t *testing.T, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, Logger: quiet{t}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

type quiet struct{ *testing.T }

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*Options{"hot": nil, "everything cold": {HotBytes: 1}} {
		t.Run(name, func(t *testing.T) {
			featurestoretest.Run(t, featurestoretest.Harness{
				Open: func(t *testing.T) featurestore.Driver { return New(openPebble(t, vfs.NewMem()), o) },
				Reopen: func(t *testing.T, d featurestore.Driver) featurestore.Driver {
					if err := d.Close(); err != nil {
						t.Fatal(err)
					}
					return New(d.(*Store).db, o)
				},
			})
		})
	}
}

// TestCrash drops unsynced bytes at every checkpoint and finds rows and offset of one moment.
func TestCrash(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	db := openPebble(t, fs)
	s := New(db, nil)
	const p, keys = 3, 5
	own, err := s.Acquire(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	for o := freshet.Offset(1); o <= 40; o++ {
		// Each event changes all rows, so that a mix of two moments shows.
		var rows []freshet.Row
		for k := range keys {
			rows = append(rows, freshet.Row{View: 1, Key: freshet.Key(fmt.Sprint(k)), Offset: o, Data: fmt.Append(nil, o)})
		}
		if err := s.Apply(t.Context(), p, own.Epoch, o, rows); err != nil {
			t.Fatal(err)
		}
		if err := s.Checkpoint(t.Context(), p, own.Epoch, nil, nil); err != nil {
			t.Fatal(err)
		}
		if o%9 == 0 { // the event log's sync
			if err := db.LogData(nil, pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
		crashed := New(openPebble(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(o * 7 % 101), RNG: rand.New(rand.NewPCG(1, uint64(o)))})), nil)
		again, err := crashed.Acquire(t.Context(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		if again.Checkpoint > o || again.Checkpoint < o/9*9 {
			t.Fatalf("after a crash at %d the checkpoint is %d", o, again.Checkpoint)
		}
		for k := range keys {
			got, err := crashed.Get(t.Context(), nil, p, freshet.Key(fmt.Sprint(k)), []freshet.ViewID{1})
			if err != nil || got[0].Offset != again.Checkpoint {
				t.Fatalf("crash at %d: row %d has offset %d, the checkpoint is %d (%v)", o, k, got[0].Offset, again.Checkpoint, err)
			}
		}
	}
}

// TestCheckpointThatIsOvertaken: a new owner comes between a checkpoint of the one before and its settling. What he has
// applied since is on disk after his own checkpoint all the same (P1).
func TestCheckpointThatIsOvertaken(t *testing.T) {
	t.Parallel()
	const p = 1
	db := openPebble(t, vfs.NewMem())
	s := New(db, nil)
	apply := func(own featurestore.Ownership, o freshet.Offset) {
		t.Helper()
		r := freshet.Row{View: 1, Key: "u1", Offset: o, Data: fmt.Append(nil, o)}
		if err := s.Apply(t.Context(), p, own.Epoch, o, []freshet.Row{r}); err != nil {
			t.Fatal(err)
		}
	}
	first, _ := s.Acquire(t.Context(), p, nil)
	apply(first, 1)
	if err := s.Checkpoint(t.Context(), p, first.Epoch, nil, nil); err != nil {
		t.Fatal(err)
	}
	second, _ := s.Acquire(t.Context(), p, nil)
	apply(second, 2)
	s.partitions[p].settle(first.Epoch, featurestore.Saved{Through: 1}, s.hotBytes)
	if err := s.Checkpoint(t.Context(), p, second.Epoch, nil, nil); err != nil {
		t.Fatal(err)
	}
	after := New(db, nil)
	own, err := after.Acquire(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := after.Get(t.Context(), nil, p, "u1", []freshet.ViewID{1})
	if err != nil || own.Checkpoint != 2 || rows[0].Offset != 2 {
		t.Errorf("the checkpoint is %d, the row's offset %d (%v), want 2", own.Checkpoint, rows[0].Offset, err)
	}
}

func TestHotRowsAreBounded(t *testing.T) {
	t.Parallel()
	const hot = 1 << 20
	s := New(openPebble(t, vfs.NewMem()), &Options{HotBytes: hot})
	own, _ := s.Acquire(t.Context(), 1, nil)
	for o := freshet.Offset(1); o <= 20000; o++ {
		r := freshet.Row{View: 1, Key: freshet.Key(fmt.Sprint(o)), Offset: o, Data: make([]byte, 100)}
		if err := s.Apply(t.Context(), 1, own.Epoch, o, []freshet.Row{r}); err != nil {
			t.Fatal(err)
		}
		if o%500 == 0 {
			if err := s.Checkpoint(t.Context(), 1, own.Epoch, nil, nil); err != nil {
				t.Fatal(err)
			}
			if _, bytes := s.HotRows(); bytes > hot/freshet.Partitions {
				t.Fatalf("%d bytes in memory, the bound is %d", bytes, hot/freshet.Partitions)
			}
		}
	}
}

// TestRowsMakeRoomBeforeTheCheckpoint: what comes in between two checkpoints takes the place of rows that are on disk.
func TestRowsMakeRoomBeforeTheCheckpoint(t *testing.T) {
	t.Parallel()
	const hot = 4 << 20
	s := New(openPebble(t, vfs.NewMem()), &Options{HotBytes: hot})
	own, _ := s.Acquire(t.Context(), 1, nil)
	for o := freshet.Offset(1); o <= 2000; o++ {
		r := freshet.Row{View: 1, Key: freshet.Key(fmt.Sprint(o)), Offset: o, Data: make([]byte, 100)}
		if err := s.Apply(t.Context(), 1, own.Epoch, o, []freshet.Row{r}); err != nil {
			t.Fatal(err)
		}
		if o%100 == 0 && o <= 1000 {
			if err := s.Checkpoint(t.Context(), 1, own.Epoch, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, bytes := s.HotRows(); o <= 1100 && bytes > hot/freshet.Partitions {
			t.Fatalf("%d bytes in memory after %d rows, the bound is %d", bytes, o, hot/freshet.Partitions)
		}
	}
	// None that waits for the checkpoint was dropped.
	if rows, _ := s.HotRows(); rows < 1000 {
		t.Errorf("%d rows in memory, 1000 wait for a checkpoint", rows)
	}
}

// TestARowKeepsNothingOfItsEvent: the key that is kept is a copy, or the id of the event that it was cut from would be kept with it.
func TestARowKeepsNothingOfItsEvent(t *testing.T) {
	t.Parallel()
	s := New(openPebble(t, vfs.NewMem()), nil)
	own, _ := s.Acquire(t.Context(), 1, nil)
	event := "an event's id and u1"
	r := freshet.Row{View: 1, Key: freshet.Key(event[len(event)-2:]), Offset: 1, Data: []byte("data")}
	for range 2 {
		if err := s.Apply(t.Context(), 1, own.Epoch, 1, []freshet.Row{r}); err != nil {
			t.Fatal(err)
		}
		for k := range s.partitions[1].rows {
			if unsafe.StringData(string(k.key)) == unsafe.StringData(string(r.Key)) {
				t.Fatal("the key is a part of the event's text")
			}
		}
	}
}

// TestAViewThatBeganEmptyIsNotLookedForOnDisk: nothing is kept of an entity without a row, and rows are found again once some are
// on disk alone.
func TestAViewThatBeganEmptyIsNotLookedForOnDisk(t *testing.T) {
	t.Parallel()
	const hot = 1 << 20
	s := New(openPebble(t, vfs.NewMem()), &Options{HotBytes: hot})
	part := &s.partitions[1]
	own, _ := s.Acquire(t.Context(), 1, nil)
	key := func(o freshet.Offset) freshet.Key { return freshet.Key(fmt.Sprint(o)) }
	get := func(k freshet.Key) freshet.Row {
		rows, err := s.Get(t.Context(), nil, 1, k, []freshet.ViewID{1})
		if err != nil {
			t.Fatal(err)
		}
		return rows[0]
	}
	const rows = 200
	for o := freshet.Offset(1); o <= rows; o++ {
		if got := get(key(o)); got.Data != nil || !part.whole[1] || len(part.rows) >= int(o) {
			t.Fatalf("row %d before it is there: %+v, with %d rows in memory, all: %v", o, got, len(part.rows), part.whole[1])
		}
		r := freshet.Row{View: 1, Key: key(o), Offset: o, Data: make([]byte, 100)}
		if err := s.Apply(t.Context(), 1, own.Epoch, o, []freshet.Row{r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Checkpoint(t.Context(), 1, own.Epoch, []freshet.ViewID{1}, nil); err != nil {
		t.Fatal(err)
	}
	if part.whole[1] || len(part.rows) == rows {
		t.Fatalf("%d of %d rows are in memory, all: %v", len(part.rows), rows, part.whole[1])
	}
	for o := freshet.Offset(1); o <= rows; o++ {
		if got := get(key(o)); got.Offset != o {
			t.Fatalf("row %d: %+v", o, got)
		}
	}
	if err := s.Drop(t.Context(), 1, own.Epoch, nil); err != nil {
		t.Fatal(err)
	}
	if got := get(key(1)); got.Data != nil || !part.whole[1] || len(part.rows) != 0 {
		t.Fatalf("after Drop: %+v, %d rows in memory, all: %v", got, len(part.rows), part.whole[1])
	}
}

func TestHotPathAllocations(t *testing.T) {
	s := New(openPebble(t, vfs.NewMem()), nil)
	own, _ := s.Acquire(t.Context(), 1, nil)
	rows := []freshet.Row{{View: 1, Key: "u1", Offset: 1, Data: []byte("data")}}
	dst, views := make([]freshet.Row, 0, 4), []freshet.ViewID{1}
	if n := alloctest.PerRun(100, func() {
		if err := s.Apply(t.Context(), 1, own.Epoch, 1, rows); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Apply: %v allocations", n)
	}
	if n := alloctest.PerRun(100, func() {
		if _, err := s.Get(t.Context(), dst, 1, "u1", views); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Get: %v allocations", n)
	}
}
