package onnxmodel

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	freshet "github.com/freshet-ml/freshet"
)

// field is one field of a protobuf message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	bytes  []byte // of a BytesType: a part of the file, not a copy
	n      uint64 // of the other types
}

func invalid(text string, args ...any) error {
	return freshet.Errorf(freshet.InvalidArgument, text, args...)
}

func unsupported(text string, args ...any) error {
	return freshet.Errorf(freshet.Unsupported, text, args...)
}

// fields calls each at the fields of a message, in the order of the file.
func fields(message []byte, each func(f field) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return broken(n)
		}
		message = message[n:]
		f := field{number: number, kind: kind}
		switch kind {
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			f.n, n = protowire.ConsumeVarint(message)
		case protowire.Fixed32Type:
			var x uint32
			x, n = protowire.ConsumeFixed32(message)
			f.n = uint64(x)
		case protowire.Fixed64Type:
			f.n, n = protowire.ConsumeFixed64(message)
		default: // groups: ONNX has none
			return invalid("it is no ONNX model: field %d has wire type %d", number, kind)
		}
		if n < 0 {
			return broken(n)
		}
		message = message[n:]
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}

func broken(n int) error {
	return invalid("it is no ONNX model, or a broken one: %w", protowire.ParseError(n))
}

// need returns an error if the field is not of the wire type that it should have.
func (f field) need(kind protowire.Type) error {
	if f.kind != kind {
		return invalid("it is no ONNX model, or a broken one: field %d has wire type %d, expected %d", f.number, f.kind, kind)
	}
	return nil
}

// message is the content of an embedded message or text.
func (f field) message() ([]byte, error) { return f.bytes, f.need(protowire.BytesType) }

func (f field) text() (string, error) { return string(f.bytes), f.need(protowire.BytesType) }

func (f field) integer() (int64, error) { return int64(f.n), f.need(protowire.VarintType) }

func (f field) float() (float32, error) {
	return math.Float32frombits(uint32(f.n)), f.need(protowire.Fixed32Type)
}

// appendFloats adds the values of a repeated float: one, or many packed.
func (f field) appendFloats(list []float32) ([]float32, error) {
	if f.kind != protowire.BytesType {
		v, err := f.float()
		return append(list, v), err
	}
	if len(f.bytes)%4 != 0 {
		return nil, invalid("field %d: %d bytes are no list of float32", f.number, len(f.bytes))
	}
	return append(list, float32s(f.bytes)...), nil
}

// appendDoubles adds the values of a repeated double.
func (f field) appendDoubles(list []float64) ([]float64, error) {
	if f.kind != protowire.BytesType {
		return append(list, math.Float64frombits(f.n)), f.need(protowire.Fixed64Type)
	}
	if len(f.bytes)%8 != 0 {
		return nil, invalid("field %d: %d bytes are no list of float64", f.number, len(f.bytes))
	}
	return append(list, float64s(f.bytes)...), nil
}

// maxList bounds lists of variable-length numbers, in which one byte becomes eight.
const maxList = 1 << 24

// appendIntegers adds the values of a repeated int32, int64, uint64 or enum.
func (f field) appendIntegers(list []int64) ([]int64, error) {
	if f.kind != protowire.BytesType {
		v, err := f.integer()
		return append(list, v), err
	}
	for rest := f.bytes; len(rest) > 0; {
		v, n := protowire.ConsumeVarint(rest)
		if n < 0 {
			return nil, broken(n)
		}
		if len(list) == maxList {
			return nil, freshet.Errorf(freshet.TooLarge, "a list of more than %d integers", maxList)
		}
		list, rest = append(list, int64(v)), rest[n:]
	}
	return list, nil
}

func float32s(b []byte) []float32 {
	list := make([]float32, len(b)/4)
	for i := range list {
		list[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return list
}

func float64s(b []byte) []float64 {
	list := make([]float64, len(b)/8)
	for i := range list {
		list[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return list
}
