package disk

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// watchedFS tells of every write and sync that fails before Pebble hears of it. After a failed write of its log Pebble
// panics while it holds its locks: whoever recovers from such a panic leaves a store behind in which all later writes wait for
// ever.
type watchedFS struct {
	vfs.FS
	failed func(error)
}

// markers are the files whose names say which other file of the folder counts now.
const markers = "marker."

// Create is vfs.FS's. Before a marker the folder is synced: Pebble syncs it after, so that a crash in between could leave the
// marker without the file that it names, which it had only synced as a file.
func (w watchedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(w.PathBase(name), markers) {
		if err := SyncFolder(w.FS, w.PathDir(name)); err != nil {
			w.failed(err)
			return nil, err
		}
	}
	return w.watch(w.FS.Create(name, category))
}

// ReuseForWrite is vfs.FS's.
func (w watchedFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return w.watch(w.FS.ReuseForWrite(oldname, newname, category))
}

// OpenReadWrite is vfs.FS's.
func (w watchedFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return w.watch(w.FS.OpenReadWrite(name, category, opts...))
}

// OpenDir is vfs.FS's.
func (w watchedFS) OpenDir(name string) (vfs.File, error) { return w.watch(w.FS.OpenDir(name)) }

// Unwrap is vfs.FS's.
func (w watchedFS) Unwrap() vfs.FS { return w.FS }

func (w watchedFS) watch(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		w.failed(err)
		return nil, err
	}
	return watchedFile{f, w.failed}, nil
}

type watchedFile struct {
	vfs.File
	failed func(error)
}

// Write is vfs.File's.
func (f watchedFile) Write(b []byte) (n int, err error) {
	n, err = f.File.Write(b)
	return n, f.watch(err)
}

// WriteAt is vfs.File's.
func (f watchedFile) WriteAt(b []byte, at int64) (n int, err error) {
	n, err = f.File.WriteAt(b, at)
	return n, f.watch(err)
}

// Sync is vfs.File's.
func (f watchedFile) Sync() error { return f.watch(f.File.Sync()) }

// SyncData is vfs.File's.
func (f watchedFile) SyncData() error { return f.watch(f.File.SyncData()) }

// SyncTo is vfs.File's.
func (f watchedFile) SyncTo(length int64) (fullSync bool, err error) {
	fullSync, err = f.File.SyncTo(length)
	return fullSync, f.watch(err)
}

func (f watchedFile) watch(err error) error {
	if err != nil {
		f.failed(err)
	}
	return err
}
