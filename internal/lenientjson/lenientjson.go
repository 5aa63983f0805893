// Package lenientjson is a kit: it makes JSON of the text that Python's json module writes, which has the bare tokens NaN,
// Infinity and -Infinity for numbers that JSON does not know. It changes nothing else and checks nothing.
package lenientjson

import "bytes"

// tokens are what Python writes beyond JSON, and the texts that they become. Those with a sign come first.
var tokens = []struct{ bare, text string }{
	{"-Infinity", `"-Infinity"`}, {"Infinity", `"Infinity"`}, {"NaN", `"NaN"`},
}

// Clean returns text with each bare NaN, Infinity and -Infinity outside of strings in quotes: "NaN", "Infinity",
// "-Infinity". A text without them is returned as it is, otherwise the result is a copy.
func Clean(text []byte) []byte {
	if !bytes.Contains(text, []byte("NaN")) && !bytes.Contains(text, []byte("Infinity")) {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quoted && c == '\\' && i+1 < len(text):
			out = append(out, c)
			i++
			c = text[i]
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == 'N' || c == 'I' || c == '-':
			if bare, quotedText := tokenAt(text[i:]); bare != "" {
				out = append(out, quotedText...)
				i += len(bare) - 1
				continue
			}
		}
		out = append(out, c)
	}
	return out
}

func tokenAt(text []byte) (bare, quoted string) {
	for _, t := range tokens {
		if bytes.HasPrefix(text, []byte(t.bare)) {
			return t.bare, t.text
		}
	}
	return "", ""
}
