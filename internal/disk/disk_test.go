package disk

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/freshet-ml/freshet"
)

func mustOpen(t *testing.T, dir string, o *Options) *DB {
	t.Helper()
	d, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

func TestOpenAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/not/there/yet"
	d := mustOpen(t, dir, nil)
	if err := d.Pebble().Set([]byte("pk"), []byte("v"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	seed := d.Seed()
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d = mustOpen(t, dir, nil)
	value, closer, err := d.Pebble().Get([]byte("pk"))
	if err != nil || string(value) != "v" {
		t.Fatalf("Get: %q, %v", value, err)
	}
	closer.Close()
	if d.Seed() != seed || seed == 0 {
		t.Errorf("seed is %d after %d", d.Seed(), seed)
	}
	if m := d.Metrics(); m.DiskBytes == 0 || m.WriteStalls != 0 {
		t.Errorf("Metrics: %+v", m)
	}
}

func TestBeforeClose(t *testing.T) {
	t.Parallel()
	d := mustOpen(t, "data", &Options{FS: vfs.NewMem()})
	called := 0
	d.BeforeClose(func() {
		called++
		if err := d.Pebble().Set([]byte("pk"), []byte("v"), pebble.NoSync); err != nil { // it panics once it is closed
			t.Error(err)
		}
	})
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if called != 1 {
		t.Errorf("called %d times", called)
	}
}

// The data folder may lie in folders that are not there yet either.
func TestNewFoldersSurviveACrash(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	d := mustOpen(t, "/var/lib/freshet", &Options{FS: fs})
	if err := d.Pebble().Set([]byte("pk"), []byte("v"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	d = mustOpen(t, "/var/lib/freshet", &Options{FS: fs.CrashClone(vfs.CrashCloneCfg{})})
	_, closer, err := d.Pebble().Get([]byte("pk"))
	if err != nil {
		t.Fatalf("after a crash: %v", err)
	}
	closer.Close()
}

// A crash while the store is made leaves nothing behind that could not be opened: of what was not synced a file system may
// keep any part.
func TestACrashWhileItIsMade(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex // guards rng and cuts
	var cuts []vfs.FS
	for range 20 {
		mem := vfs.NewCrashableMem()
		mustOpen(t, "/data", &Options{FS: errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				mu.Lock()
				defer mu.Unlock()
				cuts = append(cuts, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng}))
			}
			return nil
		}))})
	}
	mu.Lock()
	defer mu.Unlock()
	for i, fs := range cuts {
		d, err := Open("/data", &Options{FS: fs})
		if err != nil {
			t.Fatalf("cut %d of %d: %v", i, len(cuts), err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCompactionsWaitForOpen: what a start flushes of the write-ahead log may be worth a compaction; it begins, without another write, but
// no start waits for it.
func TestCompactionsWaitForOpen(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	if err := mustOpen(t, "data", &Options{FS: mem}).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open("data", &pebble.Options{FS: mem, FormatMajorVersion: pebbleFormat, DisableAutomaticCompactions: true, Logger: &fatal{}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for range 8 {
		if err := db.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"pa", "pz"} {
			if err := db.Set([]byte(key), []byte("v"), pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
	}
	fs := &compactingFS{FS: mem.CrashClone(vfs.CrashCloneCfg{}), begun: make(chan int, 1)}
	mustOpen(t, "data", &Options{FS: fs})
	// Pebble makes one log while it opens the store; the second is that of the flush by which Open lets compactions begin.
	if logs := <-fs.begun; logs < 2 {
		t.Error("a compaction began before the store was open")
	}
}

// compactingFS tells how many logs were created before the first file of a compaction.
type compactingFS struct {
	vfs.FS
	logs  atomic.Int64
	begun chan int
}

func (f *compactingFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasSuffix(name, ".log") {
		f.logs.Add(1)
	}
	if category == "pebble-compaction" {
		select {
		case f.begun <- int(f.logs.Load()):
		default:
		}
	}
	return f.FS.Create(name, category)
}

func TestOnlyOneServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustOpen(t, dir, nil)
	_, err := Open(dir, nil)
	if freshet.CodeOf(err) != freshet.Unavailable || !strings.Contains(err.Error(), "another server") || !strings.Contains(err.Error(), dir) {
		t.Errorf("the second Open: %v", err)
	}
}

func TestRefusesOtherFormats(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*pebble.DB) error{
		"next version": func(db *pebble.DB) error {
			return db.Set(metaKey, append(binary.BigEndian.AppendUint32(nil, formatVersion+1), make([]byte, 8)...), pebble.Sync)
		},
		"short mark": func(db *pebble.DB) error { return db.Set(metaKey, []byte{1}, pebble.Sync) },
		"no mark, but keys": func(db *pebble.DB) error {
			return errors.Join(db.Delete(metaKey, pebble.Sync), db.Set([]byte("x"), nil, pebble.Sync))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &Options{FS: vfs.NewMem()}
			d := mustOpen(t, "data", o)
			if err := spoil(d.Pebble()); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time says that the first let go of the lock
				if _, err := Open("data", o); freshet.CodeOf(err) != freshet.PreconditionFailed {
					t.Errorf("Open: %v", err)
				}
			}
		})
	}
}

func TestFailedSyncIsFatal(t *testing.T) {
	t.Parallel()
	broken, noDisk := atomic.Bool{}, errors.New("the disk is gone")
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileSyncData {
			return noDisk
		}
		return nil
	}))
	var got []error
	d, err := Open("data", &Options{FS: fs, OnFatal: func(err error) { got = append(got, err) }})
	if err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	for range 2 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a write whose sync failed has returned")
				}
			}()
			_ = d.Pebble().Set([]byte("pk"), []byte("v"), pebble.Sync)
		}()
	}
	d.Fail(errors.New("another"))
	if len(got) != 1 || freshet.CodeOf(got[0]) != freshet.Internal || !strings.Contains(got[0].Error(), noDisk.Error()) {
		t.Errorf("OnFatal got %v", got)
	}
	// Not closed: the process would be gone.
}

