package disklog_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/eventlog/disklog"
	"github.com/freshet-ml/freshet/eventlog/eventlogtest"
	"github.com/freshet-ml/freshet/internal/disk"
)

// store is a log on a disk in memory, which can be opened again.
type store struct {
	fs      vfs.FS
	options disklog.Options
	db      *disk.DB
	log     *disklog.Log
}

func (s *store) open(t *testing.T) eventlog.Driver {
	t.Helper()
	s.close(t)
	var err error
	if s.db, err = disk.Open("data", &disk.Options{FS: s.fs, CacheBytes: 1 << 20}); err != nil {
		t.Fatalf("open the store: %v", err)
	}
	if s.log, err = disklog.New(s.db, &s.options); err != nil {
		t.Fatalf("open the log: %v", err)
	}
	return s.log
}

func (s *store) close(t *testing.T) {
	t.Helper()
	if s.db == nil {
		return
	}
	if err := s.log.Close(); err != nil {
		t.Errorf("close the log: %v", err)
	}
	if err := s.db.Close(); err != nil {
		t.Errorf("close the store: %v", err)
	}
	s.db = nil
}

func conformance(t *testing.T, options disklog.Options) {
	eventlogtest.Run(t, func() eventlogtest.Harness {
		s := &store{fs: vfs.NewMem(), options: options}
		return eventlogtest.Harness{
			Open: func(t *testing.T, horizon time.Duration) eventlog.Driver {
				s.fs, s.options.Horizon = vfs.NewMem(), horizon
				t.Cleanup(func() { s.close(t) })
				return s.open(t)
			},
			Reopen: func(t *testing.T) eventlog.Driver { return s.open(t) },
		}
	})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	conformance(t, disklog.Options{})
}

// With next to no memory all reads go to the disk and the filter says "may be known" ever more often.
func TestConformanceWithoutMemory(t *testing.T) {
	t.Parallel()
	conformance(t, disklog.Options{TailBytes: 1, FilterBytes: 1})
}
