package project

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// place is the line and column of byte offset of the text of scalar n. Quotes, escapes, folded lines and blocks are
// stepped over in the source; where the source does not go along with the text, it is the place of the scalar.
func (r *reader) place(n *node, offset int) (line, column int) {
	start := r.sourceOffset(n.line, n.column)
	if n.kind != scalarNode || start < 0 || offset <= 0 || offset > len(n.text) {
		if n.quoted && n.style != token.LiteralType && n.style != token.FoldedType && n.kind == scalarNode {
			return n.line, n.column + 1
		}
		return n.line, n.column
	}
	at := start
	switch n.style {
	case token.LiteralType, token.FoldedType:
		at = r.lineEnd(start)
	case token.DoubleQuoteType, token.SingleQuoteType:
		at++
	}
	for i := 0; i < offset; {
		next, size, ok := r.step(n.style, at, n.text[i:])
		if !ok {
			return n.line, n.column
		}
		at, i = next, i+size
	}
	return r.lineAndColumn(r.skipFold(at, n.text[offset:]))
}

// step goes over what stands at source offset at for the first character of rest: the offset behind it and how many bytes
// of rest it was.
func (r *reader) step(style token.Type, at int, rest string) (next, size int, ok bool) {
	at = r.skipFold(at, rest)
	if at >= len(r.text) {
		return 0, 0, false
	}
	_, size = utf8.DecodeRuneInString(rest)
	source := r.text[at:]
	switch {
	case isSpace(rest[0]) && isSpace(source[0]):
		for at < len(r.text) && isSpace(r.text[at]) {
			at++
		}
		for size < len(rest) && isSpace(rest[size]) {
			size++
		}
		return at, size, true
	case style == token.DoubleQuoteType && source[0] == '\\':
		return at + escapeLen(source), size, true
	case style == token.SingleQuoteType && bytes.HasPrefix(source, []byte("''")):
		return at + 2, size, true
	case bytes.HasPrefix(source, []byte(rest[:size])):
		return at + size, size, true
	}
	return 0, 0, false
}

// skipFold steps over white space in the source that the text does not have.
func (r *reader) skipFold(at int, rest string) int {
	if rest != "" && isSpace(rest[0]) {
		return at
	}
	for at < len(r.text) && isSpace(r.text[at]) {
		at++
	}
	return at
}

func isSpace(b byte) bool { return strings.IndexByte(" \t\r\n", b) >= 0 }

// escapeLen is the length of the escape at the start of source.
func escapeLen(source []byte) int {
	if len(source) < 2 {
		return 1
	}
	switch source[1] {
	case 'x':
		return 4
	case 'u':
		return 6
	case 'U':
		return 10
	}
	return 2
}

// sourceOffset is the inverse of lineAndColumn; −1 if there is no such place.
func (r *reader) sourceOffset(line, column int) int {
	at := 0
	for ; line > 1; line-- {
		at = r.lineEnd(at) + 1
	}
	for ; column > 1 && at < len(r.text); column-- {
		_, size := utf8.DecodeRune(r.text[at:])
		at += size
	}
	if at > len(r.text) {
		return -1
	}
	return at
}

func (r *reader) lineEnd(at int) int {
	if at >= len(r.text) {
		return len(r.text)
	}
	if i := bytes.IndexByte(r.text[at:], '\n'); i >= 0 {
		return at + i
	}
	return len(r.text)
}

func (r *reader) lineAndColumn(at int) (line, column int) {
	before := r.text[:min(at, len(r.text))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return 1 + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(before[start:])
}
