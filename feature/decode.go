package feature

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// Decode reads one event as a client sent it, by every rule of the event contract: JSON without duplicate names, invalid
// UTF-8 or trailing bytes; a known type; all its keys; fields of the right type; ids, keys, numbers, texts and times within their
// limits. The event time is corrected by the skew of the client's clock (sent_time) and clamped to ingest. Unknown fields
// are skipped, whatever their shape, down to 64 levels.
//
// Errors are InvalidArgument and name the field at fault. Without an id r.ID stays "": the caller gives one.
func (s *Schema) Decode(raw []byte, ingest freshet.Timestamp, r *Record) error {
	r.clear()
	r.decoder.sent = true
	known, err := r.decoder.split(raw)
	if err != nil {
		return err
	}
	r.IngestTime = ingest
	if r.ID, err = r.decoder.id(known.id); err != nil {
		return err
	}
	name, err := r.decoder.typeName(known.typ)
	if err != nil {
		return err
	}
	t := s.types[freshet.EventType(name)]
	if t == nil {
		return s.unknownType(name)
	}
	if err := r.setTime(known.eventTime, known.sentTime); err != nil {
		return err
	}
	return r.fill(t)
}

// DecodeEvent reads an event of the log: its id, type and times win over what the payload says. That the payload is JSON was
// checked by Decode before it came into the log and is not checked anew. One that is no JSON all the same gives an error or
// what can be made out of it, always the same. The texts of r are parts of the payload, which nobody may change any more.
func (s *Schema) DecodeEvent(ev *freshet.Event, r *Record) error {
	r.clear()
	r.decoder.sent = false
	t := s.types[ev.Type]
	if t == nil {
		return s.unknownType(string(ev.Type))
	}
	if _, err := r.decoder.cut(unsafe.String(unsafe.SliceData(ev.Payload), len(ev.Payload))); err != nil {
		return err
	}
	r.ID, r.EventTime, r.IngestTime = ev.ID, ev.EventTime, ev.IngestTime
	return r.fill(t)
}

func (s *Schema) unknownType(name string) error {
	return freshet.FieldErrorf(freshet.InvalidArgument, "type", "type: there is no event type %.64q%s",
		name, expression.Hint(name, s.typeNames()))
}

func (r *Record) clear() {
	if r.typ != nil {
		for _, f := range r.typ.ordered {
			r.slots[f.slot] = expression.Value{}
		}
	}
	r.typ, r.ID, r.Type, r.Clamped = nil, "", "", false
	r.EventTime, r.IngestTime = 0, 0
}

// setTime takes the event time, missing or not, through correction and clamp.
func (r *Record) setTime(eventTime, sentTime string) error {
	event, given, err := moment("event_time", eventTime)
	if err != nil {
		return err
	}
	sent, corrected, err := moment("sent_time", sentTime)
	if err != nil {
		return err
	}
	if !given {
		r.EventTime = r.IngestTime
		return nil
	}
	if corrected {
		event += r.IngestTime - sent
		if event < freshet.MinTimestamp || event > freshet.MaxTimestamp {
			return freshet.FieldErrorf(freshet.InvalidArgument, "sent_time",
				"sent_time: with the clock corrected by it, the event would lie outside 1970 … 9999")
		}
	}
	r.EventTime, r.Clamped = min(event, r.IngestTime), event > r.IngestTime
	return nil
}

// fill reads the members that are keys and fields of the type.
func (r *Record) fill(t *eventType) error {
	r.typ, r.Type = t, t.name
	r.slots[typeSlot] = expression.Value{Kind: expression.String, Str: string(t.name)}
	r.slots[timeSlot] = expression.Value{Kind: expression.Time, Num: float64(r.EventTime)}
	for _, m := range r.decoder.members {
		f := t.fields[m.name]
		if f == nil || m.value == "null" {
			continue
		}
		v := &r.slots[f.slot]
		if wrong := f.read(&r.decoder, f, m.value, v); wrong != "" {
			*v = expression.Value{}
			return freshet.FieldErrorf(freshet.InvalidArgument, f.name, "%s: expected %s, not %s", f.name, wrong, excerpt(m.value))
		}
	}
	for _, f := range t.ordered {
		if !f.isKey {
			break // keys come first
		}
		if r.slots[f.slot].Kind == expression.Null {
			return freshet.FieldErrorf(freshet.InvalidArgument, f.name, "%s: every event of type %s must have this key", f.name, t.name)
		}
	}
	return nil
}

