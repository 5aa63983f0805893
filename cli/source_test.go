package cli

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// read gives all events of a source, and the lines that are none.
func read(t *testing.T, s source) (events []event, bad []badLine) {
	t.Helper()
	for {
		e, err := s.next()
		if err == io.EOF {
			return events, bad
		}
		if b, ok := errors.AsType[*badLine](err); ok {
			bad = append(bad, *b)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
}

func openText(t *testing.T, text string) *input {
	t.Helper()
	in, err := openInput("-", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestNDJSON(t *testing.T) {
	t.Parallel()
	long := `{"a":"` + strings.Repeat("x", maxLine) + `"}`
	s, err := newNDJSONSource(openText(t, "\n{\"event_id\":\"e1\",\"event_time\":5}\r\n"+long+"\nno json\n[1]\n"+
		`{"EVENT_ID":"x","event_time":"2025-03-03T12:00:00Z"}`+"\n"+`{"event_time":"noon"}`))
	if err != nil {
		t.Fatal(err)
	}
	events, bad := read(t, s)
	type brief struct {
		line    int
		needsID bool
		at      int64
	}
	want := []brief{{2, false, 5}, {4, false, 0}, {5, false, 0}, {6, true, 1741003200000}, {7, true, 0}}
	for i, e := range events {
		if i >= len(want) || (brief{e.line, e.needsID, int64(e.at)}) != want[i] {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	if len(events) != len(want) || len(bad) != 1 || bad[0].line != 3 {
		t.Errorf("%d events, bad %v", len(events), bad)
	}
}

func TestGzipIsRecognised(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, "{\"event_id\":\"e1\"}\n")
	z.Close()
	name := filepath.Join(t.TempDir(), "events.jsonl") // the bytes count, not the name
	if err := os.WriteFile(name, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := openInput(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	s, err := newNDJSONSource(in)
	if err != nil {
		t.Fatal(err)
	}
	events, _ := read(t, s)
	if len(events) != 1 || in.done() != 1 {
		t.Errorf("%d events, done %v", len(events), in.done())
	}

	if _, err := openInput("-", strings.NewReader("\x1f\x8bnothing")); err == nil {
		t.Error("broken gzip is taken")
	}
	cut, err := openInput("-", bytes.NewReader(packed.Bytes()[:packed.Len()-9]))
	if err != nil {
		t.Fatal(err)
	}
	s = &ndjsonSource{in: cut}
	for err == nil {
		_, err = s.next()
	}
	if err == io.EOF {
		t.Error("a cut gzip file looks whole")
	}
}

func TestWithID(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{}`:                           `{"event_id":"i"}`,
		`{ }`:                          `{"event_id":"i" }`,
		`{"a": 1}`:                     `{"event_id":"i","a": 1}`,
		`{"event_id":null,"a":1}`:      `{"a":1,"event_id":"i"}`,
		`{"x":{"event_id":"inner"}}`:   `{"event_id":"i","x":{"event_id":"inner"}}`,
		`{"event_id":null,"event_id":`: `{"event_id":null,"event_id":`,
	} {
		if got := string(withID([]byte(raw), "i")); got != want {
			t.Errorf("withID(%s) = %s, want %s", raw, got, want)
		}
	}
}

// FuzzCSV holds that any text read as CSV gives JSON objects or bad lines, never anything else.
func FuzzCSV(f *testing.F) {
	f.Add("type,user_id\nplay,u1\n")
	f.Add("\ufefftype,a b,\"c\"\"d\"\n1,\"x\ny\",-0\n1,2\n")
	f.Add("a,b\n1e999,9007199254740993\n\xff,\x00\n")
	f.Fuzz(func(t *testing.T, text string) {
		in, err := openInput("-", strings.NewReader(text))
		if err != nil {
			return
		}
		s, err := newCSVSource(in, nil)
		if err != nil {
			return
		}
		for {
			e, err := s.next()
			if _, ok := errors.AsType[*badLine](err); ok {
				continue
			}
			if err != nil {
				return
			}
			var object map[string]any
			if !json.Valid(e.raw) || (json.Unmarshal(e.raw, &object) != nil && !bytes.Contains(e.raw, []byte("e"))) {
				t.Fatalf("%q became %s", text, e.raw)
			}
		}
	})
}

// FuzzNDJSON holds that an event with an id written into it is valid JSON whenever it was before.
func FuzzNDJSON(f *testing.F) {
	f.Add(`{"a":1}`)
	f.Add(`{"event_id":null}`)
	f.Add(`{"event_time":1e400}`)
	f.Add("[")
	f.Fuzz(func(t *testing.T, text string) {
		in, err := openInput("-", strings.NewReader(text))
		if err != nil {
			return
		}
		s, err := newNDJSONSource(in)
		if err != nil {
			return
		}
		for {
			e, err := s.next()
			if err != nil {
				return
			}
			if bytes.ContainsAny(e.raw, "\n") {
				t.Fatalf("%q is more than one line", e.raw)
			}
			given := newIDs().give(e)
			if json.Valid(e.raw) != json.Valid(given.raw) {
				t.Fatalf("%q became %q", e.raw, given.raw)
			}
		}
	})
}
