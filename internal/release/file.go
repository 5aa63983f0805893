package release

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/freshet-ml/freshet"
)

// File is the file of a table, open for reading.
type File struct {
	Content
	Digest freshet.Digest // of its bytes: a table of the same digest that is open already is used again
}

// Content is bytes that lie somewhere, such as a blob of the registry.
type Content interface {
	io.ReaderAt
	// Close gives it back. If it returns an error, what was read may not be what the digest says.
	io.Closer
	Size() int64
}

// diskFile is a file that somebody may write to at any time.
type diskFile struct {
	*os.File
	opened fs.FileInfo
}

// openDisk takes over f.
func openDisk(f *os.File) (*File, error) {
	file, err := digestDisk(f)
	if err != nil {
		_ = f.Close() // err says more
	}
	return file, err
}

func digestDisk(f *os.File) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	d := diskFile{f, info}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, d.Size())); err != nil {
		return nil, err
	}
	return &File{Content: d, Digest: freshet.Digest(fmt.Sprintf("sha256:%x", h.Sum(nil)))}, nil
}

// Size is that of the file when it was opened.
func (d diskFile) Size() int64 { return d.opened.Size() }

// Close returns Conflict if the file has changed since its digest was made.
func (d diskFile) Close() error {
	now, err := d.Stat()
	if err == nil && (now.Size() != d.opened.Size() || !now.ModTime().Equal(d.opened.ModTime())) {
		err = freshet.Errorf(freshet.Conflict, "the file has changed while it was read; try again")
	}
	if closed := d.File.Close(); err == nil {
		err = closed
	}
	return err
}
