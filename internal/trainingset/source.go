package trainingset

import (
	"path/filepath"
	"strings"

	"github.com/freshet-ml/freshet"
)

// source gives the rows of a file of entities.
type source interface {
	Columns() []string
	// Next gives the next row, valid until the one after it; io.EOF at the end.
	Next() ([]cell, error)
	// Line is where the last row stands, from 1.
	Line() int
	// Kinds are the columns' kinds, as far as they have been read.
	Kinds() []cellKind
	Close() error
}

func openSource(path string) (source, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		return openCSV(path)
	case ".parquet":
		return openParquet(path)
	}
	return nil, freshet.FieldErrorf(freshet.Unsupported, "entities", "entities %s: expected a .csv or .parquet file", path)
}

func sourceError(path string, err error) error {
	return freshet.FieldErrorf(freshet.InvalidArgument, "entities", "%s: %w", path, err)
}

// maxBadRows are named in one error.
const maxBadRows = 10

// badRows gathers what is wrong with rows.
type badRows struct {
	file  string
	lines []string
}

// add takes the error of a row, and returns all when there are enough of them.
func (b *badRows) add(line int, err error) error {
	b.lines = append(b.lines, freshet.Errorf("", "line %d: %w", line, err).Error())
	if len(b.lines) == maxBadRows {
		return b.err()
	}
	return nil
}

func (b *badRows) err() error {
	if len(b.lines) == 0 {
		return nil
	}
	return freshet.FieldErrorf(freshet.InvalidArgument, "entities", "%s: bad rows, nothing was written:\n  %s", b.file, strings.Join(b.lines, "\n  "))
}
