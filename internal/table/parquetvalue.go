package table

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// readValue makes a value of one in a Parquet file that is not null. It keeps none of its memory.
type readValue func(parquet.Value) (expression.Value, error)

// physical says how the values of a Parquet column are to be understood.
type physical uint8

const (
	otherValues physical = iota
	textValues
	intValues
	uintValues
	floatValues
	boolValues
	timestampValues
	dateValues
)

// physicalOf also gives for timestamps how many of their units make a second.
func physicalOf(c *parquet.Column) (p physical, unit int64) {
	var logical format.LogicalTypeValue
	if l := c.Type().LogicalType(); l != nil {
		logical = l.Value
	}
	switch c.Type().Kind() {
	case parquet.Boolean:
		return boolValues, 0
	case parquet.Float, parquet.Double:
		return floatValues, 0
	case parquet.ByteArray:
		switch logical.(type) {
		case nil, *format.StringType, *format.EnumType, *format.JsonType:
			return textValues, 0
		}
	case parquet.Int32, parquet.Int64:
		switch t := logical.(type) {
		case nil:
			return intValues, 0
		case *format.IntType:
			if !t.IsSigned {
				return uintValues, 0
			}
			return intValues, 0
		case *format.DateType:
			return dateValues, 0
		case *format.TimestampType:
			return timestampValues, int64(time.Second / t.Unit.Value.Duration())
		}
	}
	return otherValues, 0
}

// isKeyText says whether a column shows a key field as the text that it is in the key.
func isKeyText(spec Spec, c Column) bool {
	return c.Kind == expression.String && slices.Contains(spec.KeyFields, c.Name)
}

// keyReader reads a key field: a text, or a whole number as its decimal text.
func keyReader(c *parquet.Column) readValue {
	switch p, _ := physicalOf(c); p {
	case textValues:
		return readText
	case intValues, uintValues:
		return func(v parquet.Value) (expression.Value, error) {
			s := strconv.FormatInt(signed(v), 10)
			if p == uintValues {
				s = strconv.FormatUint(unsigned(v), 10)
			}
			return expression.Value{Kind: expression.String, Str: s}, nil
		}
	}
	return nil
}

// columnReader reads values of a column; nil if those of c cannot be such.
func columnReader(c *parquet.Column, column Column) readValue {
	p, unit := physicalOf(c)
	switch {
	case p == textValues && column.Kind == expression.String:
		return readText
	case p == boolValues && column.Kind == expression.Bool:
		return readBool
	case column.Kind == expression.Time:
		return timeReader(p, unit)
	case column.Kind == expression.Number:
		return numberReader(p, column.Int)
	}
	return nil
}

func readText(v parquet.Value) (expression.Value, error) {
	if len(v.ByteArray()) == 0 {
		return expression.Value{}, nil
	}
	return stringValue(string(v.ByteArray()))
}

func readBool(v parquet.Value) (expression.Value, error) {
	b := expression.Value{Kind: expression.Bool}
	if v.Boolean() {
		b.Num = 1
	}
	return b, nil
}

func numberReader(p physical, whole bool) readValue {
	switch p {
	case intValues:
		return func(v parquet.Value) (expression.Value, error) { return wholeNumber(signed(v), whole) }
	case uintValues:
		return func(v parquet.Value) (expression.Value, error) {
			u := unsigned(v)
			if u > math.MaxInt64 {
				return number(float64(u), strconv.FormatUint(u, 10), whole) // out of all bounds
			}
			return wholeNumber(int64(u), whole)
		}
	case floatValues:
		return func(v parquet.Value) (expression.Value, error) {
			x := v.Double()
			if v.Kind() == parquet.Float {
				x = float64(v.Float())
			}
			if math.IsNaN(x) {
				return expression.Value{}, nil
			}
			value, err := number(x, "", whole)
			if err != nil {
				_, err = number(x, strconv.FormatFloat(x, 'g', -1, 64), whole) // with its text, which is seldom needed
			}
			return value, err
		}
	}
	return nil
}

func wholeNumber(i int64, whole bool) (expression.Value, error) {
	if i < -maxInt || i > maxInt { // as a float64, 2⁵³+1 would look like 2⁵³
		s := strconv.FormatInt(i, 10)
		if whole {
			return expression.Value{}, notInt(s)
		}
		return number(float64(i), s, whole)
	}
	return number(float64(i), "", whole)
}

// timeReader reads timestamps, which are taken for UTC if they are local ones.
func timeReader(p physical, unit int64) readValue {
	var milliseconds func(int64) int64
	switch p {
	case textValues:
		return func(v parquet.Value) (expression.Value, error) {
			if len(v.ByteArray()) == 0 {
				return expression.Value{}, nil
			}
			return parseTime(string(v.ByteArray()))
		}
	case intValues:
		milliseconds = func(i int64) int64 { return i }
	case dateValues:
		milliseconds = func(i int64) int64 { return i * 24 * 60 * 60 * 1000 } // 32 bits
	case timestampValues:
		milliseconds = func(i int64) int64 { return floorDiv(i, unit/1000) } // milliseconds are the coarsest
	default:
		return nil
	}
	return func(v parquet.Value) (expression.Value, error) {
		ms := milliseconds(signed(v))
		if t := freshet.Timestamp(ms); t < freshet.MinTimestamp || t > freshet.MaxTimestamp {
			return expression.Value{}, freshet.Errorf(freshet.InvalidArgument, "time %d ms is outside 1970 … 9999", ms)
		}
		return expression.Value{Kind: expression.Time, Num: float64(ms)}, nil
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func signed(v parquet.Value) int64 {
	if v.Kind() == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}

func unsigned(v parquet.Value) uint64 {
	if v.Kind() == parquet.Int32 {
		return uint64(v.Uint32())
	}
	return v.Uint64()
}
