// Package tensor is a kit: the numbers of the Open Inference Protocol's binary tensors, little endian and row after row. It knows
// no shapes and no names.
package tensor

import (
	"encoding/binary"
	"math"
)

// ElementSize is how many bytes an element of a datatype takes; ok is false for one that is no number that we read.
func ElementSize(datatype string) (n int, ok bool) {
	switch datatype {
	case "BOOL", "INT8", "UINT8":
		return 1, true
	case "INT16", "UINT16":
		return 2, true
	case "FP32", "INT32", "UINT32":
		return 4, true
	case "FP64", "INT64", "UINT64":
		return 8, true
	}
	return 0, false
}

// AppendValues appends the elements of a tensor of a datatype that ElementSize knows, without padding. A boolean that is neither 0 nor 1 stays
// what it is, for the check of the column to refuse.
func AppendValues(dst []float64, datatype string, b []byte) []float64 {
	le := binary.LittleEndian
	switch datatype {
	case "FP64":
		for ; len(b) >= 8; b = b[8:] {
			dst = append(dst, math.Float64frombits(le.Uint64(b)))
		}
	case "FP32":
		for ; len(b) >= 4; b = b[4:] {
			dst = append(dst, float64(math.Float32frombits(le.Uint32(b))))
		}
	case "INT64":
		for ; len(b) >= 8; b = b[8:] {
			dst = append(dst, float64(int64(le.Uint64(b))))
		}
	case "UINT64":
		for ; len(b) >= 8; b = b[8:] {
			dst = append(dst, float64(le.Uint64(b)))
		}
	case "INT32":
		for ; len(b) >= 4; b = b[4:] {
			dst = append(dst, float64(int32(le.Uint32(b))))
		}
	case "UINT32":
		for ; len(b) >= 4; b = b[4:] {
			dst = append(dst, float64(le.Uint32(b)))
		}
	case "INT16":
		for ; len(b) >= 2; b = b[2:] {
			dst = append(dst, float64(int16(le.Uint16(b))))
		}
	case "UINT16":
		for ; len(b) >= 2; b = b[2:] {
			dst = append(dst, float64(le.Uint16(b)))
		}
	case "INT8":
		for _, x := range b {
			dst = append(dst, float64(int8(x)))
		}
	default: // BOOL, UINT8
		for _, x := range b {
			dst = append(dst, float64(x))
		}
	}
	return dst
}

// Fit makes of numbers that were written as text what a datatype holds: FP32 rounds. False if one is beyond it; NaN, which a missing value
// is, fits all, and what is infinite FP32 and FP64.
func Fit(datatype string, values []float64) bool {
	switch datatype {
	case "FP64":
		return true
	case "FP32":
		for i, v := range values {
			rounded := float64(float32(v))
			if math.IsInf(rounded, 0) && !math.IsInf(v, 0) {
				return false
			}
			values[i] = rounded
		}
		return true
	}
	lowest, highest := 0.0, 1.0
	if datatype != "BOOL" {
		size, _ := ElementSize(datatype)
		if bits := 8 * size; datatype[0] == 'U' {
			highest = math.Ldexp(1, bits) - 1
		} else {
			lowest, highest = -math.Ldexp(1, bits-1), math.Ldexp(1, bits-1)-1
		}
	}
	for _, v := range values {
		if v < lowest || v > highest {
			return false
		}
	}
	return true
}

// AppendFP64 appends the eight bytes of v.
func AppendFP64(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

// AppendFP32 appends the four bytes of v, rounded.
func AppendFP32(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
}
