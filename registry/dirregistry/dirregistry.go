// Package dirregistry is the registry in a folder: a file for each blob, a file for each entry of the log.
// docs/formats/registry.md describes them. Several processes may have the folder open at once.
//
// A file appears whole or not at all: it is written under another name, synced, and only then given its own. A blob's name
// is taken by renaming, an entry's by a hard link, which fails if the name is there already: so one of several is first.
package dirregistry

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/registry"
)

// Options of Open. The zero value is usual.
type Options struct {
	FS  vfs.FS           // nil: the operating system's
	Now func() time.Time // decides what was left behind. Defaults to time.Now
}

// Store implements registry.Driver.
type Store struct {
	fs    vfs.FS
	blobs string // the folders
	log   string
	gate  disk.Gate
	head  atomic.Uint64 // the newest revision that was seen; there may be newer ones
}

var _ registry.Driver = (*Store)(nil)

const (
	blobsDir = "blobs"
	logDir   = "log"
	// unfinished begins the name of a file that is being written.
	unfinished = ".writing-"
	// abandoned is how long nothing was written to such a file before it counts as left behind by a process that died: those
	// of another process that is alive must not be removed under its hands.
	abandoned = time.Hour
)

// Open opens the registry in dir, which is made if it is not there. Files that were left unfinished an hour ago or more are
// removed. Returns Internal if an entry of the log is missing between others.
func Open(dir string, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	s := &Store{fs: o.FS}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	s.blobs, s.log = s.fs.PathJoin(dir, blobsDir), s.fs.PathJoin(dir, logDir)
	for _, folder := range []string{s.blobs, s.log} {
		if err := s.openFolder(folder, now()); err != nil {
			return nil, freshet.Errorf(freshet.Internal, "registry %s: %w", dir, err)
		}
	}
	return s, s.openLog()
}

// openFolder makes the folder, clears it, and makes the names in it durable: the process that gave the last ones may have
// died before it could, and once they are built upon they must not be lost.
func (s *Store) openFolder(folder string, now time.Time) error {
	if err := disk.MakeFolder(s.fs, folder); err != nil {
		return err
	}
	names, err := s.fs.List(folder)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, unfinished) {
			continue
		}
		path := s.fs.PathJoin(folder, name)
		info, err := s.fs.Stat(path)
		if err == nil && now.Sub(info.ModTime()) >= abandoned {
			err = s.fs.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return disk.SyncFolder(s.fs, folder)
}

// write writes what r gives to a new file of folder under a name for the time being, synced, and gives its path. If it
// fails nothing is left, and the error is r's own if r has failed.
func (s *Store) write(folder string, r io.Reader) (path string, err error) {
	path = s.fs.PathJoin(folder, unfinished+rand.Text())
	f, err := s.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = s.fs.Remove(path) // err says more
		return "", err
	}
	return path, nil
}

// Close implements registry.Driver.
func (s *Store) Close() error {
	s.gate.Close()
	return nil
}

func (s *Store) enter(ctx context.Context) error { return s.gate.Enter(ctx, "registry") }
