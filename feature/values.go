package feature

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"

	"github.com/freshet-ml/freshet/feature/expression"
)

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

// compareScalars orders two values of one kind: numbers, bools and times as numbers, texts as bytes.
func compareScalars(a, b []byte) int {
	if a[0] == tagString && b[0] == tagString {
		s, _, _ := readBytes(a[1:])
		t, _, _ := readBytes(b[1:])
		return bytes.Compare(s, t)
	}
	return cmp.Compare(numberIn(a), numberIn(b))
}

// numberIn is what valueOf gives as Num.
func numberIn(value []byte) float64 {
	switch b := value[1:]; value[0] {
	case tagWhole:
		i, _ := binary.Varint(b)
		return float64(i)
	case tagFloat:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	case tagTrue:
		return 1
	case tagTime:
		t, _ := binary.Uvarint(b)
		return float64(t)
	}
	return 0
}

// appendOperand writes the value of an input whose values are of that kind.
func appendOperand(dst []byte, x *operand, kind expression.Kind) []byte {
	if x.value.Kind != expression.Null {
		return appendValue(dst, &x.value)
	}
	return appendValue(dst, &expression.Value{Kind: kind, Num: x.num})
}

// readScalar finds the end of a value of that kind.
func readScalar(b []byte, kind expression.Kind) (value, rest []byte, ok bool) {
	value, rest, ok = skipValue(b)
	if !ok {
		return nil, nil, false
	}
	switch value[0] {
	case tagWhole:
		ok = kind == expression.Number
	case tagFloat:
		x := math.Float64frombits(binary.LittleEndian.Uint64(value[1:]))
		ok = kind == expression.Number && x-x == 0
	case tagFalse, tagTrue:
		ok = kind == expression.Bool
	case tagString:
		ok = kind == expression.String
	case tagTime:
		ok = kind == expression.Time
	default:
		ok = false
	}
	return value, rest, ok
}
