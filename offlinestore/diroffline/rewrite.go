package diroffline

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/offlinestore"
)

var _ offlinestore.Rewriter = (*Store)(nil)

// Rewrite implements offlinestore.Rewriter. A file in which something changes is written anew under another name, synced, and
// renamed over the former: a crash leaves one of the two. Who has the former open reads it to its end.
func (s *Store) Rewrite(ctx context.Context, p freshet.Partition, change eventlog.Change) (changed int, err error) {
	s.mu.RLock()
	files := slices.Clone(s.files[p])
	s.mu.RUnlock()
	for _, f := range files {
		n, err := s.rewriteFile(ctx, p, f, change)
		if changed += n; err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// rewriteFile looks through f first: most files have nothing to change, and nothing is written for them.
func (s *Store) rewriteFile(ctx context.Context, p freshet.Partition, f file, change eventlog.Change) (changed int, err error) {
	err = s.each(ctx, p, f, func(r *eventlog.Record) error {
		yes, err := change(r)
		if yes {
			changed++
		}
		return err
	})
	if err != nil || changed == 0 {
		return 0, err
	}
	w, err := s.create(p, f.day, f.first)
	if err != nil {
		return 0, err
	}
	err = s.each(ctx, p, f, func(r *eventlog.Record) error {
		if _, err := change(r); err != nil {
			return err
		}
		return w.write(r)
	})
	if err == nil {
		err = w.complete(ctx)
	}
	if err != nil {
		w.abandon()
		return 0, err
	}
	if err := os.Rename(w.file.path, f.path); err != nil {
		w.abandon()
		return 0, writeError(p, err)
	}
	if err := syncDir(filepath.Dir(f.path)); err != nil {
		return 0, writeError(p, err)
	}
	return changed, nil
}

// each calls do with the records of one file.
func (s *Store) each(ctx context.Context, p freshet.Partition, f file, do func(*eventlog.Record) error) error {
	c, err := s.Open(ctx, p, eventlog.Scan{From: f.first})
	if err != nil {
		return err
	}
	defer c.Close()
	var records []eventlog.Record
	const some = 1024
	for c.Offset() <= f.last {
		records, err = c.Next(ctx, records[:0], min(some, int(f.last-c.Offset())+1))
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return freshet.Errorf(freshet.Internal, "offline store: %s ends before offset %d", f.path, f.last)
		}
		for i := range records {
			if err := do(&records[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
