package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
)

// entitySpec finds the declaration of an entity kind.
func entitySpec(rel *release.Opened, kind freshet.EntityKind) (feature.EntitySpec, error) {
	spec, ok := rel.Project().Entity(kind)
	if ok {
		return spec, nil
	}
	var names []string
	for _, e := range rel.Project().Entities {
		names = append(names, string(e.Kind))
	}
	return spec, freshet.FieldErrorf(freshet.NotFound, "kind", "there is no entity %.64q%s", kind, expression.Hint(clip(string(kind), 64), names))
}

// pathEntity is the entity that a path names: /v1/users/{user}/… or /v1/entities/{kind}/{key}/….
func pathEntity(rel *release.Opened, r *http.Request) (freshet.Entity, feature.EntitySpec, error) {
	segments := strings.Split(r.URL.EscapedPath(), "/") // "", "v1", "users", KEY or "", "v1", "entities", KIND, KEY
	kind, escaped := freshet.EntityKind("user"), segments[3]
	if segments[2] == "entities" {
		kind, escaped = freshet.EntityKind(r.PathValue("kind")), segments[4]
	}
	spec, err := entitySpec(rel, kind)
	if err != nil {
		return freshet.Entity{}, spec, err
	}
	// From the path as it was sent: a comma between two values and an escaped one inside a value are told apart there only.
	values := []string{escaped}
	if len(spec.KeyFields) > 1 {
		values = strings.Split(escaped, ",")
	}
	if len(values) != len(spec.KeyFields) {
		return freshet.Entity{}, spec, invalid("key", "%.64q has %d values; an entity %s is named by %s, joined by commas",
			escaped, len(values), kind, strings.Join(spec.KeyFields, ", "))
	}
	for i, field := range spec.KeyFields {
		v, err := url.PathUnescape(values[i])
		if err != nil {
			return freshet.Entity{}, spec, invalid(field, "%.64q is not percent-encoded text", values[i])
		}
		if err := checkKeyValue(field, v); err != nil {
			return freshet.Entity{}, spec, err
		}
		values[i] = v
	}
	return freshet.Entity{Kind: kind, Key: freshet.JoinKey(values...)}, spec, nil
}

func checkKeyValue(field, v string) error {
	if v == "" || len(v) > freshet.MaxKeyBytes {
		return invalid(field, "expected 1 to %d bytes, got %d", freshet.MaxKeyBytes, len(v))
	}
	return nil
}

// key is the key of an entity that parameters name by its key fields.
func (q query) key(spec feature.EntitySpec) (freshet.Key, error) {
	values := make([]string, len(spec.KeyFields))
	for i, field := range spec.KeyFields {
		v, ok := q[field]
		if !ok {
			return "", invalid(field, "missing; an entity %s is named by %s", spec.Kind, strings.Join(spec.KeyFields, " and "))
		}
		if err := checkKeyValue(field, v); err != nil {
			return "", err
		}
		values[i] = v
	}
	return freshet.JoinKey(values...), nil
}

// keyFields are the values of key fields in a JSON object.
type keyFields map[string]json.RawMessage

// key is the key of the entity that an object names by its key fields; other fields are not looked at.
func (f keyFields) key(spec feature.EntitySpec) (freshet.Key, error) {
	values := make([]string, len(spec.KeyFields))
	for i, field := range spec.KeyFields {
		raw, ok := f[field]
		if !ok {
			return "", invalid(field, "missing; an entity %s is named by %s", spec.Kind, strings.Join(spec.KeyFields, " and "))
		}
		v, err := keyValue(field, raw)
		if err != nil {
			return "", err
		}
		values[i] = v
	}
	return freshet.JoinKey(values...), nil
}

// keyValue reads a key field as events have it: a text, or an integer as its decimal text.
func keyValue(field string, raw json.RawMessage) (string, error) {
	if n := len(raw) - 1; n > 0 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 { // as nearly all are; the syntax has been checked
		v := string(raw[1:n])
		return v, checkKeyValue(field, v)
	}
	var v string
	if err := json.Unmarshal(raw, &v); err == nil && raw[0] == '"' {
		return v, checkKeyValue(field, v)
	}
	if v, ok := feature.KeyText(string(raw)); ok {
		return v, nil
	}
	return "", invalid(field, "%.64q: expected a text or an integer", raw)
}

// appendEntity writes an entity by its key fields.
func appendEntity(b []byte, spec feature.EntitySpec, key freshet.Key) []byte {
	values, err := key.Split(len(spec.KeyFields))
	if err != nil { // stored by a release whose entity had other key fields
		values = nil
	}
	b = append(b, '{')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, spec.KeyFields[i])
		b = append(b, ':')
		b = appendText(b, v)
	}
	return append(b, '}')
}
