package modelruntime

import (
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

	freshet "github.com/freshet-ml/freshet"
)

// packedFS is the file system in a packed artifact.
type packedFS struct {
	files map[string]*io.SectionReader
	dirs  map[string][]string // directory → base names in it, sorted
}

func newPackedFS() *packedFS {
	return &packedFS{files: map[string]*io.SectionReader{}, dirs: map[string][]string{".": nil}}
}

func (p *packedFS) add(name string, content *io.SectionReader) error {
	if len(p.files) == MaxFiles {
		return freshet.Errorf(freshet.TooLarge, "more than %d files in one artifact", MaxFiles)
	}
	if _, ok := p.dirs[name]; ok {
		return notPacked("%.80q is a file and a directory", name)
	}
	p.files[name] = content
	for child := name; child != "."; {
		dir := path.Dir(child)
		if _, ok := p.files[dir]; ok {
			return notPacked("%.80q is a file and a directory", dir)
		}
		siblings := p.dirs[dir]
		i, there := slices.BinarySearch(siblings, path.Base(child))
		if there {
			return nil
		}
		p.dirs[dir] = slices.Insert(siblings, i, path.Base(child))
		child = dir
	}
	return nil
}

// Open implements fs.FS.
func (p *packedFS) Open(name string) (fs.File, error) {
	info, err := p.info("open", name)
	if err != nil {
		return nil, err
	}
	if info.dir {
		entries, _ := p.ReadDir(name)
		return &packedDir{info, entries}, nil
	}
	content := p.files[name]
	return &packedFile{info, io.NewSectionReader(content, 0, content.Size())}, nil
}

// Stat implements fs.StatFS.
func (p *packedFS) Stat(name string) (fs.FileInfo, error) { return p.info("stat", name) }

// ReadDir implements fs.ReadDirFS.
func (p *packedFS) ReadDir(name string) ([]fs.DirEntry, error) {
	info, err := p.info("readdir", name)
	if err != nil {
		return nil, err
	}
	if !info.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	entries := make([]fs.DirEntry, len(p.dirs[name]))
	for i, base := range p.dirs[name] {
		child, err := p.info("readdir", path.Join(name, base))
		if err != nil {
			return nil, err
		}
		entries[i] = fs.FileInfoToDirEntry(child)
	}
	return entries, nil
}

func (p *packedFS) info(op, name string) (packedInfo, error) {
	if !fs.ValidPath(name) {
		return packedInfo{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if _, ok := p.dirs[name]; ok {
		return packedInfo{name: path.Base(name), dir: true}, nil
	}
	content, ok := p.files[name]
	if !ok {
		return packedInfo{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return packedInfo{name: path.Base(name), size: content.Size()}, nil
}

// packedInfo describes a file or directory.
type packedInfo struct {
	name string
	size int64
	dir  bool
}

func (i packedInfo) Name() string       { return i.name }
func (i packedInfo) Size() int64        { return i.size }
func (i packedInfo) ModTime() time.Time { return time.Time{} }
func (i packedInfo) IsDir() bool        { return i.dir }
func (i packedInfo) Sys() any           { return nil }
func (i packedInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type packedFile struct {
	info packedInfo
	*io.SectionReader
}

func (f *packedFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *packedFile) Close() error               { return nil }

type packedDir struct {
	info packedInfo
	left []fs.DirEntry
}

func (d *packedDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *packedDir) Close() error               { return nil }
func (d *packedDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: fs.ErrInvalid}
}

// ReadDir implements fs.ReadDirFile.
func (d *packedDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.left)
	} else if len(d.left) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.left))
	entries := d.left[:n]
	d.left = d.left[n:]
	return entries, nil
}
