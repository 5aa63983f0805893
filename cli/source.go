package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet"
)

// maxLine bounds one line of input.
const maxLine = 1 << 20

// event is one event of the input.
type event struct {
	line    int
	raw     []byte // a JSON object on one line, or what shall be rejected as none
	needsID bool
	at      freshet.Timestamp // its event_time; 0 if it has none that can be read
}

// source reads events one by one. next returns io.EOF after the last event, and a *badLine for a line that cannot be
// sent; it can be called again after that one.
type source interface {
	next() (event, error)
}

// badLine is a line of the input that cannot be sent.
type badLine struct {
	line   int
	detail string
}

func (b *badLine) Error() string { return fmt.Sprintf("line %d: %s", b.line, b.detail) }

// input is the file to send, unpacked.
type input struct {
	*bufio.Reader
	name string
	size int64 // of the file as it lies on disk; 0 if unknown
	read countingReader
	file io.Closer
}

// openInput opens a file; "-" is stdin. gzip is recognised by its first bytes.
func openInput(name string, stdin io.Reader) (*input, error) {
	in := &input{name: name, read: countingReader{r: stdin}}
	if name == "-" {
		in.name = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			code := freshet.InvalidArgument
			if os.IsNotExist(err) {
				code = freshet.NotFound
			}
			return nil, freshet.Errorf(code, "%w; give an existing NDJSON or CSV file, or - for standard input", err)
		}
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			in.size = info.Size()
		}
		in.read.r, in.file = f, f
	}
	in.Reader = bufio.NewReaderSize(&in.read, 64<<10)
	if magic, err := in.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(in.Reader)
		if err != nil {
			in.Close()
			return nil, freshet.Errorf(freshet.Unprocessable, "%s looks like gzip but cannot be unpacked: %w", in.name, err)
		}
		in.Reader = bufio.NewReaderSize(z, 64<<10)
	}
	return in, nil
}

// Close closes the file, but not stdin.
func (in *input) Close() error {
	if in.file == nil {
		return nil
	}
	return in.file.Close()
}

// done is how much of the file has been read, 0 to 1; negative if its size is unknown.
func (in *input) done() float64 {
	if in.size == 0 {
		return -1
	}
	return min(1, float64(in.read.n)/float64(in.size))
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// ndjsonSource reads one JSON object a line; empty lines are skipped.
type ndjsonSource struct {
	in   *input
	line int
}

// newNDJSONSource refuses a file that is one JSON array: its elements are seldom one a line.
func newNDJSONSource(in *input) (*ndjsonSource, error) {
	if first, err := in.Peek(1); err == nil && first[0] == '[' {
		return nil, freshet.Errorf(freshet.Unprocessable,
			"%s is a JSON array, and one event a line is expected; rewrite it with: jq -c '.[]' FILE", in.name)
	}
	return &ndjsonSource{in: in}, nil
}

func (s *ndjsonSource) next() (event, error) {
	for {
		line, err := s.readLine()
		if err != nil {
			return event{}, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return look(s.line, line), nil
		}
	}
}

// readLine reads one line of at most maxLine bytes. A longer one is skipped and returned as a *badLine.
func (s *ndjsonSource) readLine() ([]byte, error) {
	s.line++
	var line []byte
	for {
		part, err := s.in.ReadSlice('\n')
		if len(line) <= maxLine {
			line = append(line, part...)
		}
		if err == bufio.ErrBufferFull || (err == io.EOF && len(line) > 0) {
			if err == bufio.ErrBufferFull {
				continue
			}
			err = nil // the last line has no end
		}
		if err == io.EOF {
			return nil, io.EOF
		}
		if err != nil {
			return nil, freshet.Errorf(freshet.Unprocessable, "%s, line %d: %w", s.in.name, s.line, err)
		}
		if len(line) > maxLine {
			return nil, &badLine{line: s.line, detail: fmt.Sprintf("longer than %d bytes; an event is one line", maxLine)}
		}
		return line, nil
	}
}

// look finds out what sending needs to know of an event. One that is no JSON object goes as it is: the server says why
// it is none.
func look(line int, raw []byte) event {
	var head struct {
		ID   jsontext.Value `json:"event_id"`
		Time jsontext.Value `json:"event_time"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return event{line: line, raw: raw}
	}
	e := event{line: line, raw: raw, needsID: head.ID == nil || string(head.ID) == "null"}
	if head.Time != nil {
		if err := e.at.UnmarshalJSON(head.Time); err != nil {
			e.at = 0
		}
	}
	return e
}

// withID writes id into a JSON object that has none, or a null one. Without one the object's bytes stay as they are.
func withID(raw []byte, id string) []byte {
	object := map[string]jsontext.Value{}
	if err := json.Unmarshal(raw, &object); err != nil {
		return raw
	}
	if _, null := object["event_id"]; !null {
		out := append([]byte(`{"event_id":"`), id...)
		out = append(out, '"')
		if len(object) > 0 {
			out = append(out, ',')
		}
		return append(out, raw[1:]...)
	}
	object["event_id"] = jsontext.Value(`"` + id + `"`)
	out, err := json.Marshal(object, json.Deterministic(true))
	if err != nil {
		return raw
	}
	return out
}
