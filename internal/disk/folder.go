package disk

import "github.com/cockroachdb/pebble/v2/vfs"

// MakeFolder creates dir and the parents that it lacks, and syncs the folder in which each of them stands: without that, a
// crash of the machine may take a new folder with everything that was synced in it.
func MakeFolder(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil {
		return nil
	}
	parent := fs.PathDir(dir)
	if parent == dir { // the root
		return fs.MkdirAll(dir, 0o755)
	}
	if err := MakeFolder(fs, parent); err != nil {
		return err
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return SyncFolder(fs, parent)
}

// SyncFolder makes the names in dir durable.
func SyncFolder(fs vfs.FS, dir string) error {
	f, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
