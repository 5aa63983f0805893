package erase

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/eventlog"
	"github.com/freshet-ml/freshet/feature"
)

// void makes a record about e one that says nothing: of no type, about nobody. Its offset stays, because offsets have no gaps, and its
// times, because they decide what others count as late.
func void(r *eventlog.Record, e freshet.Entity, at freshet.Timestamp) bool {
	if r.Entity != e || r.Event.IngestTime > at {
		return false
	}
	r.Entity = freshet.Entity{}
	r.Event.ID, r.Event.Type, r.Event.Payload = "", "", []byte("{}")
	return true
}

// Names are how events name an entity.
type Names struct{ fields, values []string }

// NewNames are those of the entity of spec with key. Returns InvalidArgument if key is none of such an entity.
func NewNames(spec feature.EntitySpec, key freshet.Key) (*Names, error) {
	values, err := key.Split(len(spec.KeyFields))
	if err != nil {
		return nil, err
	}
	return &Names{spec.KeyFields, values}, nil
}

// In tells whether payload names the entity.
func (n *Names) In(payload []byte) bool {
	if !n.perhaps(payload) {
		return false
	}
	members, ok := membersOf(payload)
	return ok && n.named(members)
}

// perhaps is false for most events, which name somebody else. A text with an escape may be any other, so that it is looked at
// closely.
func (n *Names) perhaps(payload []byte) bool {
	return bytes.Contains(payload, []byte(n.values[0])) || bytes.ContainsRune(payload, '\\')
}

// rename gives payload with alias in the place of the entity's name. Of the other members those stay that keep takes. It is
// left alone if it does not name the entity, or is no JSON object.
func (n *Names) rename(payload []byte, alias string, keep func(member string) bool) (renamed []byte, changed bool) {
	if !n.perhaps(payload) {
		return payload, false
	}
	members, ok := membersOf(payload)
	if !ok || !n.named(members) {
		return payload, false
	}
	quoted, err := json.Marshal(alias)
	if err != nil {
		return payload, false
	}
	out := []byte{'{'}
	for _, m := range members {
		isKey := slices.Contains(n.fields, m.name)
		if !isKey && !keep(m.name) {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return payload, false
		}
		out = append(append(out, name...), ':')
		if isKey {
			out = append(out, quoted...)
		} else {
			out = append(out, m.value...)
		}
	}
	return append(out, '}'), true
}

// named tells whether members name the entity.
func (n *Names) named(members []member) bool {
	for i, field := range n.fields {
		at := slices.IndexFunc(members, func(m member) bool { return m.name == field })
		if at < 0 || textOf(members[at].value) != n.values[i] {
			return false
		}
	}
	return true
}

// textOf is the text that a key field holds: a number is its digits.
func textOf(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

type member struct {
	name  string
	value json.RawMessage
}

// membersOf reads a JSON object, in its order.
func membersOf(payload []byte) (members []member, ok bool) {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		t, err := d.Token()
		name, isText := t.(string)
		if err != nil || !isText {
			return nil, false
		}
		m := member{name: name}
		if err := d.Decode(&m.value); err != nil {
			return nil, false
		}
		members = append(members, m)
	}
	_, err := d.Token() // the end of the object
	return members, err == nil
}
