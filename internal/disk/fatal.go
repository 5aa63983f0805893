package disk

import (
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/freshet-ml/freshet"
)

// fatal is Pebble's logger: it drops what Pebble has to say about its work and hears when it must not go on.
type fatal struct {
	stop func(error)
	once sync.Once
}

var _ pebble.Logger = (*fatal)(nil)

func (*fatal) Infof(string, ...any)  {}
func (*fatal) Errorf(string, ...any) {} // errors reach their callers or the EventListener as well

// Fatalf does not return: Pebble's code after a call of it assumes that the process is gone, and would acknowledge a
// write whose sync failed.
func (f *fatal) Fatalf(format string, args ...any) {
	err := freshet.Errorf(freshet.Internal, "disk: %w", fmt.Errorf(format, args...))
	f.report(err)
	panic(err)
}

func (f *fatal) report(err error) {
	f.once.Do(func() {
		if f.stop == nil {
			panic(err)
		}
		f.stop(err)
	})
}

// Fail reports to OnFatal that the disk failed. A driver that syncs by itself calls it when a sync fails, and
// acknowledges nothing from then on: the kernel may have dropped the pages, so a second sync that succeeds proves
// nothing.
func (d *DB) Fail(err error) {
	d.fatal.report(freshet.Errorf(freshet.Internal, "disk: %w", err))
}

// backgroundError hears of failed flushes and compactions. Pebble would try them again for ever while memory fills up.
func (d *DB) backgroundError(err error) {
	if !d.closed.Load() {
		d.Fail(err)
	}
}

// writeFailed hears of failed writes and syncs. While the store is opened or closed they are errors of that call.
func (d *DB) writeFailed(err error) {
	if d.opened.Load() && !d.closed.Load() {
		d.Fail(err)
	}
}
