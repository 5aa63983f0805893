package treemodel

import (
	"encoding/binary"
	"math"
)

// ubjson reads UBJSON: markers of one byte, numbers in big endian, lists with or without a count and a common type. Every
// count and length is held against the bytes that are left before anything is allocated.
type ubjson struct {
	rest  []byte
	size  int // of the whole file
	depth int
}

func newUBJSON(file []byte) *ubjson { return &ubjson{rest: file, size: len(file)} }

// widths are the bytes of the markers whose values have a fixed number of them.
var widths = map[byte]int{'i': 1, 'U': 1, 'C': 1, 'I': 2, 'l': 4, 'L': 8, 'd': 4, 'D': 8}

// fault is an error with the place.
func (s *ubjson) fault(format string, args ...any) error {
	return invalid(format+" (byte %d)", append(args, s.size-len(s.rest))...)
}

func (s *ubjson) take(n int) ([]byte, error) {
	if n > len(s.rest) {
		return nil, s.fault("%d bytes should follow and %d do: the file was cut off or lies about a length", n, len(s.rest))
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b, nil
}

// marker reads the next marker; N, which stands for nothing, is passed over.
func (s *ubjson) marker() (byte, error) {
	for {
		b, err := s.take(1)
		if err != nil || b[0] != 'N' {
			return first(b), err
		}
	}
}

func first(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (s *ubjson) peek() byte { return first(s.rest) }

// whole reads the whole number of a marker.
func (s *ubjson) whole(marker byte) (int64, error) {
	b, err := s.take(widths[marker])
	if err != nil {
		return 0, err
	}
	switch marker {
	case 'i':
		return int64(int8(b[0])), nil
	case 'U':
		return int64(b[0]), nil
	case 'I':
		return int64(int16(binary.BigEndian.Uint16(b))), nil
	case 'l':
		return int64(int32(binary.BigEndian.Uint32(b))), nil
	case 'L':
		return int64(binary.BigEndian.Uint64(b)), nil
	}
	return 0, s.fault("expected a whole number, found the marker %q", marker)
}

// length reads a count or a length; each unit takes at least least bytes.
func (s *ubjson) length(least int) (int, error) {
	m, err := s.marker()
	if err != nil {
		return 0, err
	}
	n, err := s.whole(m)
	if err != nil {
		return 0, err
	}
	if n < 0 || n > int64(len(s.rest)/least) {
		return 0, s.fault("a length of %d, and %d bytes are left", n, len(s.rest))
	}
	return int(n), nil
}

func (s *ubjson) string() (string, error) {
	n, err := s.length(1)
	if err != nil {
		return "", err
	}
	b, err := s.take(n)
	return string(b), err
}

// header is what may follow [ and {: the type of all elements (0: each has its own) and their number (−1: up to the closing
// marker).
func (s *ubjson) header() (kind byte, count int, err error) {
	least := 1
	if s.peek() == '$' {
		b, err := s.take(2)
		if err != nil {
			return 0, 0, err
		}
		kind = b[1]
		if width := widths[kind]; width > 0 {
			least = width
		} else if kind != 'S' && kind != '[' && kind != '{' { // T, F, Z and N would take no bytes
			return 0, 0, s.fault("a list of elements of type %q, which is not read", kind)
		}
		if s.peek() != '#' {
			return 0, 0, s.fault("a list with a type and without a count")
		}
	}
	if s.peek() != '#' {
		return kind, -1, nil
	}
	s.rest = s.rest[1:]
	count, err = s.length(least)
	return kind, count, err
}

// enter opens a container; leave must follow.
func (s *ubjson) enter(marker byte, what string) (kind byte, count int, err error) {
	m, err := s.marker()
	if err != nil {
		return 0, 0, err
	}
	if m != marker {
		return 0, 0, s.fault("expected %s, found the marker %q", what, m)
	}
	if s.depth++; s.depth > maxDepth {
		return 0, 0, nestedTooDeep()
	}
	return s.header()
}

func (s *ubjson) leave() { s.depth-- }

// each calls f with the marker of each of count elements, or of all up to the closing marker.
func (s *ubjson) each(kind byte, count int, closing byte, f func(marker byte) error) error {
	for i := 0; count < 0 || i < count; i++ {
		m, err := kind, error(nil)
		if kind == 0 {
			m, err = s.marker()
		}
		if err != nil {
			return err
		}
		if count < 0 && m == closing {
			return nil
		}
		if err := f(m); err != nil {
			return atIndex(i, err)
		}
	}
	return nil
}

func (s *ubjson) object(field func(key string) error) error {
	kind, count, err := s.enter('{', "an object")
	if err != nil {
		return err
	}
	defer s.leave()
	if kind != 0 {
		return s.fault("an object whose values have a common type, which is not read")
	}
	seen := make(map[string]bool)
	for i := 0; count < 0 || i < count; i++ {
		if count < 0 && s.peek() == '}' {
			s.rest = s.rest[1:]
			return nil
		}
		key, err := s.string()
		if err != nil {
			return err
		}
		if seen[key] {
			return s.fault("%.60q stands twice in one object", key)
		}
		seen[key] = true
		if err := field(key); err != nil {
			return at(key, err)
		}
	}
	return nil
}

func (s *ubjson) array(element func() error) error {
	kind, count, err := s.enter('[', "a list")
	if err != nil {
		return err
	}
	defer s.leave()
	if kind != 0 {
		return s.fault("a list of the type %q, where each element should have its own", kind)
	}
	for i := 0; count < 0 || i < count; i++ {
		if count < 0 && s.peek() == ']' {
			s.rest = s.rest[1:]
			return nil
		}
		if err := element(); err != nil {
			return atIndex(i, err)
		}
	}
	return nil
}

func (s *ubjson) text() (string, error) {
	m, err := s.marker()
	if err != nil {
		return "", err
	}
	if m != 'S' {
		return "", s.fault("expected a text, found the marker %q", m)
	}
	return s.string()
}

func (s *ubjson) ints() (values []int32, err error) {
	kind, count, err := s.enter('[', "a list")
	if err != nil {
		return nil, err
	}
	defer s.leave()
	values = make([]int32, 0, max(count, 0)) // there are as many bytes at least
	if kind == 'l' {                         // what XGBoost writes; header has seen that there is a count
		b, err := s.take(4 * count)
		for ; len(b) > 0; b = b[4:] {
			values = append(values, int32(binary.BigEndian.Uint32(b)))
		}
		return values, err
	}
	err = s.each(kind, count, ']', func(m byte) error {
		v := int64(0)
		var err error
		switch m {
		case 'T':
			v = 1
		case 'F':
		default:
			v, err = s.whole(m)
		}
		if v != int64(int32(v)) {
			return s.fault("%d: expected a whole number of 32 bits", v)
		}
		values = append(values, int32(v))
		return err
	})
	return values, err
}

func (s *ubjson) floats() (values []float32, err error) {
	kind, count, err := s.enter('[', "a list")
	if err != nil {
		return nil, err
	}
	defer s.leave()
	values = make([]float32, 0, max(count, 0))
	if kind == 'd' {
		b, err := s.take(4 * count)
		for ; len(b) > 0; b = b[4:] {
			values = append(values, math.Float32frombits(binary.BigEndian.Uint32(b)))
		}
		return values, err
	}
	err = s.each(kind, count, ']', func(m byte) error {
		v, err := s.number(m)
		values = append(values, v)
		return err
	})
	return values, err
}

func (s *ubjson) number(marker byte) (float32, error) {
	switch marker {
	case 'd':
		b, err := s.take(4)
		if err != nil {
			return 0, err
		}
		return math.Float32frombits(binary.BigEndian.Uint32(b)), nil
	case 'D':
		b, err := s.take(8)
		if err != nil {
			return 0, err
		}
		return float32(math.Float64frombits(binary.BigEndian.Uint64(b))), nil
	}
	v, err := s.whole(marker)
	return float32(v), err
}

func (s *ubjson) skip() error {
	m, err := s.marker()
	if err != nil {
		return err
	}
	return s.skipValue(m)
}

func (s *ubjson) skipValue(marker byte) error {
	if width := widths[marker]; width > 0 {
		_, err := s.take(width)
		return err
	}
	switch marker {
	case 'Z', 'T', 'F':
		return nil
	case 'S':
		_, err := s.string()
		return err
	case '[', '{':
		return s.skipContainer(marker)
	}
	return s.fault("the marker %q is not read", marker)
}

func (s *ubjson) skipContainer(marker byte) error {
	if s.depth++; s.depth > maxDepth {
		return nestedTooDeep()
	}
	defer s.leave()
	kind, count, err := s.header()
	if err != nil {
		return err
	}
	if marker == '[' {
		if width := widths[kind]; width > 0 && count >= 0 {
			_, err := s.take(count * width) // length has looked
			return err
		}
		return s.each(kind, count, ']', s.skipValue)
	}
	for i := 0; count < 0 || i < count; i++ {
		if count < 0 && s.peek() == '}' {
			s.rest = s.rest[1:]
			return nil
		}
		if _, err := s.string(); err != nil {
			return err
		}
		m := kind
		if m == 0 {
			if m, err = s.marker(); err != nil {
				return err
			}
		}
		if err := s.skipValue(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *ubjson) end() error {
	if len(s.rest) > 0 {
		return s.fault("%d bytes follow the document", len(s.rest))
	}
	return nil
}
