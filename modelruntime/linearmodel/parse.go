package linearmodel

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

const format = "freshet.linear/1"

// document is the file. JSON v2 refuses names that stand twice, text that is no UTF-8, nesting beyond 10,000 and a second
// document behind the first.
type document struct {
	Format       string            `json:"format"`
	Description  jsontext.Value    `json:"description"`
	Link         string            `json:"link"`
	Features     []documentFeature `json:"features"`
	Coefficients [][]number        `json:"coefficients"`
	Intercept    []number          `json:"intercept"`
	Outputs      []string          `json:"outputs"`
}

type documentFeature struct {
	Name    string   `json:"name"`
	Mean    optional `json:"mean"`
	Scale   optional `json:"scale"`
	Missing optional `json:"missing"`
}

// number is a finite JSON number; null, which JSON decoders like to take for 0, is refused.
type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.IsInf(v, 0) {
		return freshet.Errorf(freshet.InvalidArgument, "%.40s is no number that a float64 can hold", b)
	}
	*n = number(v)
	return nil
}

// optional is a number that may be absent.
type optional struct {
	value number
	given bool
}

func (o *optional) UnmarshalJSON(b []byte) error {
	o.given = true
	return o.value.UnmarshalJSON(b)
}

func (o optional) or(absent float64) float64 {
	if o.given {
		return float64(o.value)
	}
	return absent
}

func invalid(text string, args ...any) error {
	return freshet.Errorf(freshet.InvalidArgument, text, args...)
}

// parse reads a model. The version comes first: a later one may have keys that this one does not know.
func parse(text []byte) (*model, error) {
	var version struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return nil, syntaxError(err)
	}
	if version.Format != format {
		return nil, freshet.Errorf(freshet.Unsupported, "format is %.60q: %s is read", version.Format, format)
	}
	var d document
	if err := json.Unmarshal(text, &d, json.RejectUnknownMembers(true)); err != nil {
		return nil, syntaxError(err)
	}
	m := &model{}
	if err := m.addFeatures(d.Features); err != nil {
		return nil, err
	}
	if err := m.addRows(&d); err != nil {
		return nil, err
	}
	if err := m.setLink(d.Link); err != nil {
		return nil, err
	}
	return m, m.setOutputs(d.Outputs)
}

// syntaxError says where and what in words of JSON, not of Go.
func syntaxError(err error) error {
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		if e.Err != nil {
			return invalid("%s: %w", place(e.JSONPointer), e.Err)
		}
		return invalid("%s: a %s does not belong here", place(e.JSONPointer), e.JSONKind)
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return invalid("%s: it is no JSON: %w (byte %d)", place(e.JSONPointer), e.Err, e.ByteOffset)
	}
	return invalid("it is no JSON: %w", err)
}

// place is a JSON pointer for people: "/coefficients/0/1" is coefficients.0.1.
func place(p jsontext.Pointer) string {
	if p == "" {
		return "the file"
	}
	return strings.Join(slices.Collect(p.Tokens()), ".")
}

func (m *model) addFeatures(features []documentFeature) error {
	if len(features) == 0 {
		return invalid("features: expected at least one")
	}
	seen := make(map[string]bool, len(features))
	for i, d := range features {
		f := feature{name: d.Name, mean: d.Mean.or(0), scale: d.Scale.or(1), missing: d.Missing.or(math.NaN())}
		if f.name == "" {
			return invalid("features[%d] has no name", i)
		}
		if seen[f.name] {
			return freshet.FieldErrorf(freshet.InvalidArgument, f.name, "features: %q stands there twice", f.name)
		}
		if f.scale == 0 {
			return freshet.FieldErrorf(freshet.InvalidArgument, f.name, "features: %q has scale 0: nothing can be divided by it", f.name)
		}
		seen[f.name] = true
		m.features = append(m.features, f)
		m.signature.Inputs = append(m.signature.Inputs, modelruntime.Column{Name: f.name, Required: !d.Missing.given})
	}
	return nil
}

func (m *model) addRows(d *document) error {
	if len(d.Coefficients) == 0 {
		return invalid("coefficients: expected at least one row")
	}
	if len(d.Intercept) != len(d.Coefficients) {
		return invalid("intercept has %d numbers and coefficients %d rows: expected one number for each", len(d.Intercept), len(d.Coefficients))
	}
	for k, row := range d.Coefficients {
		if len(row) != len(m.features) {
			return invalid("coefficients[%d] has %d numbers and there are %d features", k, len(row), len(m.features))
		}
		m.rows = append(m.rows, floats(row))
	}
	m.intercept = floats(d.Intercept)
	return nil
}

func floats(numbers []number) []float64 {
	values := make([]float64, len(numbers))
	for i, n := range numbers {
		values[i] = float64(n)
	}
	return values
}

func (m *model) setLink(name string) error {
	rows := len(m.rows)
	switch name {
	case "identity":
		m.link = identity
	case "logit":
		if rows != 1 {
			return invalid("link logit takes one row of coefficients, not %d; softmax takes more", rows)
		}
		m.link = logit
	case "softmax":
		if rows < 2 {
			return invalid("link softmax takes two or more rows of coefficients, not one; logit takes one")
		}
		m.link = modelruntime.Softmax
	default:
		return freshet.Errorf(freshet.Unsupported, "link is %.60q: expected identity, logit or softmax", name)
	}
	return nil
}

func (m *model) setOutputs(names []string) error {
	if names == nil {
		names = modelruntime.OutputNames(len(m.rows))
	}
	if len(names) != len(m.rows) {
		return invalid("outputs has %d names and there are %d rows of coefficients", len(names), len(m.rows))
	}
	seen := make(map[string]bool, len(names))
	for i, name := range names {
		if name == "" || seen[name] {
			return invalid("outputs[%d] is %q: expected a name that no other output has", i, name)
		}
		seen[name] = true
	}
	m.signature.Outputs = names
	return nil
}
