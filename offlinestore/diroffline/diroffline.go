// Package diroffline is the offline store in a directory: Parquet files, one for each partition and day of ingest, which
// pandas, Spark and DuckDB read as they are. docs/formats/offline.md describes names and columns.
//
// A file appears whole or not at all: it is written under another name, synced, and only then renamed. It is never
// changed afterwards, except that Rewrite puts another in its place.
package diroffline

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/offlinestore"
)

// Options of Open. The zero value is usual.
type Options struct {
	// MaxFileRows ends a file before its day does. Defaults to 1,000,000.
	MaxFileRows int
	// GroupRows is how many rows a row group has at most: what a writer holds in memory. Defaults to 32,768.
	GroupRows int
	// GroupBytes ends a row group before that, counted in bytes of payload. Defaults to 8 MiB.
	GroupBytes int
	// PageBytes is the size of a page before compression: what a reader holds of each column. Defaults to 64 KiB.
	PageBytes int
}

func (o *Options) withDefaults() Options {
	if o == nil {
		o = &Options{}
	}
	return Options{
		MaxFileRows: cmp.Or(o.MaxFileRows, 1_000_000),
		GroupRows:   cmp.Or(o.GroupRows, 32<<10),
		GroupBytes:  cmp.Or(o.GroupBytes, 8<<20),
		PageBytes:   cmp.Or(o.PageBytes, 64<<10),
	}
}

// Store implements offlinestore.Driver.
type Store struct {
	dir string
	o   Options

	mu    sync.RWMutex
	files [freshet.Partitions][]file // in order, without a gap
}

var _ offlinestore.Driver = (*Store)(nil)

// Open opens the store in dir, which is made when the first event is stored. Files that were left unfinished are removed. Returns
// Internal if the files of a partition don't follow each other: then one is missing, and nothing should be built on the
// rest.
func Open(dir string, o *Options) (*Store, error) {
	s := &Store{dir: dir, o: o.withDefaults()}
	if _, err := os.Stat(filepath.Join(dir, eventsDir)); errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	err := filepath.WalkDir(filepath.Join(dir, eventsDir), s.found)
	if err == nil {
		err = s.settle()
	}
	if err != nil {
		return nil, freshet.Errorf(freshet.Internal, "offline store %s: %w", dir, err)
	}
	for p := range s.files {
		if err := s.check(freshet.Partition(p)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// found takes what a walk over the folder comes upon. Names that are not ours are left alone.
func (s *Store) found(path string, e fs.DirEntry, err error) error {
	if err != nil || e.IsDir() {
		return err
	}
	if strings.HasPrefix(e.Name(), unfinished) {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if p, f, ok := parseFile(filepath.Base(filepath.Dir(path)), e.Name()); ok {
		f.path = path
		s.files[p] = append(s.files[p], f)
	}
	return nil
}

// settle makes the names that were found durable: the process that gave the last ones may have died before it could, and
// once they are built upon they must not be lost.
func (s *Store) settle() error {
	dirs := map[string]bool{s.dir: true, filepath.Join(s.dir, eventsDir): true}
	for _, files := range s.files {
		for _, f := range files {
			dirs[filepath.Dir(f.path)] = true
		}
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) check(p freshet.Partition) error {
	files := s.files[p]
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.first, b.first) })
	for i := 1; i < len(files); i++ {
		if files[i].first != files[i-1].last+1 {
			return freshet.Errorf(freshet.Internal, "offline store: partition %d: between %s and %s the offsets have a gap or overlap; put the missing file back",
				p, files[i-1].path, files[i].path)
		}
	}
	return nil
}

// Through implements offlinestore.Driver.
func (s *Store) Through(p freshet.Partition) freshet.Offset {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.files[p]) == 0 {
		return 0
	}
	return s.files[p][len(s.files[p])-1].last
}

// day is the one that the next file of p cannot lie before.
func (s *Store) lastDay(p freshet.Partition) int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.files[p]) == 0 {
		return 0
	}
	return s.files[p][len(s.files[p])-1].day
}

func (s *Store) add(p freshet.Partition, f file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[p] = append(s.files[p], f)
}

// fileAt is the file that has offset o, or the first one after it that was not over before notBefore.
func (s *Store) fileAt(p freshet.Partition, o freshet.Offset, notBefore freshet.Timestamp) (file, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	files := s.files[p]
	i := sort.Search(len(files), func(i int) bool { return files[i].last >= o })
	for i < len(files) && files[i].end() <= notBefore {
		i++
	}
	if i == len(files) {
		return file{}, false
	}
	return files[i], true
}

// Open implements offlinestore.Driver.
func (s *Store) Open(_ context.Context, p freshet.Partition, scan eventlog.Scan) (offlinestore.Cursor, error) {
	return &cursor{store: s, partition: p, scan: scan, next: max(scan.From, 1)}, nil
}

// Close implements offlinestore.Driver: files are open only while somebody reads or writes them.
func (s *Store) Close() error { return nil }
