// Package disk opens the one Pebble store that all embedded drivers of a server share: one write-ahead log, so that one
// fsync covers them all, one cache and one memory bound. It knows how the key space is divided, guards the format of the
// store and makes sure that a failing disk stops the process. It never reads or writes a driver's keys.
//
// The first byte of a key says whose it is:
//
//	m  meta: written by this package only
//	e  blocks of events                 eventlog/disklog
//	i  ids of accepted events           eventlog/disklog
//	f  rows of feature views            featurestore/diskfeatures
//	c  checkpoints of the receiver      featurestore/diskfeatures
//	j  jobs                             jobqueue/diskqueue
//	x  dead letters                     jobqueue/diskqueue
//	o  offsets through which jobs were emitted  jobqueue/diskqueue
//	p  predictions                      predictionstore/diskpredictions
//	r  the release that is live         server
//	t  rows of push tables              tablestore/disktables
//	n  push messages, devices, preferences  outbox/diskoutbox
//
// What must survive a crash is written with pebble.Sync. pebble.NoSync is for derived state that carries its own offset
// in the same batch: such writes may be lost even when only the process dies.
package disk

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
)

// The first bytes of keys, one for each kind of data (see the package comment).
const (
	PrefixMeta        = 'm'
	PrefixEvents      = 'e'
	PrefixEventIDs    = 'i'
	PrefixFeatures    = 'f'
	PrefixCheckpoints = 'c'
	PrefixJobs        = 'j'
	PrefixDeadLetters = 'x'
	PrefixEmitted     = 'o'
	PrefixPredictions = 'p'
	PrefixRelease     = 'r'
	PrefixTables      = 't'
	PrefixErasures    = 'g' // gone
	PrefixOutbox      = 'n'
	PrefixRefused     = 'y'
)

const (
	memTableBytes     = 24 << 20 // at most: larger ones make flushes that are felt
	memTables         = 4        // waiting for their flush before writers wait too
	l0StopWrites      = 24       // sublevels before writers wait for a compaction
	maxCompactions    = 2        // at once
	filterBitsPerKey  = 10
	defaultCacheBytes = 64 << 20

	// pebbleFormat is pinned, so that a newer library does not make the store unreadable for the server before it.
	pebbleFormat = pebble.FormatTableFormatV6
)

// Options of Open. The zero value is what a server wants.
type Options struct {
	FS         vfs.FS // nil: the operating system's
	CacheBytes int64  // for blocks read from disk, less what memtables take. Defaults to 64 MiB
	// MemTableBytes is how much is written to memory before it is flushed to a file; up to four times as much waits. Defaults to, and is at
	// most, 24 MiB.
	MemTableBytes int64
	// OnFatal is called, once, when the disk failed in a way after which nothing may be acknowledged any more: a failed
	// sync of the write-ahead log, a failed flush or compaction, corruption. It must stop the process without closing
	// the DB (it may be called under its locks). What was acknowledged is found again at the next Open. Defaults to
	// panic.
	OnFatal func(error)
}

// DB is an open store.
type DB struct {
	pebble *pebble.DB
	lock   *pebble.Lock
	seed   uint64
	opened atomic.Bool
	closed atomic.Bool
	fatal  fatal
	stalls stalls

	mu    sync.Mutex
	first []func() // to be done before pebble is closed
}

