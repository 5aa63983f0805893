package feature

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/freshet-ml/freshet/feature/expression"
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
	zeros := trailingZeroBytes(&m)
	trim := len(trims) - 1
	for trims[trim] > zeros {
		trim--
	}
	head := byte(trim<<exactTrim | n - trims[trim])
	if negative {
		head |= exactNegative
	}
	dst = append(dst, head)
	for i := trims[trim]; i < n; i++ {
		dst = append(dst, byte(m[i/8]>>(i%8*8)))
	}
	return dst
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
	n, at := int(head&exactLen), trims[head>>exactTrim&3]
	b = b[1:]
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
	if head&exactNegative != 0 {
		negate(words)
	}
	return b[n:], true
}

// Tags of values.
const (
	tagNone   = iota
	tagWhole  // zigzag varint
	tagFloat  // eight bytes, least significant first
	tagFalse  //
	tagTrue   //
	tagString // bytes
	tagTime   // uvarint of milliseconds
	tagList   // number of elements, each a value that is no list and no vector
	tagVector // number of floats, eight bytes each
)

// appendValue writes a value that is no map.
func appendValue(dst []byte, v *expression.Value) []byte {
	switch v.Kind {
	case expression.Number:
		return appendNumber(dst, v.Num)
	case expression.Bool:
		if v.Num != 0 {
			return append(dst, tagTrue)
		}
		return append(dst, tagFalse)
	case expression.String:
		return appendBytes(append(dst, tagString), v.Str)
	case expression.Time:
		return appendUvarint(append(dst, tagTime), uint64(v.Num))
	case expression.List:
		dst = appendUvarint(append(dst, tagList), uint64(len(v.List)))
		for i := range v.List {
			dst = appendValue(dst, &v.List[i])
		}
		return dst
	case expression.Vector:
		dst = appendUvarint(append(dst, tagVector), uint64(len(v.Vec)))
		for _, x := range v.Vec {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
		}
		return dst
	}
	return append(dst, tagNone)
}

// appendNumber writes a float64, small where it is whole.
func appendNumber(dst []byte, x float64) []byte {
	if math.Abs(x) <= maxSummand && x == math.Trunc(x) {
		return binary.AppendVarint(append(dst, tagWhole), int64(x))
	}
	return binary.LittleEndian.AppendUint64(append(dst, tagFloat), math.Float64bits(x))
}

// readNumber reads what appendNumber wrote, or tagNone: has is false then.
func readNumber(b []byte) (x float64, has bool, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, false, nil, false
	}
	switch tag, b := b[0], b[1:]; tag {
	case tagNone:
		return 0, false, b, true
	case tagWhole:
		i, n := binary.Varint(b)
		if n > 0 {
			return float64(i), true, b[n:], true
		}
	case tagFloat:
		if len(b) >= 8 {
			x = math.Float64frombits(binary.LittleEndian.Uint64(b))
			return x, true, b[8:], !math.IsNaN(x) && !math.IsInf(x, 0)
		}
	}
	return 0, false, nil, false
}

// skipValue finds the end of a value.
func skipValue(b []byte) (value, rest []byte, ok bool) {
	rest, ok = afterValue(b, true)
	if !ok {
		return nil, nil, false
	}
	n := len(b) - len(rest)
	return b[:n:n], rest, true
}

func afterValue(b []byte, lists bool) (rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, false
	}
	tag, b := b[0], b[1:]
	switch {
	case tag == tagNone || tag == tagFalse || tag == tagTrue:
		return b, true
	case tag == tagWhole || tag == tagTime:
		_, rest, ok = readUvarint(b)
		return rest, ok
	case tag == tagFloat && len(b) >= 8:
		return b[8:], true
	case tag == tagString:
		_, rest, ok = readBytes(b)
		return rest, ok
	case tag == tagList && lists:
		n, rest, ok := readUvarint(b)
		for ; ok && n > 0; n-- {
			rest, ok = afterValue(rest, false)
		}
		return rest, ok
	case tag == tagVector && lists:
		n, rest, ok := readUvarint(b)
		if !ok || n > uint64(len(rest))/8 {
			return nil, false
		}
		return rest[n*8:], true
	}
	return nil, false
}

// valueOf reads a value that skipValue has found. It copies what it keeps.
func valueOf(b []byte) expression.Value {
	v, _ := takeValue(b)
	return v
}

func takeValue(b []byte) (v expression.Value, rest []byte) {
	tag, b := b[0], b[1:]
	switch tag {
	case tagWhole:
		i, n := binary.Varint(b)
		return expression.Value{Kind: expression.Number, Num: float64(i)}, b[n:]
	case tagFloat:
		x := math.Float64frombits(binary.LittleEndian.Uint64(b))
		return expression.Value{Kind: expression.Number, Num: x}, b[8:]
	case tagFalse:
		return expression.Value{Kind: expression.Bool}, b
	case tagTrue:
		return expression.Value{Kind: expression.Bool, Num: 1}, b
	case tagString:
		s, rest, _ := readBytes(b)
		return expression.Value{Kind: expression.String, Str: string(s)}, rest
	case tagTime:
		t, rest, _ := readUvarint(b)
		return expression.Value{Kind: expression.Time, Num: float64(t)}, rest
	case tagList:
		n, rest, _ := readUvarint(b)
		list := make([]expression.Value, n)
		for i := range list {
			list[i], rest = takeValue(rest)
		}
		return expression.Value{Kind: expression.List, List: list}, rest
	case tagVector:
		n, rest, _ := readUvarint(b)
		vec := make([]float64, n)
		for i := range vec {
			vec[i] = math.Float64frombits(binary.LittleEndian.Uint64(rest[8*i:]))
		}
		return expression.Value{Kind: expression.Vector, Vec: vec}, rest[8*n:]
	}
	return expression.Value{}, b
}
