package release

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Source gives the files of what a project names: those of its folder, or those that the registry keeps under the digests
// of a manifest.
type Source interface {
	// Table opens the file of a table. Push tables have none and are not asked for.
	Table(ctx context.Context, t project.Table) (*File, error)
	// Model opens the artifact of a model.
	Model(ctx context.Context, m project.Model) (*Artifact, error)
}

// Artifact is the files of a model, open for reading.
type Artifact struct {
	fs.FS
	io.Closer
	Digest  freshet.Digest // of the files
	Version int            // of the model in the registry; 0 if they are not from there
}

// Stat and ReadDir are those of the file system inside, where it has better ones than by opening.

// Stat implements fs.StatFS.
func (a *Artifact) Stat(name string) (fs.FileInfo, error) { return fs.Stat(a.FS, name) }

// ReadDir implements fs.ReadDirFS.
func (a *Artifact) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(a.FS, name) }

// Folder is the source of the files that p names, below its own folder.
func Folder(p *project.Project) Source { return folder{p} }

type folder struct{ p *project.Project }

func (f folder) Table(_ context.Context, t project.Table) (*File, error) {
	return FolderFile(f.p, t.File)
}

// FolderFile opens a file that p names, below its own folder: a project file may come from elsewhere.
func FolderFile(p *project.Project, name string) (*File, error) {
	root, err := os.OpenRoot(p.Dir)
	if err != nil {
		return nil, freshet.Errorf(freshet.NotFound, "%w", err)
	}
	defer root.Close()
	file, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, freshet.Errorf(freshet.NotFound, "%w", err)
	}
	return openDisk(file)
}

func (f folder) Model(_ context.Context, m project.Model) (*Artifact, error) {
	files, err := modelruntime.FilesAt(filepath.Join(f.p.Dir, filepath.FromSlash(m.Path)))
	if err != nil {
		return nil, err
	}
	digest, err := modelruntime.Digest(files)
	if err != nil {
		_ = files.Close() // err says more
		return nil, err
	}
	return &Artifact{FS: files, Closer: files, Digest: digest}, nil
}
