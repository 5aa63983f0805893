package feature

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// reader reads the JSON text of a field, which is not null, into v. wrong is "" or what was expected instead.
type reader func(d *decoder, f *field, value string, v *expression.Value) (wrong string)

const maxFloat = 1e15 // the largest float of an event

func readString(d *decoder, _ *field, value string, v *expression.Value) string {
	if value[0] != '"' {
		return "a string"
	}
	s, err := d.unquote(value)
	if err != nil {
		return "a string"
	}
	if d.sent && len(s) > freshet.MaxTextBytes {
		return fmt.Sprintf("a string of at most %d bytes", freshet.MaxTextBytes)
	}
	*v = expression.Value{Kind: expression.String, Str: s}
	return ""
}

func readKey(d *decoder, f *field, value string, v *expression.Value) string {
	const want = "a string of 1 to 256 bytes or an integer"
	s := ""
	switch c := value[0]; {
	case c == '"':
		if readString(d, f, value, v) != "" {
			return want
		}
		s = v.Str
	case isNumber(c):
		s, _ = KeyText(value)
	}
	if s == "" || len(s) > freshet.MaxKeyBytes {
		return want
	}
	*v = expression.Value{Kind: expression.String, Str: s}
	return ""
}

// KeyText is the text of an entity key that is written as a JSON number: "7" for 7, 7.0 and 70e-1, however long; ok is false if it is not
// whole.
func KeyText(number string) (text string, ok bool) {
	if number == "" || !isNumber(number[0]) {
		return "", false
	}
	return wholeText(number, freshet.MaxKeyBytes)
}

func readInt(_ *decoder, _ *field, value string, v *expression.Value) string {
	const want = "a whole number from -2^53 to 2^53"
	i, ok := wholeNumber(value)
	if !ok || i > maxSummand || i < -maxSummand {
		return want
	}
	*v = expression.Value{Kind: expression.Number, Num: float64(i)}
	return ""
}

func readFloat(_ *decoder, _ *field, value string, v *expression.Value) string {
	x, ok := float(value)
	if !ok {
		return "a number from -1e15 to 1e15"
	}
	*v = expression.Value{Kind: expression.Number, Num: x}
	return ""
}

func readBool(_ *decoder, _ *field, value string, v *expression.Value) string {
	switch value {
	case "true":
		*v = expression.Value{Kind: expression.Bool, Num: 1}
	case "false":
		*v = expression.Value{Kind: expression.Bool}
	default:
		return "true or false"
	}
	return ""
}

func readTimeField(_ *decoder, _ *field, value string, v *expression.Value) string {
	t, ok := parseTime(value)
	if !ok {
		return timeForms
	}
	*v = expression.Value{Kind: expression.Time, Num: float64(t)}
	return ""
}

func readStrings(d *decoder, f *field, value string, v *expression.Value) string {
	const want = "a list of strings"
	if value[0] != '[' {
		return want
	}
	list, size := []expression.Value{}, 0
	for c := (cursor{text: value, at: 1}); ; {
		c.skip()
		if c.peek() == ']' {
			*v = expression.Value{Kind: expression.List, List: list}
			return ""
		}
		element, _ := c.value()
		var e expression.Value
		if element == "" || readString(d, f, element, &e) != "" {
			return want
		}
		if size += len(e.Str); d.sent && size > freshet.MaxTextBytes {
			return fmt.Sprintf("%s of at most %d bytes together", want, freshet.MaxTextBytes)
		}
		list = append(list, e)
	}
}

func readVector(_ *decoder, f *field, value string, v *expression.Value) string {
	want := "a list of " + strconv.Itoa(f.typ.Dim) + " numbers from -1e15 to 1e15"
	if value[0] != '[' {
		return want
	}
	vec := make([]float64, 0, f.typ.Dim)
	for c := (cursor{text: value, at: 1}); ; {
		c.skip()
		if c.peek() == ']' {
			break
		}
		element, _ := c.value()
		if element == "" || len(vec) == f.typ.Dim {
			return want
		}
		x, ok := float(element)
		if !ok {
			return want
		}
		vec = append(vec, x)
	}
	if len(vec) != f.typ.Dim {
		return want
	}
	*v = expression.Value{Kind: expression.Vector, Vec: vec}
	return ""
}

func isNumber(c byte) bool { return c == '-' || c >= '0' && c <= '9' }

// float reads a number of at most maxFloat. There is no negative zero: it would compare equal to zero and yet be another value.
func float(value string) (x float64, ok bool) {
	if !isNumber(value[0]) {
		return 0, false
	}
	x, err := strconv.ParseFloat(value, 64)
	return x + 0, err == nil && math.Abs(x) <= maxFloat
}

// wholeNumber reads a number that is whole, however it is written: 5, 5.0, 50e-1.
func wholeNumber(value string) (i int64, ok bool) {
	if !isNumber(value[0]) {
		return 0, false
	}
	const digits = 18 // of every int64
	text, ok := wholeText(value, digits)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(text, 10, 64)
	return i, err == nil
}

// wholeText is the decimal text of a JSON number if that is whole and has at most the given number of digits. It is exact,
// where a float64 would round beyond 2^53.
func wholeText(number string, mostDigits int) (text string, ok bool) {
	if isPlain(number) {
		return number, len(number) <= mostDigits
	}
	const maxExponent = 1000 // far beyond what has few enough digits
	digits, negative := strings.CutPrefix(number, "-")
	exponent := 0
	if mantissa, e, found := strings.Cut(strings.ToLower(digits), "e"); found {
		digits = mantissa
		if strings.Trim(mantissa, "0.") == "" {
			return "0", true
		}
		var err error
		if exponent, err = strconv.Atoi(e); err != nil || exponent > maxExponent || exponent < -maxExponent {
			return "", false
		}
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	exponent -= len(fraction)
	trimmed := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	switch {
	case trimmed == "":
		return "0", true
	case exponent < 0 || len(trimmed)+exponent > mostDigits:
		return "", false
	}
	text = trimmed + strings.Repeat("0", exponent)
	if negative {
		text = "-" + text
	}
	return text, true
}

// isPlain says whether a JSON number is its own decimal text: an optional minus and digits, but not -0.
func isPlain(number string) bool {
	digits, _ := strings.CutPrefix(number, "-")
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return number != "-0"
}
