package trainingset

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/freshet-ml/freshet"
)

// csvSource reads RFC 4180 with a header line. All its cells are texts; what they look like is found out on the way.
type csvSource struct {
	path    string
	f       *os.File
	r       *csv.Reader
	columns []string
	cells   []cell
	guesses []guess
	line    int
}

func openCSV(path string) (source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, freshet.FieldErrorf(freshet.NotFound, "entities", "entities: %w", err)
	}
	in := bufio.NewReaderSize(f, 256<<10)
	if mark, _ := in.Peek(3); string(mark) == "\ufeff" { // with which spreadsheets begin a file
		_, _ = in.Discard(3) // they are in the buffer
	}
	s := &csvSource{path: path, f: f, r: csv.NewReader(in)}
	s.r.ReuseRecord = true
	header, err := s.r.Read()
	if err != nil {
		f.Close()
		if errors.Is(err, io.EOF) {
			err = errors.New("it is empty: expected a header line with the names of the columns")
		}
		return nil, sourceError(path, err)
	}
	for i, name := range header {
		if slices.Contains(header[:i], name) {
			f.Close()
			return nil, sourceError(path, freshet.Errorf("", "line 1: column %q stands there twice", name))
		}
	}
	s.columns = slices.Clone(header)
	s.cells, s.guesses = make([]cell, len(header)), make([]guess, len(header))
	return s, nil
}

func (s *csvSource) Columns() []string { return s.columns }

func (s *csvSource) Next() ([]cell, error) {
	record, err := s.r.Read()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, sourceError(s.path, err) // it names the line
	}
	s.line, _ = s.r.FieldPos(0)
	for i, text := range record {
		s.cells[i] = cell{text: text}
		s.guesses[i].see(text)
	}
	return s.cells, nil
}

func (s *csvSource) Line() int { return s.line }

func (s *csvSource) Kinds() []cellKind {
	kinds := make([]cellKind, len(s.guesses))
	for i := range s.guesses {
		kinds[i] = s.guesses[i].kind()
	}
	return kinds
}

func (s *csvSource) Close() error { return s.f.Close() }