// decoder splits the text of an event into its members. It holds the buffers of one Record.
type decoder struct {
	json    *jsontext.Decoder
	source  bytes.Buffer
	members []member
	scratch []byte
	sent    bool // the event has just come: it is held to bounds that what is in the log already may be beyond
}

// member is one name of the event with the text of its value.
type member struct{ name, value string }

// known are the values of the names that every event may have; "" for one that is missing or null.
type known struct{ id, typ, eventTime, sentTime string }

const maxDepth = 64

// split checks that raw is one JSON object and cuts it into members. Only the whole text is copied, once: what is kept of
// an event is part of that copy, so that the caller may use raw again.
func (d *decoder) split(raw []byte) (known, error) {
	d.source = *bytes.NewBuffer(raw)
	d.json.Reset(&d.source)
	value, err := d.json.ReadValue()
	if err == nil && value.Kind() != '{' {
		return known{}, freshet.Errorf(freshet.InvalidArgument, "an event is a JSON object, not %s", excerpt(string(value)))
	}
	if err == nil {
		if _, err = d.json.ReadToken(); err == io.EOF {
			return d.cut(string(value))
		}
		if err == nil {
			return known{}, freshet.Errorf(freshet.InvalidArgument, "the event is followed by more; send one JSON object")
		}
	}
	return known{}, syntaxError(err)
}

// cut finds the members of an object.
func (d *decoder) cut(object string) (k known, err error) {
	d.members = d.members[:0]
	c := cursor{text: object}
	if c.skip(); c.peek() != '{' {
		return k, broken(0)
	}
	c.at++
	for {
		c.skip()
		if c.peek() == '}' {
			return k, nil
		}
		name, _ := c.value()
		if !isText(name) {
			return k, broken(c.at)
		}
		if name, err = d.unquote(name); err != nil {
			return k, err
		}
		c.skip()
		value, depth := c.value()
		if value == "" {
			return k, broken(c.at)
		}
		if depth >= maxDepth {
			name = excerpt(name)
			return k, freshet.FieldErrorf(freshet.InvalidArgument, name, "%s: nested deeper than %d levels", name, maxDepth)
		}
		given := value
		if value == "null" {
			given = ""
		}
		switch name {
		case "event_id":
			k.id = given
		case "type":
			k.typ = given
		case "event_time":
			k.eventTime = given
		case "sent_time":
			k.sentTime = given
		default:
			d.members = append(d.members, member{name, value})
		}
	}
}

func broken(at int) error {
	return freshet.Errorf(freshet.InvalidArgument, "the event is no JSON at byte %d", at)
}

// syntaxError names the member in which the text stops being JSON, where that is known.
func syntaxError(err error) error {
	e, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return freshet.Errorf(freshet.InvalidArgument, "the event is empty; send a JSON object")
	}
	field := ""
	for field = range e.JSONPointer.Tokens() {
		field = excerpt(field)
		break
	}
	switch {
	case e.Err == jsontext.ErrDuplicateName:
		return freshet.FieldErrorf(freshet.InvalidArgument, field, "%s: the name stands there twice", field)
	case field != "":
		return freshet.FieldErrorf(freshet.InvalidArgument, field, "%s: the event is no JSON at byte %d: %w", field, e.ByteOffset, e.Err)
	}
	return freshet.Errorf(freshet.InvalidArgument, "the event is no JSON at byte %d: %w", e.ByteOffset, e.Err)
}

// unquote gives the text of a JSON string. It copies only where there are escapes.
func (d *decoder) unquote(quoted string) (string, error) {
	inner := quoted[1 : len(quoted)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner, nil
	}
	var err error
	if d.scratch, err = jsontext.AppendUnquote(d.scratch[:0], quoted); err != nil {
		return "", freshet.Errorf(freshet.InvalidArgument, "the event is no JSON: %w", err)
	}
	return string(d.scratch), nil
}

