package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"

	strictjson "github.com/go-json-experiment/json"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// readJSON reads a request's body into v, a struct: one JSON object whose keys v has. Errors name the key at fault.
func (a *API) readJSON(w *response, r *http.Request, v any) error {
	if _, err := formOf(r.Header, false); err != nil {
		return err
	}
	sent, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	defer a.returnBody(sent)
	if len(bytes.TrimLeft(sent.buf, spaces)) == 0 {
		return freshet.Errorf(freshet.InvalidArgument, "the body is empty; expected a JSON object")
	}
	if err := checkDepth(sent.buf, 0, a.o.MaxDepth); err != nil {
		return err
	}
	if readStrictly(sent.buf, v) == nil {
		return nil
	}
	// encoding/json takes a few times as long. It is asked only about what is wrong, for its words, and about names in other
	// letters (Features), which it takes.
	reflect.ValueOf(v).Elem().SetZero()
	// encoding/json takes the last of two equal names and mends bad UTF-8; we refuse both, as everywhere.
	if err := checkSyntax(sent.buf); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(sent.buf))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return decodeError(err, keysOf(reflect.TypeOf(v).Elem())...)
	}
	return nil
}

// keysOf are the keys of objects that a type takes, those inside them too.
func keysOf(t reflect.Type) (keys []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			keys = append(append(keys, name), keysOf(f.Type)...)
		}
	}
	return keys
}

func readStrictly(text []byte, v any) error {
	return strictjson.Unmarshal(text, v, strictjson.RejectUnknownMembers(true))
}

// readForeign reads a request's body into v as the servers do whose protocols we speak: whatever content type it says, and
// without a word about keys that v does not have. What v keeps of the text is a copy.
func (a *API) readForeign(w *response, r *http.Request, v any) error {
	sent, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	defer a.returnBody(sent)
	if len(bytes.TrimLeft(sent.buf, spaces)) == 0 {
		return freshet.Errorf(freshet.InvalidArgument, "the body is empty; expected a JSON object")
	}
	return a.decodeForeign(sent.buf, v)
}

// decodeForeign is readForeign for a text that was read.
func (a *API) decodeForeign(text []byte, v any) error {
	if err := checkDepth(text, 0, a.o.MaxDepth); err != nil {
		return err
	}
	if err := checkSyntax(text); err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return decodeError(err)
	}
	return nil
}

// decodeError puts encoding/json's errors into our words. keys are those that there are, if others are refused.
func decodeError(err error, keys ...string) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if e.Field == "" {
			return freshet.Errorf(freshet.InvalidArgument, "the body is a JSON %s; expected an object", e.Value)
		}
		return invalid(e.Field, "got a JSON %s; expected %s", e.Value, kindOf(e))
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = strings.Trim(name, `"`)
		return invalid(clip(name, 64), "unknown key%s", expression.Hint(clip(name, 64), keys))
	}
	return freshet.Errorf(freshet.InvalidArgument, "the body cannot be read: %w", err)
}

// kindOf is the JSON kind that a Go type takes.
func kindOf(e *json.UnmarshalTypeError) string {
	switch k := e.Type.Kind().String(); {
	case k == "string":
		return "a text"
	case k == "bool":
		return "true or false"
	case k == "slice":
		return "a list"
	case strings.HasPrefix(k, "int"):
		return "a whole number"
	}
	return "an object"
}
