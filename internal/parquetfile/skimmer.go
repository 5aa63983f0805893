package parquetfile

import (
	"encoding/binary"
	"errors"
	"io"
)

// skimmer reads over values of Thrift's compact protocol, and sees that all that they say to have is there.
type skimmer struct {
	data   []byte
	at     int
	memory int // bytes that elements of lists and maps may still take
}

const maxNested = 32 // structures in structures

// Types of Thrift's compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

var errThrift = errors.New("its description of itself makes no sense")

func (s *skimmer) structure(depth int) error {
	if depth > maxNested {
		return errThrift
	}
	for {
		head, err := s.byte()
		if err != nil || head == 0 {
			return err
		}
		if head>>4 == 0 { // the number of the field follows, else it is the difference to the one before
			if _, err := s.varint(); err != nil {
				return err
			}
		}
		kind := head & 0xF
		if kind == thriftTrue || kind == thriftFalse { // the type is the value
			continue
		}
		if err := s.value(kind, depth); err != nil {
			return err
		}
	}
}

func (s *skimmer) value(kind byte, depth int) error {
	switch kind {
	case thriftTrue, thriftFalse, thriftByte:
		return s.skip(1)
	case thriftI16, thriftI32, thriftI64:
		_, err := s.varint()
		return err
	case thriftDouble:
		return s.skip(8)
	case thriftBinary:
		n, err := s.varint()
		if err != nil {
			return err
		}
		return s.skip(n)
	case thriftList, thriftSet:
		return s.list(depth)
	case thriftMap:
		return s.table(depth)
	case thriftStruct:
		return s.structure(depth + 1)
	}
	return errThrift
}

func (s *skimmer) list(depth int) error {
	head, err := s.byte()
	if err != nil {
		return err
	}
	n := uint64(head >> 4)
	if n == 0xF {
		if n, err = s.varint(); err != nil {
			return err
		}
	}
	return s.repeat(n, depth, head&0xF)
}

func (s *skimmer) table(depth int) error {
	n, err := s.varint()
	if err != nil || n == 0 {
		return err
	}
	kinds, err := s.byte()
	if err != nil {
		return err
	}
	return s.repeat(n, depth, kinds>>4, kinds&0xF)
}

// elementBytes is about how many bytes an element of a list at a depth takes in memory, where it may be a byte in the file: columns and
// row groups, columns of row groups, and what little they have in lists.
func elementBytes(depth int) int {
	switch {
	case depth == 0:
		return 256
	case depth <= 2:
		return 800
	}
	return 48
}

// repeat skims n times values of the kinds.
func (s *skimmer) repeat(n uint64, depth int, kinds ...byte) error {
	if depth > maxNested || n > uint64(s.memory/elementBytes(depth)) {
		return errThrift
	}
	s.memory -= int(n) * elementBytes(depth)
	for range n {
		for _, kind := range kinds {
			if err := s.value(kind, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *skimmer) byte() (byte, error) {
	if s.at >= len(s.data) {
		return 0, io.ErrUnexpectedEOF
	}
	s.at++
	return s.data[s.at-1], nil
}

func (s *skimmer) varint() (uint64, error) {
	v, n := binary.Uvarint(s.data[s.at:])
	switch {
	case n == 0:
		return 0, io.ErrUnexpectedEOF
	case n < 0:
		return 0, errThrift
	}
	s.at += n
	return v, nil
}

func (s *skimmer) skip(n uint64) error {
	if n > uint64(len(s.data)-s.at) {
		return io.ErrUnexpectedEOF
	}
	s.at += int(n)
	return nil
}
