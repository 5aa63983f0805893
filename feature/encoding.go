package feature

import (
	"encoding/binary"
	"math/bits"
)

// The small parts of a row's bytes (docs/formats/row.md). Readers return what follows and ok false for bytes that are
// none of ours; they never panic.

func appendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

func readUvarint(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), b[1:], true
	}
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}

// readTime reads a time or a distance of times: far more than any that is written, and small enough
// that the sum of a few does not overflow.
func readTime(b []byte) (t int64, rest []byte, ok bool) {
	v, rest, ok := readUvarint(b)
	if !ok || v > 1<<60 {
		return 0, nil, false
	}
	return int64(v), rest, true
}

func appendBytes[B ~[]byte | ~string](dst []byte, b B) []byte {
	return append(appendUvarint(dst, uint64(len(b))), b...)
}

func readBytes(b []byte) (part, rest []byte, ok bool) {
	n, rest, ok := readUvarint(b)
	if !ok || n > uint64(len(rest)) {
		return nil, nil, false
	}
	return rest[:n:n], rest[n:], true
}

// trims are the numbers of zero bytes that an exact sum may leave out at its end: a whole sum has eight, one of halves and
// quarters seven or six.
var trims = [4]int{0, 4, 6, 8}

const (
	exactNegative = 0x80
	exactTrim     = 5 // the shift of the index into trims
	exactLen      = 0x1f
)

// appendExact writes a two's complement number of at most 31 significant bytes: one byte of sign, trim and length, then
// the bytes of the magnitude from the least significant one on. Zero is a single 0 byte.
func appendExact(dst []byte, words []uint64) []byte {
	m, negative := magnitudeOf(words)
	n := (m.bitLen() + 7) / 8
	if n == 0 {
		return append(dst, 0)
	}
	trim := trimOf(&trims, &m)
	head := byte(trim<<exactTrim | n - trims[trim])
	if negative {
		head |= exactNegative
	}
	return appendMagnitude(append(dst, head), &m, trims[trim], n)
}

// appendMagnitude writes the bytes from at to n.
func appendMagnitude(dst []byte, m *magnitude, at, n int) []byte {
	for i := at; i < n; i++ {
		dst = append(dst, byte(m[i/8]>>(i%8*8)))
	}
	return dst
}

// trimOf is the index of the longest of trims that leaves out zeros only.
func trimOf(trims *[4]int, m *magnitude) int {
	zeros, trim := trailingZeroBytes(m), len(trims)-1
	for trims[trim] > zeros {
		trim--
	}
	return trim
}

func trailingZeroBytes(m *magnitude) int {
	for i, w := range m {
		if w != 0 {
			return i*8 + bits.TrailingZeros64(w)/8
		}
	}
	return 0
}

// readExact reads what appendExact wrote into words, all of which it sets.
func readExact(b []byte, words []uint64) (rest []byte, ok bool) {
	clear(words)
	if len(b) == 0 {
		return nil, false
	}
	head := b[0]
	if rest, ok = readMagnitude(b[1:], int(head&exactLen), trims[head>>exactTrim&3], words); !ok {
		return nil, false
	}
	if head&exactNegative != 0 {
		negate(words)
	}
	return rest, true
}

// readMagnitude reads n bytes, least significant first, the first of which is byte at of words; these are 0 before.
func readMagnitude(b []byte, n, at int, words []uint64) (rest []byte, ok bool) {
	if n > len(b) || at+n > 8*len(words) {
		return nil, false
	}
	// Whole sums are the common case: their bytes begin at a word and fit into it.
	if n <= 8 && at%8 == 0 {
		var w uint64
		for i := n - 1; i >= 0; i-- {
			w = w<<8 | uint64(b[i])
		}
		words[at/8] = w
	} else {
		for i, c := range b[:n] {
			words[(at+i)/8] |= uint64(c) << ((at + i) % 8 * 8)
		}
	}
	return b[n:], true
}

// squareTrims are what trims is, for sums of squares: they have twice as many bits behind the point.
var squareTrims = [4]int{0, 8, 12, 16}

const (
	squaresTrim = 6
	squaresLen  = 0x3f
)

// appendSquares is appendExact for a sum of squares, which is longer and never negative.
func appendSquares(dst []byte, w *wide) []byte {
	m, _ := magnitudeOf(w[:])
	n := (m.bitLen() + 7) / 8
	if n == 0 {
		return append(dst, 0)
	}
	trim := trimOf(&squareTrims, &m)
	dst = append(dst, byte(trim<<squaresTrim|n-squareTrims[trim]))
	return appendMagnitude(dst, &m, squareTrims[trim], n)
}

func readSquares(b []byte, w *wide) (rest []byte, ok bool) {
	clear(w[:])
	if len(b) == 0 {
		return nil, false
	}
	return readMagnitude(b[1:], int(b[0]&squaresLen), squareTrims[b[0]>>squaresTrim], w[:])
}
