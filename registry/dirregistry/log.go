package dirregistry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/disk"
	"github.com/freshet-ml/freshet/registry"
)

// openLog finds the head. Names that are not ours are left alone.
func (s *Store) openLog() error {
	names, err := s.fs.List(s.log)
	if err != nil {
		return freshet.Errorf(freshet.Internal, "registry: list log: %w", err)
	}
	var last registry.Revision
	there := map[registry.Revision]bool{}
	for _, name := range names {
		if r, ok := parseEntry(name); ok {
			there[r], last = true, max(last, r)
		}
	}
	for r := registry.Revision(1); r < last; r++ {
		if there[r] {
			continue
		}
		// A listing that runs beside appends may miss one and show the next.
		if _, err := s.fs.Stat(s.entryPath(r)); err != nil {
			return freshet.Errorf(freshet.Internal, "registry: %s is missing and there are later entries; put the file back", s.entryPath(r))
		}
	}
	s.head.Store(uint64(last))
	return nil
}

const entryExtension = ".entry"

// entryName sorts by revision. The digits are enough for every revision.
func entryName(r registry.Revision) string { return fmt.Sprintf("%020d%s", r, entryExtension) }

// parseEntry is the inverse of entryName; ok is false for other names.
func parseEntry(name string) (registry.Revision, bool) {
	digits, ours := strings.CutSuffix(name, entryExtension)
	n, err := strconv.ParseUint(digits, 10, 64)
	r := registry.Revision(n)
	return r, ours && err == nil && n > 0 && name == entryName(r)
}

func (s *Store) entryPath(r registry.Revision) string { return s.fs.PathJoin(s.log, entryName(r)) }

// Append implements registry.Driver.
func (s *Store) Append(ctx context.Context, revision registry.Revision, data []byte) (stored bool, err error) {
	if err := s.enter(ctx); err != nil {
		return false, err
	}
	defer s.gate.Leave()
	head, err := s.findHead()
	if err != nil || revision != head+1 {
		return false, err
	}
	path, err := s.write(s.log, bytes.NewReader(data))
	if err != nil {
		return false, appendError(revision, err)
	}
	err = s.fs.Link(path, s.entryPath(revision))
	_ = s.fs.Remove(path) // what is left of it is removed at a later start
	if errors.Is(err, fs.ErrExist) {
		return false, nil // another process was first
	}
	if err == nil {
		err = disk.SyncFolder(s.fs, s.log)
	}
	if err != nil {
		return false, appendError(revision, err)
	}
	return true, nil
}

func appendError(r registry.Revision, err error) error {
	return freshet.Errorf(freshet.Internal, "registry: append revision %d: %w", r, err)
}

// Read implements registry.Driver.
func (s *Store) Read(ctx context.Context, revision registry.Revision) ([]byte, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	path := s.entryPath(revision)
	f, err := s.fs.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, freshet.Errorf(freshet.NotFound, "registry: there is no revision %d (%s)", revision, path)
	}
	if err != nil {
		return nil, freshet.Errorf(freshet.Internal, "registry: revision %d: %w", revision, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, registry.MaxStoredBytes+1)) // one more: what is too long is seen to be damaged
	if err != nil {
		return nil, freshet.Errorf(freshet.Internal, "registry: revision %d: %w", revision, err)
	}
	return data, nil
}

// Head implements registry.Driver.
func (s *Store) Head(ctx context.Context) (registry.Revision, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.gate.Leave()
	return s.findHead()
}

// findHead goes on from the newest entry that was seen: another process may have appended since.
func (s *Store) findHead() (registry.Revision, error) {
	seen := s.head.Load()
	for head := registry.Revision(seen); ; head++ {
		_, err := s.fs.Stat(s.entryPath(head + 1))
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return 0, freshet.Errorf(freshet.Internal, "registry: look for revision %d: %w", head+1, err)
		}
		s.head.CompareAndSwap(seen, uint64(head)) // if somebody else has moved it, it is a hint no less good
		return head, nil
	}
}
