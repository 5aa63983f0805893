package npy

import (
	"strconv"
	"strings"

	freshet "github.com/freshet-ml/freshet"
)

// header is what the text at the head of a file says.
type header struct {
	descr   string
	fortran bool
	shape   []int
}

// parseHeader reads the literal that NumPy writes: {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }. It is read
// as such and never as an expression.
func parseHeader(text []byte) (header, error) {
	s := &scanner{rest: string(text)}
	var h header
	given := make(map[string]bool)
	if !s.take("{") {
		return h, s.fault("{")
	}
	for !s.take("}") {
		key, ok := s.text()
		if !ok || !s.take(":") {
			return h, s.fault("a key in quotes and a colon")
		}
		if given[key] {
			return h, invalid("its header has %.40q twice", key)
		}
		given[key] = true
		if err := s.value(&h, key); err != nil {
			return h, err
		}
		if !s.take(",") && !s.next("}") {
			return h, s.fault("a comma or }")
		}
	}
	if s.skip(); s.rest != "" {
		return h, s.fault("nothing behind }")
	}
	if len(given) != 3 { // value knows no others
		return h, invalid("its header lacks descr, fortran_order or shape")
	}
	return h, nil
}

// scanner walks over the text of a header.
type scanner struct{ rest string }

func (s *scanner) skip() { s.rest = strings.TrimLeft(s.rest, " \t\r\n") }

func (s *scanner) next(word string) bool {
	s.skip()
	return strings.HasPrefix(s.rest, word)
}

func (s *scanner) take(word string) bool {
	if !s.next(word) {
		return false
	}
	s.rest = s.rest[len(word):]
	return true
}

func (s *scanner) fault(expected string) error {
	return invalid("its header is not what NumPy writes: expected %s at %.20q", expected, s.rest)
}

// text reads a text in quotes; NumPy escapes nothing in the ones that are read.
func (s *scanner) text() (string, bool) {
	s.skip()
	if s.rest == "" || s.rest[0] != '\'' && s.rest[0] != '"' {
		return "", false
	}
	text, rest, ok := strings.Cut(s.rest[1:], s.rest[:1])
	if !ok || strings.Contains(text, "\\") {
		return "", false
	}
	s.rest = rest
	return text, true
}

func (s *scanner) value(h *header, key string) (err error) {
	switch key {
	case "descr":
		var ok bool
		if s.next("[") {
			return freshet.Errorf(freshet.Unsupported, "its elements are structures of several fields: save one array of numbers for each")
		}
		if h.descr, ok = s.text(); !ok {
			return s.fault("a type in quotes")
		}
	case "fortran_order":
		h.fortran = s.take("True")
		if !h.fortran && !s.take("False") {
			return s.fault("True or False")
		}
	case "shape":
		h.shape, err = s.shape()
	default:
		err = freshet.Errorf(freshet.Unsupported, "its header has the key %.40q, which is not known", key)
	}
	return err
}

// shape reads (), (3,) or (3, 4).
func (s *scanner) shape() ([]int, error) {
	if !s.take("(") {
		return nil, s.fault("a shape in parentheses")
	}
	shape := []int{}
	for !s.take(")") {
		digits := 0
		for digits < len(s.rest) && s.rest[digits] >= '0' && s.rest[digits] <= '9' {
			digits++
		}
		n, err := strconv.ParseInt(s.rest[:digits], 10, 64)
		if err != nil || len(shape) == MaxDimensions {
			return nil, s.fault("at most " + strconv.Itoa(MaxDimensions) + " whole numbers that are not negative")
		}
		s.rest = strings.TrimPrefix(s.rest[digits:], "L") // Python 2
		shape = append(shape, int(n))
		if !s.take(",") && !s.next(")") {
			return nil, s.fault("a comma or )")
		}
		s.skip()
	}
	return shape, nil
}
