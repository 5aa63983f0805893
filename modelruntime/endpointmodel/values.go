package endpointmodel

import (
	"bytes"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet/internal/lenientjson"
)

// appendJSON writes a value of a column of type t; what is missing, or no number of JSON, is null.
func appendJSON(b []byte, t string, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(b, "null"...)
	}
	switch t {
	case "long", "integer":
		return strconv.AppendFloat(b, v, 'f', -1, 64)
	case "boolean":
		return strconv.AppendBool(b, v != 0)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

// number reads a number of an answer: also the texts that stand for those which JSON does not have, and null for NaN.
func number(t jsontext.Token) (float64, bool) {
	switch t.Kind() {
	case 'n':
		return math.NaN(), true
	case 't':
		return 1, true
	case 'f':
		return 0, true
	case '0':
		v, _ := t.Float()
		return v, true
	case '"':
		switch t.String() {
		case "NaN", "Infinity", "-Infinity":
			v, _ := t.Float()
			return v, true
		}
	}
	return 0, false
}

// decoder reads an answer in which Python's NaN may stand.
func decoder(text []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(lenientjson.Clean(text)), jsontext.AllowDuplicateNames(true))
}

func appendQuoted(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // the error is about bad UTF-8, which a name of a JSON file does not have
	return b
}