func TestFailedLogWriteIsFatalBeforeItPanics(t *testing.T) {
	t.Parallel()
	broken, full := atomic.Bool{}, errors.New("no space")
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".log") {
			return full
		}
		return nil
	}))
	got := make(chan error, 1)
	d, err := Open("data", &Options{FS: fs, OnFatal: func(err error) { got <- err }})
	if err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	// Written behind: the caller hears nothing, and the next one that writes would panic under Pebble's locks.
	if err := d.Pebble().Set([]byte("pk"), make([]byte, 100<<10), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, full) {
		t.Errorf("OnFatal got %v", err)
	}
	// Not closed: the process would be gone.
}

func TestFailedFlushIsFatal(t *testing.T) {
	t.Parallel()
	broken := atomic.Bool{}
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".sst") {
			return errors.New("no space")
		}
		return nil
	}))
	got := make(chan error, 1)
	d := mustOpen(t, "data", &Options{FS: fs, OnFatal: func(err error) {
		broken.Store(false) // so that the test can end
		got <- err
	}})
	if err := d.Pebble().Set([]byte("pk"), []byte("v"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	if err := d.Pebble().Flush(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !strings.Contains(err.Error(), "no space") {
		t.Errorf("OnFatal got %v", err)
	}
}

func TestWithoutOnFatalThePanicSaysWhy(t *testing.T) {
	t.Parallel()
	d := mustOpen(t, "data", &Options{FS: vfs.NewMem()})
	defer func() {
		if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), "because") {
			t.Errorf("panic with %v", err)
		}
	}()
	d.Fail(errors.New("because"))
}

func TestStalls(t *testing.T) {
	t.Parallel()
	var s stalls
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	s.begin(at(10))
	s.end(at(13))
	s.begin(at(20))
	if count, total := s.sum(at(25)); count != 2 || total != 8*time.Second {
		t.Errorf("%d stalls, %v", count, total)
	}
}
