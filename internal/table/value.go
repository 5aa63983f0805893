package table

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// The bounds of numbers are those of event fields (features.md §1).
const (
	maxInt   = 1 << 53
	maxFloat = 1e15
)

// Parse reads the text of one value as a CSV file has it; the empty text is null. Returns InvalidArgument for a text that is
// no value of the column.
func (c Column) Parse(s string) (expression.Value, error) { return parseCell(s, c) }

// parseCell reads one field of a CSV file; the empty field is null.
func parseCell(s string, c Column) (expression.Value, error) {
	if s == "" {
		return expression.Value{}, nil
	}
	switch c.Kind {
	case expression.String:
		return stringValue(s)
	case expression.Bool:
		return parseBool(s)
	case expression.Time:
		return parseTime(s)
	}
	return parseNumber(s, c.Int)
}

func stringValue(s string) (expression.Value, error) {
	if !utf8.ValidString(s) {
		return expression.Value{}, freshet.Errorf(freshet.InvalidArgument, "%.40q is no UTF-8", s)
	}
	return expression.Value{Kind: expression.String, Str: s}, nil
}

// parseBool takes true and false in any case: Python writes True.
func parseBool(s string) (expression.Value, error) {
	switch {
	case strings.EqualFold(s, "true"):
		return expression.Value{Kind: expression.Bool, Num: 1}, nil
	case strings.EqualFold(s, "false"):
		return expression.Value{Kind: expression.Bool}, nil
	}
	return expression.Value{}, freshet.Errorf(freshet.InvalidArgument, "%.40q: expected true or false", s)
}

func parseTime(s string) (expression.Value, error) {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t, err := freshet.ParseTimestamp(s)
		if err != nil {
			return expression.Value{}, err
		}
		ms = int64(t)
	}
	if t := freshet.Timestamp(ms); t < freshet.MinTimestamp || t > freshet.MaxTimestamp {
		return expression.Value{}, freshet.Errorf(freshet.InvalidArgument, "time %s is outside 1970 … 9999", s)
	}
	return expression.Value{Kind: expression.Time, Num: float64(ms)}, nil
}

func parseNumber(s string, whole bool) (expression.Value, error) {
	// Whole numbers first: as a float64, 2⁵³+1 would look like 2⁵³.
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		if whole && (i < -maxInt || i > maxInt) {
			return expression.Value{}, notInt(s)
		}
		return number(float64(i), s, whole)
	}
	// ParseFloat also takes hexadecimal, underscores and words such as NaN and Inf.
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.Trim(s, "+-.0123456789eE") != "" {
		if whole {
			return expression.Value{}, notInt(s)
		}
		return expression.Value{}, freshet.Errorf(freshet.InvalidArgument, "%.40q: expected a number; leave the field empty for null", s)
	}
	return number(v, s, whole)
}

func number(v float64, s string, whole bool) (expression.Value, error) {
	if whole && (v != math.Trunc(v) || math.Abs(v) > maxInt) {
		return expression.Value{}, notInt(s)
	}
	if !whole && math.Abs(v) > maxFloat {
		return expression.Value{}, freshet.Errorf(freshet.InvalidArgument, "%.40s: expected a number of at most ±1e15", s)
	}
	if v == 0 {
		v = 0 // not −0
	}
	return expression.Value{Kind: expression.Number, Num: v}, nil
}

func notInt(s string) error {
	return freshet.Errorf(freshet.InvalidArgument, "%.40q: expected a whole number between −2⁵³ and 2⁵³", s)
}
