package modelregistry

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Unpacked is the directory that an archive holds, in a folder for the time being.
type Unpacked struct {
	modelruntime.Files
	folder string
}

// Close removes the folder.
func (u Unpacked) Close() error { return errors.Join(u.Files.Close(), os.RemoveAll(u.folder)) }

// maxUnpackedBytes bounds all files of an archive together; modelruntime.MaxFileBytes bounds each and modelruntime.MaxFiles their number.
const maxUnpackedBytes = 1 << 30

// Unpack writes the files of an archive (tar, tar.gz or zip; its first bytes say which; a skops file, which is a zip, is one file) into a new folder in scratch, which is made if it is not there. If all
// lie in one folder of the archive, that folder is the artifact. Returns InvalidArgument for a name that leads out and for
// links, Unsupported for what is no archive, TooLarge over the bounds; then nothing is left.
func Unpack(archive io.Reader, scratch string) (Unpacked, error) {
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return Unpacked{}, freshet.Errorf(freshet.Internal, "unpack: %w", err)
	}
	folder, err := os.MkdirTemp(scratch, "artifact-")
	if err != nil {
		return Unpacked{}, freshet.Errorf(freshet.Internal, "unpack: %w", err)
	}
	u, err := unpackInto(archive, folder)
	if err != nil {
		return Unpacked{}, errors.Join(err, os.RemoveAll(folder))
	}
	return u, nil
}

func unpackInto(archive io.Reader, folder string) (Unpacked, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return Unpacked{}, freshet.Errorf(freshet.Internal, "unpack: %w", err)
	}
	defer root.Close()
	x := &extraction{root: root, left: maxUnpackedBytes}
	if err := x.archive(archive, folder); err != nil {
		return Unpacked{}, err
	}
	if len(x.tops) == 0 {
		return Unpacked{}, freshet.Errorf(freshet.InvalidArgument, "the archive holds no files")
	}
	inside := folder
	if len(x.tops) == 1 && !x.tops[0].file {
		inside = path.Join(folder, x.tops[0].name)
	}
	files, err := modelruntime.FilesAt(inside)
	if err != nil {
		return Unpacked{}, err
	}
	return Unpacked{files, folder}, nil
}

// extraction writes files below root and counts them.
type extraction struct {
	root  *os.Root
	files int
	left  int64 // bytes that may still come
	tops  []top // what stands directly in the archive
}

type top struct {
	name string
	file bool
}

func (x *extraction) archive(r io.Reader, folder string) error {
	in := bufio.NewReaderSize(r, 4<<10)
	head, err := in.Peek(512)
	if err != nil && err != io.EOF {
		return err
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return x.zip(in, folder)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(in)
		if err != nil {
			return broken(err)
		}
		return x.tar(z)
	case len(head) == 512 && (bytes.HasPrefix(head[257:], []byte("ustar")) || bytes.Equal(head, make([]byte, 512))):
		return x.tar(in)
	}
	return freshet.Errorf(freshet.Unsupported, "it is no archive; expected a tar, tar.gz or zip of a model directory")
}

func broken(err error) error {
	if _, ok := errors.AsType[*freshet.Error](err); ok {
		return err
	}
	return freshet.Errorf(freshet.InvalidArgument, "the archive cannot be read: %w", err)
}

func (x *extraction) tar(r io.Reader) error {
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return broken(err)
		}
		switch h.Typeflag {
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg:
		default:
			return freshet.Errorf(freshet.InvalidArgument, "%.200q in the archive is a link or no regular file: expected files and folders only", h.Name)
		}
		if err := x.write(h.Name, archive); err != nil {
			return err
		}
	}
}

// zip keeps the archive beside its files: its directory stands at its end.
func (x *extraction) zip(r io.Reader, folder string) error {
	spool, err := os.CreateTemp(path.Dir(folder), "archive-")
	if err != nil {
		return freshet.Errorf(freshet.Internal, "unpack: %w", err)
	}
	defer os.Remove(spool.Name())
	defer spool.Close()
	size, err := io.Copy(spool, io.LimitReader(r, maxUnpackedBytes+1))
	if err != nil {
		return broken(err)
	}
	if size > maxUnpackedBytes {
		return x.tooLarge()
	}
	archive, err := zip.NewReader(spool, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // names are checked below
		return broken(err)
	}
	if isSkops(archive) {
		return x.write("model.skops", io.NewSectionReader(spool, 0, size))
	}
	for _, f := range archive.File {
		mode := f.Mode()
		if mode.IsDir() {
			continue
		}
		if !mode.IsRegular() {
			return freshet.Errorf(freshet.InvalidArgument, "%.200q in the archive is a link or no regular file: expected files and folders only", f.Name)
		}
		content, err := f.Open()
		if err != nil {
			return broken(err)
		}
		err = x.write(f.Name, content)
		_ = content.Close() // all of it was read
		if err != nil {
			return err
		}
	}
	return nil
}

// isSkops tells a scikit-learn model, which is a zip by itself, whatever its name ends in.
func isSkops(archive *zip.Reader) bool {
	has := func(name string) bool {
		return slices.ContainsFunc(archive.File, func(f *zip.File) bool { return f.Name == name })
	}
	return has("schema.json") && !has("MLmodel")
}

// write makes one file. Hidden ones are no part of an artifact and are passed over.
func (x *extraction) write(name string, r io.Reader) error {
	name = strings.TrimPrefix(name, "./")
	if !fs.ValidPath(name) || name == "." || strings.Contains(name, "\\") || len(name) > 1024 {
		return freshet.Errorf(freshet.InvalidArgument, "%.200q in the archive leads outside, or is no name", name)
	}
	if strings.HasPrefix(name, ".") || strings.Contains(name, "/.") {
		return nil
	}
	if x.files++; x.files > modelruntime.MaxFiles {
		return freshet.Errorf(freshet.TooLarge, "more than %d files in one artifact", modelruntime.MaxFiles)
	}
	x.addTop(name)
	if err := x.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return freshet.Errorf(freshet.InvalidArgument, "%.200q in the archive: %w", name, err)
	}
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return freshet.Errorf(freshet.InvalidArgument, "%.200q in the archive: %w", name, err)
	}
	limit := min(x.left, modelruntime.MaxFileBytes)
	n, err := io.Copy(f, io.LimitReader(r, limit+1))
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return broken(err)
	}
	if n > limit {
		return x.tooLarge()
	}
	x.left -= n
	return nil
}

func (x *extraction) tooLarge() error {
	return freshet.Errorf(freshet.TooLarge, "the archive is over %d bytes when it is unpacked, or a file in it over %d", maxUnpackedBytes, modelruntime.MaxFileBytes)
}

func (x *extraction) addTop(name string) {
	first, _, nested := strings.Cut(name, "/")
	for _, t := range x.tops {
		if t.name == first {
			return
		}
	}
	x.tops = append(x.tops, top{first, !nested})
}
