package onnxmodel

import (
	"fmt"
	"math"
)

// dtype is a type of ONNX tensors, TensorProto.DataType.
type dtype int32

const (
	typeFloat  dtype = 1
	typeUint8  dtype = 2
	typeInt8   dtype = 3
	typeUint16 dtype = 4
	typeInt16  dtype = 5
	typeInt32  dtype = 6
	typeInt64  dtype = 7
	typeString dtype = 8
	typeBool   dtype = 9
	typeDouble dtype = 11
	typeUint32 dtype = 12
)

var dtypeNames = map[dtype]string{
	typeFloat: "float", typeUint8: "uint8", typeInt8: "int8", typeUint16: "uint16", typeInt16: "int16", typeInt32: "int32",
	typeInt64: "int64", typeString: "string", typeBool: "bool", 10: "float16", typeDouble: "double", typeUint32: "uint32",
	13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
}

func (d dtype) String() string {
	if name, ok := dtypeNames[d]; ok {
		return name
	}
	return fmt.Sprintf("%d (unknown)", int32(d))
}

// read reports that tensors of the type are read.
func (d dtype) read() bool { return d == typeString || d.width() > 0 }

func (d dtype) floating() bool { return d == typeFloat || d == typeDouble }

// whole reports that values are kept as int64: all integers, and bool as 0 and 1.
func (d dtype) whole() bool { return d.width() > 0 && !d.floating() }

// width is the size of an element in bytes; 0 of a type that is not read from bytes.
func (d dtype) width() int {
	switch d {
	case typeUint8, typeInt8, typeBool:
		return 1
	case typeUint16, typeInt16:
		return 2
	case typeFloat, typeInt32, typeUint32:
		return 4
	case typeInt64, typeDouble:
		return 8
	}
	return 0
}

// wrap cuts v to the bits of the type.
func (d dtype) wrap(v int64) int64 {
	switch d {
	case typeUint8:
		return int64(uint8(v))
	case typeInt8:
		return int64(int8(v))
	case typeUint16:
		return int64(uint16(v))
	case typeInt16:
		return int64(int16(v))
	case typeInt32:
		return int64(int32(v))
	case typeUint32:
		return int64(uint32(v))
	case typeBool:
		if v != 0 {
			return 1
		}
	}
	return v
}

// bounds are the least and the largest value of a whole type, as far as a float64 tells integers apart.
func (d dtype) bounds() (low, high float64) {
	switch d {
	case typeUint8:
		return 0, math.MaxUint8
	case typeInt8:
		return math.MinInt8, math.MaxInt8
	case typeUint16:
		return 0, math.MaxUint16
	case typeInt16:
		return math.MinInt16, math.MaxInt16
	case typeInt32:
		return math.MinInt32, math.MaxInt32
	case typeUint32:
		return 0, math.MaxUint32
	case typeBool:
		return 0, 1
	}
	return -1 << 53, 1 << 53
}

// tensor is a value of the graph: a constant, or a place in the memory of a machine.
type tensor struct {
	name     string
	kind     dtype
	shape    []int
	count    int // of elements
	constant bool
	offset   int // in the slab of its storage
	slab         // of a constant: its values
	texts    []string
	classes  []string // of scores that ZipMap has named
}

// slab holds values by storage.
type slab struct {
	f32 []float32
	f64 []float64
	i64 []int64
}

// number is what values are stored as.
type number interface{ float32 | float64 | int64 }

// values are the elements of t in machine m; of a constant those of the constant.
func values[T number](m *machine, t *tensor) []T {
	s, from := &m.slab, t.offset
	if t.constant {
		s, from = &t.slab, 0
	}
	var list any
	switch any(T(0)).(type) {
	case float32:
		list = s.f32
	case float64:
		list = s.f64
	case int64:
		list = s.i64
	}
	return list.([]T)[from : from+t.count : from+t.count]
}

// number is the element i of a constant as a float64.
func (t *tensor) number(i int) float64 {
	switch {
	case t.kind == typeFloat:
		return float64(t.f32[i])
	case t.kind == typeDouble:
		return t.f64[i]
	}
	return float64(t.i64[i])
}

// elements is the product of a shape; −1 if it is over maxElements.
func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		if d < 0 || d > maxElements {
			return -1
		}
		if n *= d; n > maxElements {
			return -1
		}
	}
	return n
}

// size is the product of a part of the shape of a tensor.
func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// strides are how far apart neighbours along each axis are.
func strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}
