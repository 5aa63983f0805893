package modelregistry

import (
	"archive/tar"
	"io"
	"io/fs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// WriteTar writes the files of an artifact, as a server takes them to publish. What modelruntime.Digest leaves out is left
// out.
func WriteTar(w io.Writer, dir fs.FS) error {
	archive := tar.NewWriter(w)
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && d.Name()[0] == '.' && d.IsDir():
			return fs.SkipDir
		case d.IsDir() || d.Name()[0] == '.':
			return nil
		}
		return writeTarFile(archive, dir, name)
	})
	if err != nil {
		return err
	}
	return archive.Close()
}

func writeTarFile(archive *tar.Writer, dir fs.FS, name string) error {
	info, err := fs.Stat(dir, name) // of what a link leads to
	if err != nil {
		return err
	}
	if info.Size() > modelruntime.MaxFileBytes {
		return freshet.Errorf(freshet.TooLarge, "%s has %d bytes: at most %d are read", name, info.Size(), modelruntime.MaxFileBytes)
	}
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: info.Size(), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err = io.Copy(archive, f)
	return err
}
