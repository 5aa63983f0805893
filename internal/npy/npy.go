// Package npy is a kit that reads NumPy's array files (.npy, versions 1 to 3). It is pure and bounded: the header's claim is
// checked against the bytes that are there before anything is allocated, and what it returns is in proportion to them.
// Objects (which are pickles), structures and complex numbers are refused.
package npy

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"

	freshet "github.com/freshet-ml/freshet"
)

// Magic is how every .npy file begins.
const Magic = "\x93NUMPY"

// Limits of a header; NumPy itself writes far less.
const (
	MaxDimensions  = 8
	maxHeaderBytes = 10_000
)

// Array is an array as its file has it. Its elements stay in the bytes given to Parse, which must not change.
type Array struct {
	Shape   []int  // empty: a single number
	Type    string // as NumPy writes it: "<f8", ">i4", "|b1", "<U5"
	kind    byte
	size    int // bytes of an element
	order   binary.ByteOrder
	fortran bool
	data    []byte
}

// Parse reads a whole file. Returns Unsupported for a version or type of elements that is not read, InvalidArgument for
// what is broken, bytes behind the array included.
func Parse(file []byte) (Array, error) {
	header, data, err := split(file)
	if err != nil {
		return Array{}, err
	}
	a, err := describe(header, int64(len(data)))
	a.data = data
	return a, err
}

// HeadBytes is how much of a file Check has to see.
const HeadBytes = maxHeaderBytes + 12

// Check is Parse for who has only the beginning of a file of size bytes: HeadBytes of it, or all if it is shorter.
func Check(head []byte, size int64) error {
	header, data, err := split(head)
	if err != nil {
		return err
	}
	_, err = describe(header, size-int64(len(head)-len(data)))
	return err
}

// describe is the array of a header that so many bytes follow, without its elements.
func describe(header []byte, follow int64) (Array, error) {
	h, err := parseHeader(header)
	if err != nil {
		return Array{}, err
	}
	a := Array{Shape: h.shape, Type: h.descr, fortran: h.fortran}
	if err := a.setType(h.descr); err != nil {
		return Array{}, err
	}
	if count, ok := a.count(follow); !ok || count*int64(a.size) != follow {
		return Array{}, invalid("its header says shape %v of %d bytes each, and %d bytes follow", a.Shape, a.size, follow)
	}
	return a, nil
}

// split parts the header's text from the elements.
func split(file []byte) (header, data []byte, err error) {
	rest, ok := bytes.CutPrefix(file, []byte(Magic))
	if !ok {
		return nil, nil, invalid("it does not begin as a NumPy array (.npy) does")
	}
	if len(rest) < 4 {
		return nil, nil, invalid("it ends within the header: it was cut off")
	}
	major := rest[0]
	var length uint64
	switch major {
	case 1:
		length, rest = uint64(binary.LittleEndian.Uint16(rest[2:])), rest[4:]
	case 2, 3:
		if len(rest) < 6 {
			return nil, nil, invalid("it ends within the header: it was cut off")
		}
		length, rest = uint64(binary.LittleEndian.Uint32(rest[2:])), rest[6:]
	default:
		return nil, nil, freshet.Errorf(freshet.Unsupported, "it is .npy version %d: 1, 2 and 3 are read; save it with numpy.save", major)
	}
	if length > maxHeaderBytes || length > uint64(len(rest)) {
		return nil, nil, invalid("its header says that it has %d bytes: at most %d are read, and %d follow", length, maxHeaderBytes, len(rest))
	}
	return rest[:length], rest[length:], nil
}

