package treemodel

import (
	"bytes"
	"errors"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonSource reads JSON. Names that stand twice in one object and text that is no UTF-8 are refused.
type jsonSource struct{ decoder *jsontext.Decoder }

// newJSON reads text, which it may change.
func newJSON(text []byte) *jsonSource {
	text = bytes.TrimPrefix(text, []byte(byteOrderMark))
	quoteNaN(text)
	return &jsonSource{jsontext.NewDecoder(bytes.NewBuffer(text))}
}

// quotedNaN stands for the word NaN, which XGBoost 2.1 writes where a categorical split has no condition, and which is no JSON.
const quotedNaN = `"N"`

// quoteNaN replaces the word NaN outside of texts.
func quoteNaN(text []byte) {
	if !bytes.Contains(text, []byte("NaN")) {
		return
	}
	inText := false
	for i := 0; i < len(text); i++ {
		switch {
		case inText && text[i] == '\\':
			i++
		case text[i] == '"':
			inText = !inText
		case !inText && bytes.HasPrefix(text[i:], []byte("NaN")):
			i += copy(text[i:], quotedNaN) - 1
		}
	}
}

// open reads a token that must be of the given kind.
func (s *jsonSource) open(kind jsontext.Kind, what string) error {
	if s.decoder.StackDepth() >= maxDepth {
		return nestedTooDeep()
	}
	if found := s.decoder.PeekKind(); found != kind && found > 0 {
		return invalid("expected %s, found a %s", what, found)
	}
	_, err := s.decoder.ReadToken()
	return noJSON(err)
}

func noJSON(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return invalid("it is no JSON: %w (byte %d)", e.Err, e.ByteOffset)
	}
	return invalid("it is no JSON: %w", err)
}

func (s *jsonSource) object(field func(key string) error) error {
	if err := s.open('{', "an object"); err != nil {
		return err
	}
	for s.decoder.PeekKind() == '"' {
		name, err := s.decoder.ReadToken()
		if err != nil {
			return noJSON(err)
		}
		key := name.String()
		if err := field(key); err != nil {
			return at(key, err)
		}
	}
	_, err := s.decoder.ReadToken()
	return noJSON(err)
}

func (s *jsonSource) array(element func() error) error {
	if err := s.open('[', "a list"); err != nil {
		return err
	}
	for i := 0; s.decoder.PeekKind() != ']'; i++ {
		if err := element(); err != nil {
			return atIndex(i, err)
		}
	}
	_, err := s.decoder.ReadToken()
	return noJSON(err)
}

func (s *jsonSource) text() (string, error) {
	if kind := s.decoder.PeekKind(); kind != '"' && kind > 0 {
		return "", invalid("expected a text, found a %s", kind)
	}
	token, err := s.decoder.ReadToken()
	if err != nil {
		return "", noJSON(err)
	}
	return token.String(), nil
}

func (s *jsonSource) ints() (values []int32, err error) {
	err = s.array(func() error {
		word, err := s.scalar()
		if err != nil {
			return err
		}
		switch string(word) {
		case "true":
			values = append(values, 1)
			return nil
		case "false":
			values = append(values, 0)
			return nil
		}
		v, err := strconv.ParseInt(string(word), 10, 32)
		if err != nil {
			return invalid("%.40s: expected a whole number of 32 bits", word)
		}
		values = append(values, int32(v))
		return nil
	})
	return values, err
}

func (s *jsonSource) floats() (values []float32, err error) {
	err = s.array(func() error {
		word, err := s.scalar()
		if err != nil {
			return err
		}
		v, err := strconv.ParseFloat(string(word), 32)
		if string(word) == quotedNaN {
			v, err = math.NaN(), nil
		}
		if err != nil {
			return invalid("%.40s: expected a number that a float32 can hold", word)
		}
		values = append(values, float32(v))
		return nil
	})
	return values, err
}

// scalar is the text of a value that is no list and no object.
func (s *jsonSource) scalar() ([]byte, error) {
	if kind := s.decoder.PeekKind(); kind == '[' || kind == '{' {
		return nil, invalid("expected a number, found a %s", kind)
	}
	word, err := s.decoder.ReadValue()
	return word, noJSON(err)
}

func (s *jsonSource) skip() error {
	for depth := s.decoder.StackDepth(); ; {
		if _, err := s.decoder.ReadToken(); err != nil {
			return noJSON(err)
		}
		switch at := s.decoder.StackDepth(); {
		case at <= depth:
			return nil
		case at > maxDepth:
			return nestedTooDeep()
		}
	}
}

func (s *jsonSource) end() error {
	if s.decoder.PeekKind() != 0 {
		return invalid("something follows the document at byte %d", s.decoder.InputOffset())
	}
	return nil
}