func (d *decoder) id(value string) (freshet.EventID, error) {
	if value == "" {
		return "", nil
	}
	if value[0] != '"' {
		return "", freshet.FieldErrorf(freshet.InvalidArgument, "event_id", "event_id: expected a string of 1 to %d bytes, not %s",
			freshet.MaxEventIDBytes, excerpt(value))
	}
	id, err := d.unquote(value)
	if err == nil && (id == "" || len(id) > freshet.MaxEventIDBytes) {
		err = freshet.FieldErrorf(freshet.InvalidArgument, "event_id", "event_id: expected 1 to %d bytes, not %d",
			freshet.MaxEventIDBytes, len(id))
	}
	return freshet.EventID(id), err
}

func (d *decoder) typeName(value string) (string, error) {
	if value == "" {
		return "", freshet.FieldErrorf(freshet.InvalidArgument, "type", "type: every event must name its type")
	}
	if value[0] != '"' {
		return "", freshet.FieldErrorf(freshet.InvalidArgument, "type", "type: expected the name of an event type, not %s",
			excerpt(value))
	}
	return d.unquote(value)
}

// moment reads one of the times of an event; given is false if it is missing.
func moment(name, value string) (t freshet.Timestamp, given bool, err error) {
	if value == "" {
		return 0, false, nil
	}
	t, ok := parseTime(value)
	if !ok {
		return 0, false, freshet.FieldErrorf(freshet.InvalidArgument, name, "%s: expected %s, not %s", name, timeForms, excerpt(value))
	}
	return t, true, nil
}

// excerpt is what a client sent, cut short for an error message.
func excerpt(value string) string {
	most := 40
	if len(value) <= most {
		return value
	}
	for !utf8.RuneStart(value[most]) {
		most--
	}
	return value[:most] + "…"
}

// cursor walks over a text that should be valid JSON. Over any other it goes as far as it can, and gives "" for what is no value.
type cursor struct {
	text string
	at   int
}

// peek is the byte at hand, 0 at the end.
func (c *cursor) peek() byte {
	if c.at < len(c.text) {
		return c.text[c.at]
	}
	return 0
}

// skip passes what may stand between values.
func (c *cursor) skip() {
	for {
		switch c.peek() {
		case ' ', '\t', '\n', '\r', ',', ':':
			c.at++
		default:
			return
		}
	}
}

// value passes one value. depth counts the lists and objects inside each other in it.
func (c *cursor) value() (value string, depth int) {
	from := c.at
	whole := true
	switch c.peek() {
	case '"':
		whole = c.passString()
	case '{', '[':
		depth, whole = c.passNested()
	default:
		c.passWord()
	}
	if !whole {
		return "", depth
	}
	return c.text[from:c.at], depth
}

func (c *cursor) passString() (whole bool) {
	inner := c.text[c.at+1:]
	end := strings.IndexByte(inner, '"')
	if end < 0 {
		return false
	}
	if strings.IndexByte(inner[:end], '\\') < 0 {
		c.at += end + 2
		return true
	}
	for c.at++; c.at < len(c.text); c.at++ {
		switch c.text[c.at] {
		case '"':
			c.at++
			return true
		case '\\':
			c.at++
		}
	}
	return false
}

func (c *cursor) passNested() (deepest int, whole bool) {
	depth := 0
	for c.at < len(c.text) {
		switch c.text[c.at] {
		case '"':
			if !c.passString() {
				return deepest, false
			}
			continue
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
		c.at++
		if depth == 0 {
			return deepest, true
		}
	}
	return deepest, false
}

func (c *cursor) passWord() {
	for c.at < len(c.text) {
		switch c.text[c.at] {
		case ' ', '\t', '\n', '\r', ',', ']', '}':
			return
		}
		c.at++
	}
}

// isText tells whether a value that a cursor gave is a string.
func isText(value string) bool { return value != "" && value[0] == '"' }
