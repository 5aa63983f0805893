package table

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// ParseRow reads a row that is not in the table, given as a JSON object in a request: the key fields, and any of the columns
// under the rules of event fields; a column that is absent or null is null. values has one entry for each of Columns.
// Returns InvalidArgument naming the field for a key that is not there, a wrong type and a name that is neither.
func (t *Table) ParseRow(object []byte) (key freshet.Key, values []expression.Value, err error) {
	p := rowParser{spec: &t.spec, values: make([]expression.Value, len(t.spec.Columns)), key: make([]string, len(t.spec.KeyFields))}
	if err := p.parse(object); err != nil {
		return "", nil, freshet.Errorf("", "row of table %s: %w", t.spec.Name, err)
	}
	return freshet.JoinKey(p.key...), p.values, nil
}

type rowParser struct {
	spec   *Spec
	values []expression.Value
	key    []string
}

func (p *rowParser) parse(object []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(object)) // refuses names that stand twice, and text that is no UTF-8
	if start, err := d.ReadToken(); err != nil || start.Kind() != '{' {
		return freshet.Errorf(freshet.InvalidArgument, "expected a JSON object")
	}
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			return notJSON(err)
		}
		name := token.String() // before the next read, which takes the token's memory
		raw, err := d.ReadValue()
		if err != nil {
			return notJSON(err)
		}
		if err := p.field(name, raw); err != nil {
			return freshet.FieldErrorf("", name, "field %q: %w", name, err)
		}
	}
	if _, err := d.ReadToken(); err != nil { // the closing brace
		return notJSON(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return freshet.Errorf(freshet.InvalidArgument, "something follows the JSON object")
	}
	for i, name := range p.spec.KeyFields {
		if p.key[i] == "" {
			return freshet.FieldErrorf(freshet.InvalidArgument, name, "key field %q is missing", name)
		}
	}
	return nil
}

func notJSON(err error) error {
	return freshet.Errorf(freshet.InvalidArgument, "it is no JSON object: %w", err)
}

// field takes one field, which may be key field and column at the same time.
func (p *rowParser) field(name string, raw jsontext.Value) error {
	keyAt := slices.Index(p.spec.KeyFields, name)
	at := slices.IndexFunc(p.spec.Columns, func(c Column) bool { return c.Name == name })
	if keyAt < 0 && at < 0 {
		return freshet.Errorf(freshet.InvalidArgument, "the table has no such column")
	}
	if keyAt >= 0 {
		s, err := keyField(raw)
		if err != nil {
			return err
		}
		p.key[keyAt] = s
	}
	if at < 0 {
		return nil
	}
	column := p.spec.Columns[at]
	if keyAt >= 0 && column.Kind == expression.String { // an integer key is its decimal text
		p.values[at] = expression.Value{Kind: expression.String, Str: p.key[keyAt]}
		return nil
	}
	v, err := parseJSON(raw, column)
	p.values[at] = v
	return err
}

// keyField takes a text or an integer, as events do.
func keyField(raw jsontext.Value) (string, error) {
	s, err := unquote(raw)
	if err != nil {
		i, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return "", freshet.Errorf(freshet.InvalidArgument, "%.40s: expected a text or an integer", raw)
		}
		s = strconv.FormatInt(i, 10)
	}
	return s, checkKeyField(s)
}

func unquote(raw jsontext.Value) (string, error) {
	if raw.Kind() != '"' {
		return "", freshet.Errorf(freshet.InvalidArgument, "%.40s: expected a text", raw)
	}
	s, err := jsontext.AppendUnquote(nil, raw)
	return string(s), err
}

// parseJSON reads one value of a column. The empty text is null, as in a file.
func parseJSON(raw jsontext.Value, c Column) (expression.Value, error) {
	switch kind := raw.Kind(); {
	case kind == 'n':
		return expression.Value{}, nil
	case kind == '0' && (c.Kind == expression.Number || c.Kind == expression.Time):
		return parseCell(string(raw), c)
	case (kind == 't' || kind == 'f') && c.Kind == expression.Bool:
		return parseBool(string(raw))
	case kind == '"' && (c.Kind == expression.String || c.Kind == expression.Time):
		s, err := unquote(raw)
		if err != nil {
			return expression.Value{}, err
		}
		return parseCell(s, c)
	}
	return expression.Value{}, freshet.Errorf(freshet.InvalidArgument, "%.40s: expected %s", raw, words(c))
}

func words(c Column) string {
	switch c.Kind {
	case expression.String:
		return "a text"
	case expression.Bool:
		return "true or false"
	case expression.Time:
		return "a time (RFC 3339 with zone or epoch milliseconds)"
	}
	if c.Int {
		return "a whole number"
	}
	return "a number"
}
