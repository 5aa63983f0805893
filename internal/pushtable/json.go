package pushtable

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/table"
	"github.com/freshet-ml/freshet/tablestore"
)

// ParseJSON reads the value of a column as data frames have it in JSON: a whole number may be written 5.0, a missing one
// NaN, a time as ISO 8601 (UTC if it says no offset) or in seconds since 1970. Returns InvalidArgument for any other.
func ParseJSON(c table.Column, raw []byte) (expression.Value, error) {
	switch kind := jsontext.Value(raw).Kind(); {
	case kind == 'n':
		return expression.Value{}, nil
	case c.Kind == expression.Number && kind == '0':
		return parseNumber(c, string(raw))
	case c.Kind == expression.Number && string(raw) == `"NaN"`:
		return expression.Value{}, nil
	case c.Kind == expression.Bool && (kind == 't' || kind == 'f'):
		return c.Parse(string(raw))
	case c.Kind == expression.String && kind == '"':
		return parseText(raw)
	case c.Kind == expression.Time && kind == '"':
		s, err := unquote(raw)
		if err != nil {
			return expression.Value{}, err
		}
		m, err := ParseMoment(s)
		return timeValue(m), err
	case c.Kind == expression.Time && kind == '0':
		m, err := ParseSeconds(string(raw))
		return timeValue(m), err
	case c.Kind == expression.List && kind == '[':
		return parseList(raw)
	}
	return expression.Value{}, freshet.Errorf(freshet.InvalidArgument, "%.40s: expected %s", raw, words(c))
}

func parseNumber(c table.Column, s string) (expression.Value, error) {
	if c.Int { // 5.0 and 5e0 are whole
		if x, err := strconv.ParseFloat(s, 64); err == nil && x == math.Trunc(x) && math.Abs(x) <= 1<<53 {
			if _, err := strconv.ParseInt(s, 10, 64); err != nil {
				s = strconv.FormatFloat(x, 'f', -1, 64)
			}
		}
	}
	return c.Parse(s)
}

func parseText(raw []byte) (expression.Value, error) {
	s, err := unquote(raw)
	if err != nil || s == "" { // the empty text is null, as in a file
		return expression.Value{}, err
	}
	return expression.Value{Kind: expression.String, Str: s}, nil
}

func unquote(raw []byte) (string, error) {
	s, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return "", freshet.Errorf(freshet.InvalidArgument, "%.40s: expected a text", raw)
	}
	return string(s), nil
}

func parseList(raw []byte) (expression.Value, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return expression.Value{}, freshet.Errorf(freshet.InvalidArgument, "%.40s: expected a list of texts", raw)
	}
	texts := make([]string, len(items))
	for i, item := range items {
		if len(item) == 0 || item[0] != '"' {
			return expression.Value{}, freshet.Errorf(freshet.InvalidArgument, "[%d]: %.40s: expected a text", i, item)
		}
		var err error
		if texts[i], err = unquote(item); err != nil {
			return expression.Value{}, err
		}
	}
	return Texts(texts), nil
}

// Texts is a value of a column of type strings.
func Texts(texts []string) expression.Value {
	v := expression.Value{Kind: expression.List, List: make([]expression.Value, 0, len(texts))}
	for _, s := range texts {
		v.List = append(v.List, expression.Value{Kind: expression.String, Str: s})
	}
	return v
}

func timeValue(m tablestore.Moment) expression.Value {
	return expression.Value{Kind: expression.Time, Num: float64(m / 1000)}
}

// layouts are the forms of ISO 8601 that clients write, with any number of digits behind the second.
var layouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02",
}

// ParseMoment reads ISO 8601, date and time with a T or a space between them; without an offset it is UTC. Returns
// InvalidArgument for anything else and outside 1970 … 9999.
func ParseMoment(s string) (tablestore.Moment, error) {
	iso := []byte(s)
	if len(iso) > 10 && iso[10] == ' ' {
		iso[10] = 'T'
	}
	// A plus that was not escaped in a query arrives as a space.
	if i := bytes.LastIndexByte(iso, ' '); i > 10 {
		iso[i] = '+'
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, string(iso)); err == nil {
			return inRange(tablestore.MomentOf(t))
		}
	}
	return 0, freshet.Errorf(freshet.InvalidArgument, "%.64q: expected a time in ISO 8601, such as 2026-03-01T12:00:00Z", s)
}

// ParseSeconds reads seconds since 1970 with an optional fraction. Returns InvalidArgument for anything else and outside
// 1970 … 9999.
func ParseSeconds(s string) (tablestore.Moment, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || math.Abs(x) > 1e12 || x != x {
		return 0, freshet.Errorf(freshet.InvalidArgument, "%.64q: expected seconds since 1970", s)
	}
	return inRange(tablestore.Moment(math.Round(x * 1e6)))
}

func inRange(m tablestore.Moment) (tablestore.Moment, error) {
	if m < tablestore.MinMoment || m > tablestore.MaxMoment {
		return 0, freshet.Errorf(freshet.InvalidArgument, "the time %s is outside 1970 … 9999", m)
	}
	return m, nil
}

func words(c table.Column) string {
	switch c.Kind {
	case expression.String:
		return "a text"
	case expression.Bool:
		return "true or false"
	case expression.Time:
		return "a time (ISO 8601 or seconds since 1970)"
	case expression.List:
		return "a list of texts"
	}
	if c.Int {
		return "a whole number"
	}
	return "a number"
}
