package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"testing"
)

// TestBodiesAreReadAsEncodingJSONReadsThem: which of the two readers takes a body must not show.
func TestBodiesAreReadAsEncodingJSONReadsThem(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`, `null`, ` { "features" : [ "a", "\u00e9\n" ] , "entities" : [ { "user_id" : "u\"1" } , {} , null ] } `,
		`{"features":null,"entities":null,"at":null,"as_of":null}`, `{"features":[],"entities":[],"at":12.50,"after":"0-1","wait":"1s"}`,
		`{"at":"2025-03-03T12:00:00Z","entities":[{"user_id":9007199254740993,"x":[1, 2]}]}`, `{"at": [ 1 ] }`,
	} {
		var fast, plain batchRead
		if err := readStrictly([]byte(text), &fast); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if err := json.Unmarshal([]byte(text), &plain); err != nil || !reflect.DeepEqual(fast, plain) {
			t.Errorf("%s: %+v, encoding/json reads %+v (%v)", text, fast, plain, err)
		}
	}
	for _, text := range []string{
		`{"entity":{"user_id":"u1"},"context":{"a":null,"b":[1, "x"],"c":{"d":1e3}},"candidates":["c1", 7, {"content_id":"c2"}],"top":3,"store":true}`,
		`{"top":null,"store":null,"candidates":[null],"context":null,"entity":null}`,
	} {
		var fast, plain predictRequest
		if err := readStrictly([]byte(text), &fast); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if err := json.Unmarshal([]byte(text), &plain); err != nil || !reflect.DeepEqual(fast, plain) {
			t.Errorf("%s: %+v, encoding/json reads %+v (%v)", text, fast, plain, err)
		}
	}
}

// TestNamesInOtherLettersAreTaken: as encoding/json takes them, with nothing left of what was read before.
func TestNamesInOtherLettersAreTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.check = false
	if a := r.post("/v1/features", `{"features":["session.plays"],"Entities":[{"user_id":"u1"}]}`); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
}
