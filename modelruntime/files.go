package modelruntime

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	freshet "github.com/freshet-ml/freshet"
)

// Limits of an artifact.
const (
	MaxFileBytes = 512 << 20 // of one file
	MaxFiles     = 1000      // in one artifact
)

// Files is an artifact on disk: a directory, or one file alone in it. Nothing outside can be reached through it, by no
// name and by no symbolic link.
type Files struct {
	fs.FS
	root *os.Root
}

// FilesAt opens the artifact at path, a directory or a file. Returns NotFound if there is none.
func FilesAt(path string) (Files, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Files{}, fileError(path, err)
	}
	if info.IsDir() {
		root, err := os.OpenRoot(path)
		if err != nil {
			return Files{}, fileError(path, err)
		}
		return Files{FS: root.FS(), root: root}, nil
	}
	if !info.Mode().IsRegular() {
		return Files{}, freshet.Errorf(freshet.InvalidArgument, "%s is neither a file nor a directory", path)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil { // the user named the link, so it may lead anywhere
		return Files{}, fileError(path, err)
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return Files{}, fileError(path, err)
	}
	return Files{FS: loneFile{dir: root.FS(), name: filepath.Base(path)}, root: root}, nil
}

// directory reports that the artifact is a directory, not a single file.
func (f Files) directory() bool {
	_, alone := f.FS.(loneFile)
	return !alone
}

// Close ends the use of the files.
func (f Files) Close() error { return f.root.Close() }

// Stat and ReadDir are those of the file system inside: without them fs.Stat would open the file, and opening a named pipe
// waits for its writer.

// Stat implements fs.StatFS.
func (f Files) Stat(name string) (fs.FileInfo, error) { return fs.Stat(f.FS, name) }

// ReadDir implements fs.ReadDirFS.
func (f Files) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(f.FS, name) }

// loneFile shows one file of dir and hides its neighbours.
type loneFile struct {
	dir  fs.FS
	name string
}

func (l loneFile) Open(name string) (fs.File, error) {
	if name != l.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return l.dir.Open(name)
}

func (l loneFile) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	info, err := fs.Stat(l.dir, l.name)
	if err != nil {
		return nil, err
	}
	return []fs.DirEntry{fs.FileInfoToDirEntry(info)}, nil
}

func (l loneFile) Stat(name string) (fs.FileInfo, error) {
	if name == "." {
		return loneDir{}, nil
	}
	if name != l.name {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return fs.Stat(l.dir, name)
}

// loneDir describes the directory that a loneFile stands in.
type loneDir struct{}

func (loneDir) Name() string       { return "." }
func (loneDir) Size() int64        { return 0 }
func (loneDir) Mode() fs.FileMode  { return fs.ModeDir | 0o500 }
func (loneDir) ModTime() time.Time { return time.Time{} }
func (loneDir) IsDir() bool        { return true }
func (loneDir) Sys() any           { return nil }

// ReadFile reads file name of dir for a runtime. Returns NotFound, TooLarge over MaxFileBytes, or InvalidArgument for
// what is no regular file or lies outside.
func ReadFile(dir fs.FS, name string) ([]byte, error) { return readFile(dir, name, MaxFileBytes) }

// OpenFile opens file name of dir for a runtime that reads a part of it, and says how many bytes it has. Its errors are
// those of ReadFile. The caller closes the file.
func OpenFile(dir fs.FS, name string) (fs.File, int64, error) {
	f, err := openFile(dir, name, MaxFileBytes)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, fileError(name, err)
	}
	return f, info.Size(), nil
}

func readFile(dir fs.FS, name string, limit int64) ([]byte, error) {
	f, err := openFile(dir, name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fileError(name, err)
	}
	b := make([]byte, info.Size()) // at most limit: openFile has looked
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fileError(name, err)
	}
	return b, nil
}

// headBytes is how much of a file Runtime.Recognizes sees.
const headBytes = 4 << 10

func readHead(dir fs.FS, name string) ([]byte, error) {
	f, err := openFile(dir, name, MaxFileBytes)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, headBytes)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fileError(name, err)
	}
	return head[:n], nil
}

func openFile(dir fs.FS, name string, limit int64) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, outside(name)
	}
	if hidden(name) {
		return nil, freshet.Errorf(freshet.InvalidArgument, "%s is hidden (a name begins with a dot): it is no part of the artifact", name)
	}
	info, err := fs.Stat(dir, name)
	if err != nil {
		return nil, fileError(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, freshet.Errorf(freshet.InvalidArgument, "%s is no regular file", name)
	}
	if info.Size() > limit {
		return nil, freshet.Errorf(freshet.TooLarge, "%s has %d bytes: at most %d are read", name, info.Size(), limit)
	}
	f, err := dir.Open(name)
	if err != nil {
		return nil, fileError(name, err)
	}
	return f, nil
}

// hidden reports that an element of the path begins with a dot. Hidden files are no part of an artifact, neither for Open
// nor for Digest: they are what file managers and mounted volumes leave behind.
func hidden(name string) bool {
	return name != "." && strings.HasPrefix(name, ".") || strings.Contains(name, "/.")
}

func outside(name string) error {
	return freshet.Errorf(freshet.InvalidArgument, "%q leads outside the model's directory: name a file inside it", name)
}

func fileError(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return freshet.Errorf(freshet.NotFound, "%s does not exist", name)
	case errors.Is(err, fs.ErrPermission):
		return freshet.Errorf(freshet.PermissionDenied, "%s may not be read", name)
	case strings.Contains(err.Error(), "escapes"): // os.Root's error for links that lead out has no value to compare with
		return outside(name)
	}
	return freshet.Errorf(freshet.Internal, "%s: %w", name, err)
}

// Digest names the content of an artifact: SHA-256 over what Pack writes. It does not depend on times, permissions, empty
// directories or where the artifact lies. A symbolic link to a file inside counts as that file. Returns InvalidArgument
// for what is neither file nor directory, TooLarge over MaxFiles.
func Digest(dir fs.FS) (freshet.Digest, error) {
	h := sha256.New()
	if err := Pack(h, dir); err != nil {
		return "", err
	}
	return freshet.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), nil
}

func filesOf(dir fs.FS) ([]string, error) {
	var names []string
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fileError(name, err)
		}
		if hidden(name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		if len(names) == MaxFiles {
			return freshet.Errorf(freshet.TooLarge, "more than %d files in one artifact", MaxFiles)
		}
		names = append(names, name)
		return nil
	})
	slices.Sort(names) // WalkDir puts "a/b" before "a-b"
	return names, err
}