// setType reads a type such as "<f8": byte order, kind, bytes.
func (a *Array) setType(descr string) error {
	unread := freshet.Errorf(freshet.Unsupported, "its elements are of type %.40q: floats (f4, f8), whole numbers (i1 … i8, u1 … u8), booleans (b1) and "+
		"texts (U) are read; convert it, for example with array.astype(\"float64\")", descr)
	if len(descr) < 3 || len(descr) > 12 {
		return unread
	}
	switch descr[0] {
	case '<', '=', '|':
		a.order = binary.LittleEndian
	case '>':
		a.order = binary.BigEndian
	default:
		return unread
	}
	a.kind = descr[1]
	for _, digit := range []byte(descr[2:]) {
		if digit < '0' || digit > '9' {
			return unread
		}
		a.size = a.size*10 + int(digit-'0') // at most nine digits
	}
	ok := false
	switch a.kind {
	case 'f':
		ok = a.size == 4 || a.size == 8
	case 'i', 'u':
		ok = a.size == 1 || a.size == 2 || a.size == 4 || a.size == 8
	case 'b':
		ok = a.size == 1
	case 'U':
		ok, a.size = a.size > 0, a.size*4 // UCS-4
	}
	if !ok {
		return unread
	}
	return nil
}

// count is the number of elements. False if it is beyond what so many bytes could hold.
func (a *Array) count(bytes int64) (int64, bool) {
	for _, n := range a.Shape {
		if n == 0 {
			return 0, true
		}
	}
	count, most := int64(1), bytes/int64(a.size)
	for _, n := range a.Shape {
		if int64(n) > most/count {
			return 0, false
		}
		count *= int64(n)
	}
	return count, count <= most
}

// Text reports that the elements are texts: Strings reads them, not Float64s.
func (a Array) Text() bool { return a.kind == 'U' }

// Float64s are the elements in C order (the last index runs fastest), whatever the file's; booleans are 0 and 1. Returns
// Unsupported for texts and for whole numbers beyond ±2^53, which a float64 does not hold.
func (a Array) Float64s() ([]float64, error) {
	if a.Text() {
		return nil, freshet.Errorf(freshet.Unsupported, "its elements are texts (%s): expected numbers", a.Type)
	}
	values := make([]float64, len(a.data)/a.size)
	exact := true
	a.each(func(i int, element []byte) {
		v, ok := a.number(element)
		values[i], exact = v, exact && ok
	})
	if !exact {
		return nil, freshet.Errorf(freshet.Unsupported, "it holds whole numbers beyond ±2^53, which are not read")
	}
	return values, nil
}

// Float32s is Float64s for arrays of f4, whose elements need no more room. Returns Unsupported for other types.
func (a Array) Float32s() ([]float32, error) {
	if a.kind != 'f' || a.size != 4 {
		return nil, freshet.Errorf(freshet.Unsupported, "its elements are of type %s: expected float32", a.Type)
	}
	values := make([]float32, len(a.data)/4)
	a.each(func(i int, element []byte) { values[i] = math.Float32frombits(a.order.Uint32(element)) })
	return values, nil
}

// Strings are the elements of an array of texts in C order, or the words for its numbers: 3, 2.5, true.
func (a Array) Strings() ([]string, error) {
	if !a.Text() {
		return a.words()
	}
	values := make([]string, len(a.data)/a.size)
	a.each(func(i int, element []byte) {
		var b strings.Builder
		for ; len(element) > 0; element = element[4:] {
			r := a.order.Uint32(element)
			if r == 0 { // shorter texts are filled up
				break
			}
			b.WriteRune(rune(min(r, 0x110000))) // beyond Unicode: the replacement character
		}
		values[i] = b.String()
	})
	return values, nil
}

// each calls f for each element with its index in C order.
func (a *Array) each(f func(i int, element []byte)) {
	count := len(a.data) / a.size
	if !a.fortran || len(a.Shape) < 2 {
		for i := range count {
			f(i, a.data[i*a.size:(i+1)*a.size])
		}
		return
	}
	var index [MaxDimensions]int
	for i := range count {
		at, stride := 0, 1
		for d, n := range a.Shape {
			at += index[d] * stride
			stride *= n
		}
		f(i, a.data[at*a.size:(at+1)*a.size])
		for d := len(a.Shape) - 1; d >= 0; d-- {
			if index[d]++; index[d] < a.Shape[d] {
				break
			}
			index[d] = 0
		}
	}
}

func invalid(format string, args ...any) error {
	return freshet.Errorf(freshet.InvalidArgument, format, args...)
}
