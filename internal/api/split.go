package api

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet"
)

// splitter finds the texts of the events in a body. It checks the syntax of what holds them; what an event says is for
// the schema to check.
type splitter struct {
	text    []byte
	spans   []span
	decoder *jsontext.Decoder
	reader  bytes.Buffer // what decoder reads
}

// span is where one event stands in the text.
type span struct{ from, to int }

// emptied keeps the splitter's buffers and nothing of the request.
func (s splitter) emptied() splitter {
	const many = 1 << 16
	if cap(s.spans) > many {
		s.spans = nil
	}
	return splitter{spans: s.spans[:0], decoder: s.decoder}
}

// split finds the events of text. Returns InvalidArgument with the position if text cannot be read as a whole, and
// TooLarge for too many events.
func (b *batch) split(text []byte, f form, o Options) error {
	b.text = text
	if f == formNDJSON {
		return b.lines(o.MaxEvents)
	}
	start := len(text) - len(bytes.TrimLeft(text, spaces))
	switch {
	case start == len(text):
		return freshet.Errorf(freshet.InvalidArgument, "the body is empty; expected an event or an array of events")
	case text[start] == '{':
		b.single = true
		return b.object(start, o.MaxDepth)
	case text[start] == '[':
		return b.array(o)
	}
	return freshet.Errorf(freshet.InvalidArgument, "the body begins with %.20q; expected an object or an array of objects", text[start:])
}

// spaces are what JSON calls white space.
const spaces = " \t\r\n"

// object takes the whole text as one event, if it is an object at all.
func (b *batch) object(start, maxDepth int) error {
	end := len(bytes.TrimRight(b.text, spaces))
	b.spans = append(b.spans, span{start, end})
	return checkDepth(b.text[start:end], 0, maxDepth)
}

// lines takes each line that is not blank as one event.
func (b *batch) lines(maxEvents int) error {
	for from := 0; from < len(b.text); {
		to := len(b.text)
		if i := bytes.IndexByte(b.text[from:], '\n'); i >= 0 {
			to = from + i
		}
		if s, ok := trimmed(b.text, from, to); ok {
			if len(b.spans) == maxEvents {
				return tooManyEvents(maxEvents)
			}
			b.spans = append(b.spans, s)
		}
		from = to + 1
	}
	return nil
}

func trimmed(text []byte, from, to int) (span, bool) {
	line := bytes.TrimLeft(text[from:to], spaces)
	from = to - len(line)
	return span{from, from + len(bytes.TrimRight(line, spaces))}, len(line) > 0
}

// array takes each element of an array as one event. What is no JSON ends it: where the next element begins is unknown
// then. Doubled names and bad UTF-8 are left to the schema, so that they cost one event and not all.
func (b *batch) array(o Options) error {
	b.reader = *bytes.NewBuffer(b.text)
	if b.decoder == nil {
		b.decoder = new(jsontext.Decoder)
	}
	b.decoder.Reset(&b.reader, lenient()...)
	if _, err := b.decoder.ReadToken(); err != nil {
		return syntaxError(b.text, err)
	}
	for b.decoder.PeekKind() != ']' {
		element, err := b.decoder.ReadValue()
		if err != nil {
			return syntaxError(b.text, err)
		}
		if len(b.spans) == o.MaxEvents {
			return tooManyEvents(o.MaxEvents)
		}
		if err := checkDepth(element, 1, o.MaxDepth); err != nil {
			return err
		}
		end := int(b.decoder.InputOffset())
		b.spans = append(b.spans, span{end - len(element), end})
	}
	if _, err := b.decoder.ReadToken(); err != nil {
		return syntaxError(b.text, err)
	}
	return ended(b.decoder, b.text)
}

func tooManyEvents(limit int) error {
	return freshet.Errorf(freshet.TooLarge, "the body has more than %d events; send fewer at once", limit)
}

// syntaxError says where text is no JSON.
func syntaxError(text []byte, err error) error {
	at := len(text)
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at, err = int(e.ByteOffset), e.Err
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return freshet.Errorf(freshet.InvalidArgument, "the body is no JSON: at byte %d: %w", at, err)
}

// lenient lets doubled names and bad UTF-8 pass.
func lenient() []jsontext.Options {
	return []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
}

// checkSyntax tells whether text is one JSON value and nothing else; if not, where.
func checkSyntax(text []byte, o ...jsontext.Options) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(text), o...)
	if _, err := d.ReadValue(); err != nil {
		return syntaxError(text, err)
	}
	return ended(d, text)
}

// ended tells whether nothing follows what d has read of text.
func ended(d *jsontext.Decoder, text []byte) error {
	at := d.InputOffset()
	switch _, err := d.ReadToken(); err {
	case io.EOF:
		return nil
	case nil:
		return freshet.Errorf(freshet.InvalidArgument, "the body is no JSON: something follows its end at byte %d", at)
	default:
		return syntaxError(text, err)
	}
}

// checkDepth refuses a text whose brackets are nested deeper than limit, together with those outside around it. Few
// brackets cannot be: counting them is much cheaper than following them, and enough for nearly all.
func checkDepth(text []byte, outside, limit int) error {
	if outside+bytes.Count(text, []byte{'{'})+bytes.Count(text, []byte{'['}) <= limit {
		return nil
	}
	if outside+depth(text) > limit {
		return freshet.Errorf(freshet.InvalidArgument, "the JSON is nested deeper than %d levels", limit)
	}
	return nil
}

// depth is how deep the brackets of text outside its strings are nested.
func depth(text []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// idOf finds the id of an event that was refused, as far as it can be read.
func idOf(raw []byte) string {
	d := jsontext.NewDecoder(bytes.NewBuffer(raw), lenient()...)
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return ""
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return ""
		}
		if name.String() != "event_id" {
			if d.SkipValue() != nil {
				return ""
			}
			continue
		}
		if d.PeekKind() != '"' {
			return ""
		}
		id, err := d.ReadToken()
		if err != nil {
			return ""
		}
		return clip(id.String(), freshet.MaxEventIDBytes)
	}
	return ""
}
