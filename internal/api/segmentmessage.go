package api

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/pushtable"
	"github.com/freshet-ml/freshet/internal/refused"
	"github.com/freshet-ml/freshet/tablestore"
)

// refusalCause says why a message was refused.
type refusalCause string

const (
	causeMalformed   refusalCause = "malformed"    // no JSON object, or of no kind that there is
	causeTooLarge    refusalCause = "too_large"    // over maxSegmentMessage
	causeNoID        refusalCause = "no_id"        // about nobody
	causeUnknownType refusalCause = "unknown_type" // the project has no event type and no table for it
	causeInvalid     refusalCause = "invalid"      // a value that its field or column cannot hold
)

// segmentMessage is one message.
type segmentMessage struct {
	raw      []byte
	call     string
	sentAt   json.RawMessage
	contexts [2]json.RawMessage // its own, then that of its batch

	id                     string // messageId
	user, anonymous, group string
	previous               string                     // alias
	event                  string                     // the name that a track message gives
	name, category         string                     // page and screen
	fields                 map[string]json.RawMessage // properties or traits
	happened, sent         tablestore.Moment
	hasHappened, hasSent   bool
}

// read takes the message apart.
func (m *segmentMessage) read(maxDepth int) (refusalCause, error) {
	if len(m.raw) > maxSegmentMessage {
		return causeTooLarge, freshet.Errorf(freshet.TooLarge, "the message has %d bytes; expected at most %d", len(m.raw), maxSegmentMessage)
	}
	if m.raw[0] != '{' {
		return causeMalformed, freshet.Errorf(freshet.InvalidArgument, "the message is no JSON object: it begins with %.20q", m.raw)
	}
	if err := checkDepth(m.raw, 0, maxDepth); err != nil {
		return causeMalformed, err
	}
	if err := checkSyntax(m.raw); err != nil {
		return causeMalformed, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(m.raw, &members); err != nil {
		return causeMalformed, decodeError(err)
	}
	if err := m.texts(members); err != nil {
		return causeInvalid, err
	}
	if !slices.Contains(segmentCalls, m.call) {
		return causeMalformed, invalid("type", "%.64q is no kind of message; expected %s", m.call, strings.Join(segmentCalls, ", "))
	}
	if err := m.objects(members); err != nil {
		return causeInvalid, err
	}
	if err := m.times(members); err != nil {
		return causeInvalid, err
	}
	return m.check()
}

// texts reads the members that are texts. Ids may be numbers.
func (m *segmentMessage) texts(members map[string]json.RawMessage) error {
	kind := ""
	for _, t := range []struct {
		name string
		to   *string
	}{
		{"messageId", &m.id}, {"type", &kind}, {"userId", &m.user}, {"anonymousId", &m.anonymous}, {"groupId", &m.group},
		{"previousId", &m.previous}, {"event", &m.event}, {"name", &m.name}, {"category", &m.category},
	} {
		raw := members[t.name]
		switch jsontext.Value(raw).Kind() {
		case '"':
			text, err := jsontext.AppendUnquote(nil, raw)
			if err != nil {
				return invalid(t.name, "%w", err)
			}
			*t.to = string(text)
		case '0':
			*t.to = string(raw)
		case 'n', 0: // null, or not there
		default:
			return invalid(t.name, "got %.40s; expected a text", raw)
		}
	}
	if m.call == "" {
		m.call = kind
	}
	return nil
}

// objects finds the properties or traits and the context.
func (m *segmentMessage) objects(members map[string]json.RawMessage) error {
	name := "properties"
	if m.call == "identify" || m.call == "group" {
		name = "traits"
	}
	if raw := members[name]; raw != nil {
		if json.Unmarshal(raw, &m.fields) != nil {
			return invalid(name, "got %.40s; expected an object", raw)
		}
	}
	m.contexts[0] = members["context"]
	return nil
}

func (m *segmentMessage) times(members map[string]json.RawMessage) (err error) {
	if raw := members["sentAt"]; raw != nil {
		m.sentAt = raw
	}
	if m.happened, m.hasHappened, err = segmentMoment("timestamp", members["timestamp"]); err != nil {
		return err
	}
	m.sent, m.hasSent, err = segmentMoment("sentAt", m.sentAt)
	return err
}

func segmentMoment(name string, raw json.RawMessage) (t tablestore.Moment, given bool, err error) {
	switch jsontext.Value(raw).Kind() {
	case 'n', 0:
		return 0, false, nil
	case '"':
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return 0, false, invalid(name, "%w", err)
		}
		if t, err = pushtable.ParseMoment(string(text)); err != nil {
			return 0, false, invalid(name, "%w", err)
		}
		return t, true, nil
	}
	return 0, false, invalid(name, "got %.40s; expected a time in ISO 8601, such as 2026-03-01T12:00:00.000Z", raw)
}

// check wants what every message of its kind has.
func (m *segmentMessage) check() (refusalCause, error) {
	switch {
	case m.user == "" && m.anonymous == "":
		return causeNoID, invalid("userId", "missing, and so is anonymousId; a message has one of them")
	case m.call == "track" && m.event == "":
		return causeMalformed, invalid("event", "missing; expected the name of the event")
	case m.call == "group" && m.group == "":
		return causeNoID, invalid("groupId", "missing")
	case m.call == "alias" && (m.previous == "" || m.user == ""):
		return causeNoID, invalid("previousId", "an alias has previousId and userId")
	}
	return "", nil
}

// who is the id of the person.
func (m *segmentMessage) who() string {
	if m.user != "" {
		return m.user
	}
	return m.anonymous
}

// at is when it happened by our clock: sentAt and received are one moment, by two clocks.
func (m *segmentMessage) at(received tablestore.Moment) (tablestore.Moment, error) {
	if !m.hasHappened {
		return received, nil
	}
	t := m.happened
	if m.hasSent {
		t += received - m.sent
	}
	if t < tablestore.MinMoment {
		return 0, invalid("sentAt", "with the clock corrected by it, the message would lie before 1970")
	}
	return min(t, received), nil
}

// refused is the message in the list of the refused.
func (m *segmentMessage) refused(at freshet.Timestamp, cause refusalCause, err error) refused.Event {
	return refused.Event{
		At: at, Door: "segment", Cause: string(cause), EventID: clip(m.id, freshet.MaxEventIDBytes), Code: freshet.CodeOf(err),
		Field: clip(freshet.FieldOf(err), 64), Reason: clip(err.Error(), maxDetail), Message: strings.ToValidUTF8(clip(string(m.raw), maxSegmentMessage), "\uFFFD"),
	}
}
