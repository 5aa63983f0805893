package trainingset

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/freshet-ml/freshet"
)

// cellKind is what a column of the file of entities holds.
type cellKind uint8

const (
	textCell cellKind = iota
	intCell
	floatCell
	boolCell
	timeCell // microseconds since 1970
	dateCell // days since 1970
)

// cell is one value of a row of entities.
type cell struct {
	kind  cellKind
	null  bool
	text  string // of a text
	whole int64  // of an int, time or date; 0 and 1 of a bool
	float float64
}

// key is the cell as a key field: a text, or an integer as its decimal text.
func (c cell) key() (string, error) {
	s := c.text
	switch {
	case c.null:
		return "", freshet.Errorf(freshet.InvalidArgument, "there is no key")
	case c.kind == intCell:
		s = strconv.FormatInt(c.whole, 10)
	case c.kind != textCell:
		return "", freshet.Errorf(freshet.InvalidArgument, "a key is a text or an integer")
	}
	if len(s) == 0 || len(s) > freshet.MaxKeyBytes || !utf8.ValidString(s) {
		return "", freshet.Errorf(freshet.InvalidArgument, "key %.40q: expected 1 to %d bytes of UTF-8", s, freshet.MaxKeyBytes)
	}
	return s, nil
}

// moment is the cell as a time: one, an integer of epoch milliseconds, or either as a text.
func (c cell) moment() (freshet.Timestamp, error) {
	if c.null || c.kind == textCell && c.text == "" {
		return 0, freshet.Errorf(freshet.InvalidArgument, "there is no time")
	}
	ms := c.whole
	switch c.kind {
	case textCell:
		return parseMoment(c.text)
	case timeCell:
		ms = floorDiv(c.whole, 1000)
	case dateCell:
		ms = c.whole * 24 * 60 * 60 * 1000
	case intCell:
	default:
		return 0, freshet.Errorf(freshet.InvalidArgument, "expected a time, or an integer of epoch milliseconds")
	}
	return inRange(freshet.Timestamp(ms))
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// layouts of a time as data frames write it. Without an offset it is UTC.
var layouts = []string{"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999", "2006-01-02"}

func parseMoment(s string) (freshet.Timestamp, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return inRange(freshet.Timestamp(ms))
	}
	iso := strings.Replace(s, " ", "T", 1) // as pandas writes it
	for _, layout := range layouts {
		if t, err := time.Parse(layout, iso); err == nil {
			return inRange(freshet.Timestamp(floorDiv(t.UnixMicro(), 1000)))
		}
	}
	return 0, freshet.Errorf(freshet.InvalidArgument, "%.40q: expected a time such as 2025-03-03T12:00:00Z, or epoch milliseconds", s)
}

func inRange(t freshet.Timestamp) (freshet.Timestamp, error) {
	if t < freshet.MinTimestamp || t > freshet.MaxTimestamp {
		return 0, freshet.Errorf(freshet.InvalidArgument, "time %d ms is outside 1970 … 9999", int64(t))
	}
	return t, nil
}

// appendText appends the cell as CSV has it.
func (c cell) appendText(dst []byte) []byte {
	switch {
	case c.null:
		return dst
	case c.kind == intCell:
		return strconv.AppendInt(dst, c.whole, 10)
	case c.kind == floatCell:
		return appendFloat(dst, c.float)
	case c.kind == boolCell:
		return strconv.AppendBool(dst, c.whole != 0)
	case c.kind == timeCell:
		return time.UnixMicro(c.whole).UTC().AppendFormat(dst, "2006-01-02T15:04:05.999999Z")
	case c.kind == dateCell:
		return time.Unix(c.whole*24*60*60, 0).UTC().AppendFormat(dst, "2006-01-02")
	}
	return append(dst, c.text...)
}

func appendFloat(dst []byte, x float64) []byte {
	if math.IsNaN(x) {
		return dst
	}
	return strconv.AppendFloat(dst, x, 'g', -1, 64)
}

// guess is what kinds of values a column of texts may hold.
type guess struct{ some, notInt, notFloat, notBool bool }

// see takes the next text of the column into account; the empty one is null.
func (g *guess) see(s string) {
	if s == "" {
		return
	}
	g.some = true
	if !g.notInt {
		_, err := strconv.ParseInt(s, 10, 64)
		g.notInt = err != nil || len(s) > 1 && (s[0] == '0' || s[0] == '+') // 007 is a name
	}
	if !g.notFloat {
		_, err := strconv.ParseFloat(s, 64)
		g.notFloat = err != nil || strings.Trim(s, "+-.0123456789eE") != "" || len(s) > 1 && s[0] == '0' && s[1] != '.'
	}
	if !g.notBool {
		g.notBool = !strings.EqualFold(s, "true") && !strings.EqualFold(s, "false")
	}
}

func (g *guess) kind() cellKind {
	switch {
	case !g.some:
		return textCell
	case !g.notInt:
		return intCell
	case !g.notFloat:
		return floatCell
	case !g.notBool:
		return boolCell
	}
	return textCell
}

// as is a text cell as one of a kind that guess has found.
func (c cell) as(kind cellKind) cell {
	if c.kind != textCell || kind == textCell || c.null {
		return c
	}
	if c.text == "" {
		return cell{kind: kind, null: true}
	}
	switch kind {
	case intCell:
		c.whole, _ = strconv.ParseInt(c.text, 10, 64) // it was seen to be one
	case floatCell:
		c.float, _ = strconv.ParseFloat(c.text, 64)
	case boolCell:
		if strings.EqualFold(c.text, "true") {
			c.whole = 1
		}
	}
	c.kind = kind
	return c
}
