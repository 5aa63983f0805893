package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"unicode/utf8"

	"github.com/freshet-ml/freshet"
)

// Bounds of an entry. What is larger is a blob that the entry names by its digest.
const (
	MaxBodyBytes   = 1 << 20
	MaxActorBytes  = 256
	MaxReasonBytes = 4 << 10
	// MaxStoredBytes bounds an entry as a driver stores it.
	MaxStoredBytes = MaxBodyBytes + 64<<10
)

// Draft is a decision before it is in the log.
type Draft struct {
	Actor  string          `json:"actor"`            // who decided: the name of a key, "freshet serve"; required
	Reason string          `json:"reason,omitempty"` // why, in the words of who decided
	Kind   string          `json:"kind"`             // what kind of decision: "model.version". It says how Body is read
	Body   json.RawMessage `json:"body"`             // a JSON object
}

// Entry is one decision of the log. Nothing in it changes.
type Entry struct {
	Revision Revision          `json:"revision"`
	At       freshet.Timestamp `json:"at"`
	Draft
}

// NewDraft writes body as JSON.
func NewDraft(kind, actor, reason string, body any) (Draft, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return Draft{}, freshet.Errorf(freshet.InvalidArgument, "entry %s cannot be written as JSON: %w", kind, err)
	}
	return Draft{Actor: actor, Reason: reason, Kind: kind, Body: b}, nil
}

// Decode reads the body into v. Fields that v does not have are passed over: a newer server may have written them.
func (e Entry) Decode(v any) error {
	if err := json.Unmarshal(e.Body, v); err != nil {
		return freshet.Errorf(freshet.Internal, "log of decisions: revision %d (%s) cannot be read: %w", e.Revision, e.Kind, err)
	}
	return nil
}

var kindPattern = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)

func (d Draft) check() error {
	switch {
	case len(d.Kind) > 64 || !kindPattern.MatchString(d.Kind):
		return freshet.FieldErrorf(freshet.InvalidArgument, "kind", "kind: %.80q; expected lower-case words joined by dots, such as model.version", d.Kind)
	case d.Actor == "" || len(d.Actor) > MaxActorBytes || !utf8.ValidString(d.Actor):
		return freshet.FieldErrorf(freshet.InvalidArgument, "actor", "actor: %d bytes; expected 1 to %d bytes of UTF-8 that say who decided", len(d.Actor), MaxActorBytes)
	case len(d.Reason) > MaxReasonBytes || !utf8.ValidString(d.Reason):
		return freshet.FieldErrorf(freshet.InvalidArgument, "reason", "reason: %d bytes; expected at most %d bytes of UTF-8", len(d.Reason), MaxReasonBytes)
	case len(d.Body) > MaxBodyBytes:
		return freshet.FieldErrorf(freshet.TooLarge, "body", "body: %d bytes; at most %d, put what is larger as a blob", len(d.Body), MaxBodyBytes)
	case !isObject(d.Body):
		return freshet.FieldErrorf(freshet.InvalidArgument, "body", "body: expected a JSON object")
	}
	return nil
}

func isObject(b []byte) bool {
	return json.Valid(b) && bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{"))
}

// encodeEntry writes e as docs/formats/registry.md says: a line of JSON, a line with its digest.
func encodeEntry(e Entry) ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, freshet.Errorf(freshet.InvalidArgument, "entry %s cannot be written as JSON: %w", e.Kind, err)
	}
	if len(b)+2+len(DigestOf(nil)) > MaxStoredBytes { // escapes have made it longer than it was given
		return nil, freshet.FieldErrorf(freshet.TooLarge, "body", "body: the entry has %d bytes as JSON; put what is large as a blob", len(b))
	}
	digest := DigestOf(b)
	return append(append(append(b, '\n'), digest...), '\n'), nil
}

// decodeEntry reads what encodeEntry wrote as the entry of revision. Returns Internal for anything else: the file is damaged.
func decodeEntry(revision Revision, data []byte) (Entry, error) {
	damaged := func(why string) (Entry, error) {
		return Entry{}, freshet.Errorf(freshet.Internal,
			"log of decisions: the entry of revision %d is damaged: %s; restore its file from a backup", revision, why)
	}
	line, rest, found := bytes.Cut(data, []byte("\n"))
	if !found {
		return damaged("it ends early")
	}
	sum := sha256.Sum256(line)
	if string(rest) != digestPrefix+hex.EncodeToString(sum[:])+"\n" {
		return damaged("its digest is another")
	}
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return damaged(err.Error())
	}
	if e.Revision != revision {
		return damaged("it says that it is another")
	}
	return e, nil
}
