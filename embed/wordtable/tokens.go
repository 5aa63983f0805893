package wordtable

import (
	"unicode"
	"unicode/utf8"
)

const (
	apostrophe       = '\''
	curledApostrophe = '\u2019'
)

// next reads the next token of text, a maximal run of letters and decimal digits with single apostrophes between them, in
// lower case into token[:0]. It returns the token, empty if there is none, and the text behind it. Bytes that are not UTF-8
// stand between tokens as a blank does.
func next(text string, token []byte) (_ []byte, rest string) {
	token = token[:0]
	for i := 0; i < len(text); {
		r, size := lowered(text[i:])
		switch {
		case inToken(r):
			token = utf8.AppendRune(token, r)
		case len(token) == 0:
		case r == apostrophe && followed(text[i+size:]):
			token = append(token, apostrophe)
		default:
			return token, text[i+size:]
		}
		i += size
	}
	return token, ""
}

// followed says whether a letter or digit stands first.
func followed(text string) bool {
	r, _ := lowered(text)
	return inToken(r)
}

// lowered is the first code point in lower case by the one to one mapping, and how many bytes it took.
func lowered(text string) (rune, int) {
	if text == "" {
		return utf8.RuneError, 0
	}
	if c := text[0]; c < utf8.RuneSelf {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return rune(c), 1
	}
	r, size := utf8.DecodeRuneInString(text)
	if r == curledApostrophe {
		return apostrophe, size
	}
	return unicode.ToLower(r), size
}

// inToken is true for letters (category L) and decimal digits (Nd).
func inToken(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || '0' <= r && r <= '9'
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r)
}

// mute is true for a token that says nothing unless the table has it: one code point, or decimal digits only.
func mute(token []byte) bool {
	if utf8.RuneCount(token) <= 1 {
		return true
	}
	for len(token) > 0 {
		r, size := utf8.DecodeRune(token)
		if !unicode.IsDigit(r) {
			return false
		}
		token = token[size:]
	}
	return true
}
