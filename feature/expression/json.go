package expression

import (
	"math"
	"strconv"

	"github.com/freshet-ml/freshet"
	"github.com/go-json-experiment/json/jsontext"
)

// AppendJSON appends v as JSON: a number in its shortest form (−0 as 0, one that is not finite as null), a time as RFC
// 3339 in UTC with milliseconds.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.Kind {
	case Number:
		return appendNumber(dst, v.Num)
	case Bool:
		return strconv.AppendBool(dst, v.Num != 0)
	case String:
		return appendText(dst, v.Str)
	case Time:
		dst = append(dst, '"')
		dst = freshet.Timestamp(v.Num).AppendFormat(dst)
		return append(dst, '"')
	case List:
		dst = append(dst, '[')
		for i, e := range v.List {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.AppendJSON(dst)
		}
		return append(dst, ']')
	case Vector:
		dst = append(dst, '[')
		for i, x := range v.Vec {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendNumber(dst, x)
		}
		return append(dst, ']')
	case Map:
		dst = append(dst, '{')
		for i, e := range v.List {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendText(dst, e.Str), ':')
			dst = appendNumber(dst, e.Num)
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

// appendNumber writes as encoding/json does: plain digits between 1e-6 and 1e21, an exponent outside.
func appendNumber(dst []byte, x float64) []byte {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return append(dst, "null"...)
	case x == 0:
		return append(dst, '0')
	}
	if a := math.Abs(x); a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(dst, x, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, x, 'e', -1, 64)
	if n := len(dst); dst[n-4] == 'e' && dst[n-2] == '0' { // e-07
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// appendText writes s quoted. Bytes that are not UTF-8 become U+FFFD, as JSON cannot hold them; that is the only error
// AppendQuote knows.
func appendText(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
