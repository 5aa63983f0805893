package dirregistry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/registry"
)

// Put implements registry.Driver.
func (s *Store) Put(ctx context.Context, digest freshet.Digest, r io.Reader) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.gate.Leave()
	from := &source{r: r}
	path, err := s.write(s.blobs, from)
	if from.err != nil {
		return from.err
	}
	if err == nil {
		err = s.take(path, digest)
	}
	if err != nil {
		return freshet.Errorf(freshet.Internal, "registry: write blob %s: %w", digest, err)
	}
	return nil
}

// take gives the file at path the name of digest.
func (s *Store) take(path string, digest freshet.Digest) error {
	if err := s.fs.Rename(path, s.blobPath(digest)); err != nil {
		_ = s.fs.Remove(path) // err says more
		return err
	}
	return disk.SyncFolder(s.fs, s.blobs)
}

// source tells the errors of what is stored from those of the disk.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// Open implements registry.Driver.
func (s *Store) Open(ctx context.Context, digest freshet.Digest) (registry.Blob, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	f, err := s.fs.Open(s.blobPath(digest))
	if err != nil {
		return nil, blobError(digest, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(blobError(digest, err), f.Close())
	}
	return &blob{File: f, path: s.blobPath(digest), size: info.Size()}, nil
}

type blob struct {
	vfs.File
	path string
	size int64
}

func (b *blob) Size() int64  { return b.size }
func (b *blob) Name() string { return b.path }

// Stat implements registry.Driver.
func (s *Store) Stat(ctx context.Context, digest freshet.Digest) (registry.Info, error) {
	if err := s.enter(ctx); err != nil {
		return registry.Info{}, err
	}
	defer s.gate.Leave()
	info, err := s.fs.Stat(s.blobPath(digest))
	if err != nil {
		return registry.Info{}, blobError(digest, err)
	}
	return registry.Info{Digest: digest, Size: info.Size(), PutAt: freshet.TimestampOf(info.ModTime())}, nil
}

// List implements registry.Driver. Names that are not ours are left alone.
func (s *Store) List(ctx context.Context) ([]registry.Info, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	names, err := s.fs.List(s.blobs)
	if err != nil {
		return nil, freshet.Errorf(freshet.Internal, "registry: list blobs: %w", err)
	}
	slices.Sort(names)
	var all []registry.Info
	for _, name := range names {
		digest := freshet.Digest(digestPrefix + name)
		if registry.CheckDigest(digest) != nil {
			continue
		}
		info, err := s.fs.Stat(s.fs.PathJoin(s.blobs, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, blobError(digest, err)
		}
		all = append(all, registry.Info{Digest: digest, Size: info.Size(), PutAt: freshet.TimestampOf(info.ModTime())})
	}
	return all, nil
}

// Delete implements registry.Driver.
func (s *Store) Delete(ctx context.Context, digest freshet.Digest) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.gate.Leave()
	if err := s.fs.Remove(s.blobPath(digest)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return freshet.Errorf(freshet.Internal, "registry: delete blob %s: %w", digest, err)
	}
	if err := disk.SyncFolder(s.fs, s.blobs); err != nil {
		return freshet.Errorf(freshet.Internal, "registry: delete blob %s: %w", digest, err)
	}
	return nil
}

const digestPrefix = "sha256:"

func (s *Store) blobPath(digest freshet.Digest) string {
	return s.fs.PathJoin(s.blobs, strings.TrimPrefix(string(digest), digestPrefix))
}

func blobError(digest freshet.Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return freshet.Errorf(freshet.NotFound, "registry: there is no blob %s", digest)
	}
	return freshet.Errorf(freshet.Internal, "registry: blob %s: %w", digest, err)
}
