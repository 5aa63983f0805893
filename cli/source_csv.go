package cli

import (
	"encoding/csv"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet"
)

// csvSource reads events from CSV: the first line names the fields.
type csvSource struct {
	in     *input
	r      *csv.Reader
	fields []string
	text   []bool // by column: stays text whatever it looks like
}

func newCSVSource(in *input, text []string) (*csvSource, error) {
	r := csv.NewReader(in)
	r.ReuseRecord = true
	header, err := r.Read()
	if err == io.EOF {
		return nil, freshet.Errorf(freshet.Unprocessable, "%s is empty; its first line should name the fields", in.name)
	}
	if err != nil {
		return nil, freshet.Errorf(freshet.Unprocessable, "%s, first line: %w", in.name, err)
	}
	s := &csvSource{in: in, r: r, fields: slices.Clone(header)}
	s.fields[0] = strings.TrimPrefix(s.fields[0], "\ufeff") // spreadsheets write a byte order mark
	for i, field := range s.fields {
		if slices.Contains(s.fields[:i], field) {
			return nil, freshet.Errorf(freshet.Unprocessable, "%s: column %q is there twice; name each once", in.name, field)
		}
		s.text = append(s.text, field == "event_id" || field == "type" || slices.Contains(text, field))
	}
	for _, name := range text {
		if !slices.Contains(s.fields, name) {
			return nil, freshet.Errorf(freshet.InvalidArgument, "--text %s: %s has no such column; it has %s",
				name, in.name, strings.Join(s.fields, ", "))
		}
	}
	return s, nil
}

func (s *csvSource) next() (event, error) {
	record, err := s.r.Read()
	if err == io.EOF {
		return event{}, io.EOF
	}
	if pe, ok := errors.AsType[*csv.ParseError](err); ok {
		return event{}, &badLine{line: pe.StartLine, detail: pe.Err.Error()}
	}
	if err != nil {
		return event{}, freshet.Errorf(freshet.Unprocessable, "%s: %w", s.in.name, err)
	}
	line, _ := s.r.FieldPos(0)
	raw := []byte{'{'}
	for i, v := range record {
		if v == "" {
			continue
		}
		if len(raw) > 1 {
			raw = append(raw, ',')
		}
		raw = appendText(raw, s.fields[i])
		raw = append(raw, ':')
		raw = appendCell(raw, v, s.text[i])
	}
	return look(line, append(raw, '}')), nil
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// appendCell writes v as the JSON value it looks like. A whole number that a float64 does not hold exactly is an id, and
// stays text.
func appendCell(dst []byte, v string, text bool) []byte {
	if text {
		return appendText(dst, v)
	}
	if v == "true" || v == "false" {
		return append(dst, v...)
	}
	if !jsonNumber.MatchString(v) {
		return appendText(dst, v)
	}
	if n, err := strconv.ParseInt(v, 10, 64); err == nil && (n > 1<<53 || n < -1<<53) {
		return appendText(dst, v)
	} else if errors.Is(err, strconv.ErrRange) {
		return appendText(dst, v)
	}
	return append(dst, v...)
}

// appendText writes s as a JSON string; bytes that are no UTF-8 become replacement characters.
func appendText(dst []byte, s string) []byte {
	dst, err := jsontext.AppendQuote(dst, strings.ToValidUTF8(s, "\ufffd"))
	if err != nil { // not for valid UTF-8
		return append(dst, '"', '"')
	}
	return dst
}
