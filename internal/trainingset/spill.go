package trainingset

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/record"
)

// request asks for all views of one kind of entity at one moment.
type request struct {
	row  int64 // of the file of entities, from 0
	kind int   // among the plan's
	key  freshet.Key
	at   freshet.Timestamp
}

func requestsFile(dir string, p freshet.Partition) string {
	return filepath.Join(dir, fmt.Sprintf("requests-%02d", p))
}

func resultsFile(dir string, p freshet.Partition) string {
	return filepath.Join(dir, fmt.Sprintf("results-%02d", p))
}

// spill writes requests into one file for each partition. The files live as long as one export: nothing is synced.
type spill struct {
	dir   string
	files [freshet.Partitions]*spillFile
	frame []byte
}

type spillFile struct {
	f *os.File
	w *bufio.Writer
}

func newSpill(dir string) *spill { return &spill{dir: dir} }

const spillBuffer = 32 << 10

func createSpill(path string) (*spillFile, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, spillError(err)
	}
	return &spillFile{f: f, w: bufio.NewWriterSize(f, spillBuffer)}, nil
}

func (f *spillFile) finish() error {
	err := f.w.Flush()
	if closeErr := f.f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return spillError(err)
	}
	return nil
}

// frame writes b behind its length.
func (f *spillFile) frame(b []byte) error {
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(len(b)))
	if _, err := f.w.Write(length[:n]); err != nil {
		return spillError(err)
	}
	if _, err := f.w.Write(b); err != nil {
		return spillError(err)
	}
	return nil
}

func (s *spill) add(p freshet.Partition, r request) error {
	if s.files[p] == nil {
		f, err := createSpill(requestsFile(s.dir, p))
		if err != nil {
			return err
		}
		s.files[p] = f
	}
	s.frame = binary.AppendUvarint(s.frame[:0], uint64(r.row))
	s.frame = binary.AppendUvarint(s.frame, uint64(r.kind))
	s.frame = binary.AppendUvarint(s.frame, uint64(r.at))
	s.frame = append(s.frame, r.key...)
	return s.files[p].frame(s.frame)
}

// finish makes all files readable.
func (s *spill) finish() error {
	var errs []error
	for p, f := range s.files {
		if f != nil {
			errs = append(errs, f.finish())
			s.files[p] = nil
		}
	}
	return errors.Join(errs...)
}

// abandon closes what finish has not closed.
func (s *spill) abandon() {
	for _, f := range s.files {
		if f != nil {
			_ = f.f.Close() // it goes with its folder
		}
	}
}

// readRequests reads all requests of a partition, in the order of their rows.
func readRequests(dir string, p freshet.Partition) ([]request, error) {
	f, err := os.Open(requestsFile(dir, p))
	if err != nil {
		return nil, spillError(err)
	}
	defer f.Close()
	in := frames{r: bufio.NewReaderSize(f, spillBuffer)}
	var requests []request
	for {
		b, err := in.next()
		if errors.Is(err, io.EOF) {
			return requests, nil
		}
		if err != nil {
			return nil, err
		}
		r := record.NewReader(string(b))
		requests = append(requests, request{
			row: int64(r.Uvarint()), kind: int(r.Uvarint()), at: freshet.Timestamp(r.Uvarint()), key: freshet.Key(r.Rest()),
		})
		if r.Bad() {
			return nil, spillError(errors.New("a broken request"))
		}
	}
}

// frames reads what spillFile.frame wrote.
type frames struct {
	r      *bufio.Reader
	buffer []byte
}

func (f *frames) next() ([]byte, error) {
	n, err := binary.ReadUvarint(f.r)
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, spillError(err)
	}
	if uint64(cap(f.buffer)) < n {
		f.buffer = make([]byte, n)
	}
	f.buffer = f.buffer[:n]
	if _, err := io.ReadFull(f.r, f.buffer); err != nil {
		return nil, spillError(err)
	}
	return f.buffer, nil
}

func spillError(err error) error {
	return freshet.Errorf(freshet.Internal, "temporary file: %w", err)
}

// appendValues appends values so that readValues finds them again.
func appendValues(dst []byte, values []expression.Value) []byte {
	for i := range values {
		dst = appendValue(dst, &values[i])
	}
	return dst
}

func appendValue(dst []byte, v *expression.Value) []byte {
	dst = append(dst, byte(v.Kind))
	switch v.Kind {
	case expression.Null:
	case expression.String:
		dst = record.AppendText(dst, v.Str)
	case expression.List, expression.Map:
		dst = binary.AppendUvarint(dst, uint64(len(v.List)))
		for i := range v.List {
			if v.Kind == expression.Map {
				dst = record.AppendText(dst, v.List[i].Str)
				dst = record.AppendFloat(dst, v.List[i].Num)
				continue
			}
			dst = appendValue(dst, &v.List[i])
		}
	case expression.Vector:
		dst = binary.AppendUvarint(dst, uint64(len(v.Vec)))
		for _, x := range v.Vec {
			dst = record.AppendFloat(dst, x)
		}
	default:
		dst = record.AppendFloat(dst, v.Num)
	}
	return dst
}

func readValue(r *record.Reader) expression.Value {
	v := expression.Value{Kind: expression.Kind(r.Byte())}
	switch v.Kind {
	case expression.Null:
	case expression.String:
		v.Str = r.Text()
	case expression.List:
		n := r.Count(1)
		v.List = make([]expression.Value, n)
		for i := range v.List {
			v.List[i] = readValue(r)
		}
	case expression.Map:
		v.List = make([]expression.Value, r.Count(9))
		for i := range v.List {
			v.List[i] = expression.Value{Kind: expression.Number, Str: r.Text(), Num: r.Float()}
		}
	case expression.Vector:
		v.Vec = make([]float64, r.Count(8))
		for i := range v.Vec {
			v.Vec[i] = r.Float()
		}
	default:
		v.Num = r.Float()
	}
	return v
}

// results reads the values that workers wrote, of each partition in the order of the rows.
type results struct {
	dir    string
	files  [freshet.Partitions]*os.File
	frames [freshet.Partitions]frames
	values []expression.Value
}

func newResults(dir string) *results { return &results{dir: dir} }

// next gives the values of row, which must be the next one of p; they are valid until the next call.
func (s *results) next(p freshet.Partition, row int64, width int) ([]expression.Value, error) {
	if s.files[p] == nil {
		f, err := os.Open(resultsFile(s.dir, p))
		if err != nil {
			return nil, spillError(err)
		}
		s.files[p], s.frames[p] = f, frames{r: bufio.NewReaderSize(f, spillBuffer)}
	}
	b, err := s.frames[p].next()
	if err != nil {
		return nil, err
	}
	r := record.NewReader(string(b))
	if got := int64(r.Uvarint()); got != row {
		return nil, freshet.Errorf(freshet.Unprocessable, "the file of entities changed while it was read: row %d comes where row %d should", got+1, row+1)
	}
	s.values = s.values[:0]
	for range width {
		s.values = append(s.values, readValue(&r))
	}
	if !r.Done() {
		return nil, spillError(errors.New("a broken result"))
	}
	return s.values, nil
}

func (s *results) close() {
	for _, f := range s.files {
		if f != nil {
			_ = f.Close() // it was only read
		}
	}
}
