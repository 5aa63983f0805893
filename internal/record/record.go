// Package record is a kit: the fields that small binary records and ordered keys are made of. It knows no record; drivers
// document theirs in docs/formats.
//
//	byte     1 byte
//	uvarint  as in encoding/binary, at most 10 bytes
//	varint   the same, zigzag
//	text     uvarint length, bytes
//	float    8 bytes, little endian, IEEE 754 bits
package record

import (
	"encoding/binary"
	"math"
)

// AppendText appends a text.
func AppendText[S ~string](dst []byte, s S) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// AppendFloat appends a float, with all bits of a NaN.
func AppendFloat(dst []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

// AppendKeyText appends s as a part of a key in a way that no other text continues, and so that keys are in the order of
// their texts: 00 becomes 00 ff, and the end is 00 01.
func AppendKeyText[S ~string](dst []byte, s S) []byte {
	for i := range len(s) {
		dst = append(dst, s[i])
		if s[i] == 0 {
			dst = append(dst, 0xff)
		}
	}
	return append(dst, 0, 1)
}

// Reader takes fields off the front of a record. After the first that is not there it is bad and gives zeros, so that one
// look at Done or Bad at the end is enough. Texts are parts of the record and share its memory.
type Reader struct {
	rest string
	bad  bool
}

// NewReader reads record.
func NewReader(record string) Reader { return Reader{rest: record} }

// Rest is what has not been taken yet.
func (r *Reader) Rest() string { return r.rest }

// Bad says that a field was missing or malformed.
func (r *Reader) Bad() bool { return r.bad }

// Done says that all of the record was taken and none of it was bad.
func (r *Reader) Done() bool { return !r.bad && r.rest == "" }

// Byte takes a byte.
func (r *Reader) Byte() byte {
	if r.rest == "" {
		r.bad = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

// Uvarint takes a uvarint.
func (r *Reader) Uvarint() uint64 {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b := r.Byte()
		if shift == 63 && b > 1 {
			break // over 64 bits
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	r.bad = true
	return 0
}

// Varint takes a varint.
func (r *Reader) Varint() int64 {
	v := r.Uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// Text takes a text.
func (r *Reader) Text() string {
	n := r.Uvarint()
	if n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

// Float takes a float.
func (r *Reader) Float() float64 {
	if len(r.rest) < 8 {
		r.bad, r.rest = true, ""
		return 0
	}
	var bits uint64
	for i := range 8 {
		bits |= uint64(r.rest[i]) << (8 * i)
	}
	r.rest = r.rest[8:]
	return math.Float64frombits(bits)
}

// Count takes the uvarint length of a list whose elements take at least the given number of bytes each. A length that the
// rest of the record cannot hold is bad: nothing is allocated for it.
func (r *Reader) Count(elementBytes int) int {
	n := r.Uvarint()
	if n > uint64(len(r.rest)/elementBytes) {
		r.bad = true
		return 0
	}
	return int(n)
}