// Open opens the store in dir and creates it if there is none. Returns Unavailable if another server has it open, and
// PreconditionFailed if it was written in a format that this version does not read.
func Open(dir string, o *Options) (*DB, error) {
	if o == nil {
		o = &Options{}
	}
	fs := o.FS
	if fs == nil {
		fs = vfs.Default
	}
	if err := MakeFolder(fs, dir); err != nil {
		return nil, freshet.Errorf(freshet.Internal, "data folder %s: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		return nil, freshet.Errorf(freshet.Unavailable,
			"data folder %s: another server uses it; stop that one or give this one a folder of its own: %w", dir, err)
	}
	d := &DB{lock: lock}
	d.fatal.stop = o.OnFatal
	if d.pebble, err = pebble.Open(dir, d.pebbleOptions(watchedFS{fs, d.writeFailed}, o)); err != nil {
		return nil, d.abandon(freshet.Errorf(freshet.Internal, "data folder %s: %w", dir, err))
	}
	if d.seed, err = readOrWriteMeta(d.pebble); err != nil {
		return nil, d.abandon(freshet.Errorf("", "data folder %s: %w", dir, err))
	}
	d.opened.Store(true)
	if err := d.beginCompactions(); err != nil {
		return nil, d.abandon(freshet.Errorf(freshet.Internal, "data folder %s: %w", dir, err))
	}
	return d, nil
}

// compactions is how many compactions Pebble may run at once. While it opens the store it should run none: it would begin with what it
// has just flushed of its write-ahead log, and then wait for the end of that, up to a second in which the server is not there.
func (d *DB) compactions() (lower, upper int) {
	if !d.opened.Load() {
		return 0, maxCompactions
	}
	return 1, maxCompactions
}

// beginCompactions has Pebble look at compactions again if there may be something to compact: it does so whenever a memtable is flushed,
// which for a store that is only read may be never.
func (d *DB) beginCompactions() error {
	if d.pebble.Metrics().Levels[0].TablesCount == 0 {
		return nil
	}
	_, err := d.pebble.AsyncFlush()
	return err
}

func (d *DB) pebbleOptions(fs vfs.FS, o *Options) *pebble.Options {
	p := &pebble.Options{
		FS:                          fs,
		Lock:                        d.lock,
		FormatMajorVersion:          pebbleFormat,
		CacheSize:                   cmp.Or(o.CacheBytes, defaultCacheBytes),
		MemTableSize:                uint64(min(cmp.Or(o.MemTableBytes, memTableBytes), memTableBytes)),
		MemTableStopWritesThreshold: memTables,
		L0StopWritesThreshold:       l0StopWrites,
		CompactionConcurrencyRange:  d.compactions,
		Logger:                      &d.fatal,
		EventListener: &pebble.EventListener{
			BackgroundError: d.backgroundError,
			DataCorruption:  func(i pebble.DataCorruptionInfo) { d.Fail(i.Details) },
			WriteStallBegin: func(pebble.WriteStallBeginInfo) { d.stalls.begin(time.Now()) },
			WriteStallEnd:   func() { d.stalls.end(time.Now()) },
		},
	}
	for i := range p.Levels {
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(filterBitsPerKey)
	}
	return p
}

// abandon gives up what Open has taken so far and returns err.
func (d *DB) abandon(err error) error {
	if d.pebble != nil {
		_ = d.pebble.Close() // err says more
	}
	_ = d.lock.Close()
	return err
}

// Pebble is the store itself. A driver keeps to its own prefixes and does not close it.
func (d *DB) Pebble() *pebble.DB { return d.pebble }

// Seed is a random number that belongs to the store since its creation: for hashes that no sender should be able to
// foresee.
func (d *DB) Seed() uint64 { return d.seed }

// BeforeClose has Close call f first: it ends what a driver does in the background, and waits for its end. f may be called
// after the driver was closed.
func (d *DB) BeforeClose(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.first = append(d.first, f)
}

// Close flushes and closes the store; its drivers must have been closed before, but for what they do in the background: see
// BeforeClose. Closing twice is no error.
func (d *DB) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	d.mu.Lock()
	first := d.first
	d.first = nil
	d.mu.Unlock()
	for _, f := range first {
		f()
	}
	err := d.pebble.Close()
	if lockErr := d.lock.Close(); err == nil {
		err = lockErr
	}
	if err != nil {
		return freshet.Errorf(freshet.Internal, "close the data folder: %w", err)
	}
	return nil
}
