package modelruntime

import (
	"encoding/binary"
	"io"
	"io/fs"
	"math"

	freshet "github.com/freshet-ml/freshet"
)

// Pack writes an artifact as one sequence of bytes: its files, without the hidden ones, in ascending byte order of their paths
// (with slashes), each as the length of the path, the path, the length of the content, the content; lengths are 8 bytes, big
// endian. The SHA-256 of the bytes is the artifact's Digest. Returns what Digest returns, and w's error.
func Pack(w io.Writer, dir fs.FS) error {
	r := NewPackReader(dir)
	defer r.Close()
	_, err := io.Copy(w, r)
	return err
}

// PackReader reads an artifact as what Pack writes, one file open at a time.
type PackReader struct {
	dir   fs.FS
	names []string // that are to come; nil before the first read
	begun bool
	head  []byte // what is left of the head of the current file
	file  fs.File
	name  string
	left  int64 // bytes of the current file
}

// NewPackReader returns a reader of dir. Its errors are those of Digest.
func NewPackReader(dir fs.FS) *PackReader { return &PackReader{dir: dir} }

// Read implements io.Reader.
func (p *PackReader) Read(b []byte) (int, error) {
	if !p.begun {
		names, err := filesOf(p.dir)
		if err != nil {
			return 0, err
		}
		p.begun, p.names = true, names
	}
	for {
		switch {
		case len(p.head) > 0:
			n := copy(b, p.head)
			p.head = p.head[n:]
			return n, nil
		case p.left > 0:
			n, err := p.file.Read(b[:min(int64(len(b)), p.left)])
			p.left -= int64(n)
			if err == io.EOF && p.left > 0 {
				err = io.ErrUnexpectedEOF // it shrank meanwhile
			}
			if err != nil && err != io.EOF {
				return n, fileError(p.name, err)
			}
			return n, nil
		case len(p.names) == 0:
			return 0, io.EOF
		}
		if err := p.next(); err != nil {
			return 0, err
		}
	}
}

// next opens the file that is to come.
func (p *PackReader) next() error {
	if err := p.Close(); err != nil {
		return fileError(p.name, err)
	}
	p.name, p.names = p.names[0], p.names[1:]
	f, err := openFile(p.dir, p.name, MaxFileBytes)
	if err != nil {
		return err
	}
	p.file = f
	info, err := f.Stat()
	if err != nil {
		return fileError(p.name, err)
	}
	p.left = info.Size()
	p.head = binary.BigEndian.AppendUint64(nil, uint64(len(p.name)))
	p.head = append(p.head, p.name...)
	p.head = binary.BigEndian.AppendUint64(p.head, uint64(p.left))
	return nil
}

// Close closes the file that is open.
func (p *PackReader) Close() error {
	if p.file == nil {
		return nil
	}
	f := p.file
	p.file = nil
	return f.Close()
}

// PackedSize is how many bytes Pack writes.
func PackedSize(dir fs.FS) (int64, error) {
	names, err := filesOf(dir)
	if err != nil {
		return 0, err
	}
	var size int64
	for _, name := range names {
		info, err := fs.Stat(dir, name)
		if err != nil {
			return 0, fileError(name, err)
		}
		size += 2*lengthBytes + int64(len(name)) + info.Size()
	}
	return size, nil
}

const lengthBytes = 8

// Unpack shows what Pack wrote as the files of an artifact again, without copying them: r is read when they are. size is the
// length of r. Returns InvalidArgument for bytes that Pack could not have written.
func Unpack(r io.ReaderAt, size int64) (fs.FS, error) {
	p := newPackedFS()
	last := ""
	for at := int64(0); at < size; {
		name, err := readName(r, at, size)
		if err != nil {
			return nil, err
		}
		at += lengthBytes + int64(len(name))
		length, err := readLength(r, at, size)
		if err != nil {
			return nil, err
		}
		at += lengthBytes
		if length > MaxFileBytes || length > size-at {
			return nil, notPacked("%.80q has %d bytes, and at most %d are there", name, length, size-at)
		}
		if name <= last || !fs.ValidPath(name) || name == "." || hidden(name) {
			return nil, notPacked("%.80q cannot follow %.80q", name, last)
		}
		if err := p.add(name, io.NewSectionReader(r, at, length)); err != nil {
			return nil, err
		}
		last, at = name, at+length
	}
	return p, nil
}

// maxPathBytes is more than any file system takes.
const maxPathBytes = 4096

func readName(r io.ReaderAt, at, size int64) (string, error) {
	length, err := readLength(r, at, size)
	if err != nil {
		return "", err
	}
	if length == 0 || length > maxPathBytes || length > size-at-lengthBytes {
		return "", notPacked("a path of %d bytes at byte %d", length, at)
	}
	b := make([]byte, length)
	if _, err := r.ReadAt(b, at+lengthBytes); err != nil && err != io.EOF {
		return "", fileError("packed artifact", err)
	}
	return string(b), nil
}

func readLength(r io.ReaderAt, at, size int64) (int64, error) {
	if size-at < lengthBytes {
		return 0, notPacked("it ends at byte %d within a length", size)
	}
	var b [lengthBytes]byte
	if _, err := r.ReadAt(b[:], at); err != nil && err != io.EOF {
		return 0, fileError("packed artifact", err)
	}
	n := binary.BigEndian.Uint64(b[:])
	if n > math.MaxInt64 {
		return 0, notPacked("a length of %d at byte %d", n, at)
	}
	return int64(n), nil
}

func notPacked(format string, args ...any) error {
	return freshet.Errorf(freshet.InvalidArgument, "no packed artifact: "+format, args...)
}
