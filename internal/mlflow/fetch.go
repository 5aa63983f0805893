package mlflow

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Fetched are the files of a model in a folder for the time being.
type Fetched struct {
	modelruntime.Files
	folder string
}

// Close removes the folder.
func (f Fetched) Close() error { return errors.Join(f.Files.Close(), os.RemoveAll(f.folder)) }

// maxBytes bounds all files of a model together; modelruntime bounds their number and the size of each.
const maxBytes = 1 << 30

// Fetch writes the files of a model into a new folder in scratch. Names that lead out of it are refused.
func (c *Client) Fetch(ctx context.Context, m Model, scratch string) (Fetched, error) {
	folder, err := os.MkdirTemp(scratch, "mlflow-")
	if err != nil {
		return Fetched{}, freshet.Errorf(freshet.Internal, "fetch %s: %w", m.Source, err)
	}
	if err := c.fetchInto(ctx, m, folder); err != nil {
		return Fetched{}, errors.Join(err, os.RemoveAll(folder))
	}
	files, err := modelruntime.FilesAt(folder)
	if err != nil {
		return Fetched{}, errors.Join(err, os.RemoveAll(folder))
	}
	return Fetched{files, folder}, nil
}

func (c *Client) fetchInto(ctx context.Context, m Model, folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return freshet.Errorf(freshet.Internal, "fetch %s: %w", m.Source, err)
	}
	defer root.Close()
	f := &fetch{c: c, root: root, from: m.root, left: maxBytes}
	if err := f.walk(ctx, ".", 0); err != nil {
		return err
	}
	if f.files == 0 {
		return freshet.FieldErrorf(freshet.NotFound, "model", "MLflow at %s has no files for %s", c.URI(), m.Source)
	}
	return nil
}

type fetch struct {
	c       *Client
	root    *os.Root
	from    string
	files   int
	folders int
	left    int64
}

// maxFolders and maxDepth are more than a model directory has.
const (
	maxFolders = 200
	maxDepth   = 16
)

func (f *fetch) walk(ctx context.Context, dir string, depth int) error {
	if f.folders++; f.folders > maxFolders || depth > maxDepth {
		return freshet.Errorf(freshet.TooLarge, "MLflow: the model has more than %d folders, or they are nested over %d deep", maxFolders, maxDepth)
	}
	entries, err := f.c.list(ctx, path.Join(f.from, dir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := checkPath(e.Path); err != nil {
			return err
		}
		name := path.Join(dir, e.Path)
		if e.Dir {
			err = f.walk(ctx, name, depth+1)
		} else {
			err = f.file(ctx, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *fetch) file(ctx context.Context, name string) error {
	if f.files++; f.files > modelruntime.MaxFiles {
		return freshet.Errorf(freshet.TooLarge, "MLflow: more than %d files in one model", modelruntime.MaxFiles)
	}
	elements := strings.Split(path.Join(f.from, name), "/")
	for i, e := range elements {
		elements[i] = url.PathEscape(e)
	}
	body, err := f.c.open(ctx, http.MethodGet, artifacts+"/"+strings.Join(elements, "/"), nil, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := f.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return freshet.Errorf(freshet.InvalidArgument, "MLflow: %s: %w", name, err)
	}
	out, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return freshet.Errorf(freshet.InvalidArgument, "MLflow: %s: %w", name, err)
	}
	limit := min(f.left, modelruntime.MaxFileBytes)
	n, err := io.Copy(out, io.LimitReader(body, limit+1))
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return freshet.Errorf(freshet.Unavailable, "MLflow: %s did not come whole: %w", name, err)
	}
	if n > limit {
		return freshet.Errorf(freshet.TooLarge, "MLflow: the files are over %d bytes together, or %s over %d", maxBytes, name, modelruntime.MaxFileBytes)
	}
	f.left -= n
	return nil
}

// checkPath refuses a path that a server or a file system might understand otherwise than it reads.
func checkPath(p string) error {
	if !fs.ValidPath(p) || p == "." || len(p) > 1024 || strings.ContainsAny(p, "\\#%?:\x00") {
		return freshet.Errorf(freshet.InvalidArgument, "MLflow: %.200q is no path of a model's file: it leads outside, or holds a character that could", p)
	}
	return nil
}
