package skopsmodel

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	freshet "github.com/freshet-ml/freshet"
)

// node is one value of the schema. What is in it is read when it is asked for, so that a file may nest as it likes and is
// followed only where a known class leads.
type node struct {
	Class    string         `json:"__class__"`
	Module   string         `json:"__module__"`
	Loader   string         `json:"__loader__"`
	Content  jsontext.Value `json:"content"`
	Type     jsontext.Value `json:"type"` // of an NdArrayNode: "numpy" or "json"
	File     jsontext.Value `json:"file"`
	Protocol int            `json:"protocol"` // of the root
}

func parseNode(text []byte) (node, error) {
	var n node
	if err := json.Unmarshal(text, &n); err != nil {
		return n, invalid("%s: it is no JSON of skops: %.200s", schemaName, err.Error())
	}
	return n, nil
}

// arrayNames are the files of arrays that a schema names anywhere.
func arrayNames(schema []byte) ([]string, error) {
	var names []string
	d := jsontext.NewDecoder(bytes.NewReader(schema))
	for {
		t, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, invalid("%s: it is no JSON of skops: %.200s", schemaName, err.Error())
		}
		kind, length := d.StackIndex(d.StackDepth())
		key := kind == '{' && length%2 == 1
		if !key || t.String() != "file" || d.PeekKind() != '"' {
			continue
		}
		if t, err = d.ReadToken(); err == nil && strings.HasSuffix(t.String(), ".npy") {
			names = append(names, t.String())
		}
	}
}

func (n node) name() string { return n.Module + "." + n.Class }

func (n node) expect(loader string) error {
	if n.Loader == loader {
		return nil
	}
	return freshet.Errorf(freshet.Unsupported, "expected %s, found %.60q of %.100q, which is not read", loader, n.Loader, n.name())
}

// object is a node that stands for an object of Python.
type object struct {
	node
	archive    *archive
	attributes map[string]jsontext.Value
}

func (a *archive) object(n node) (object, error) {
	if err := n.expect("ObjectNode"); err != nil {
		return object{}, err
	}
	o := object{node: n, archive: a}
	dict, err := parseNode(n.Content)
	if err == nil {
		err = dict.expect("DictNode")
	}
	if err == nil {
		if json.Unmarshal(dict.Content, &o.attributes) != nil {
			err = invalid("expected the attributes as an object")
		}
	}
	return o, o.at(err)
}

// at puts the class in front of an error.
func (o object) at(err error) error {
	if err == nil {
		return nil
	}
	return freshet.Errorf("", "%.60s: %w", o.Class, err)
}

func (o object) wrap(attribute string, err error) error {
	if err == nil {
		return nil
	}
	return o.at(freshet.Errorf("", "%s: %w", attribute, err))
}

// attribute is false if the object has none of that name.
func (o object) attribute(name string) (n node, ok bool, err error) {
	text, ok := o.attributes[name]
	if !ok {
		return node{}, false, nil
	}
	n, err = parseNode(text)
	return n, true, o.wrap(name, err)
}

// scalar is the JSON text of a simple value; "" if there is none.
func (n node) scalar() (string, error) {
	if err := n.expect("JsonNode"); err != nil {
		return "", err
	}
	var text string
	if err := json.Unmarshal(n.Content, &text); err != nil {
		return "", invalid("expected JSON in a text")
	}
	return text, nil
}

// scalar is the JSON text of an attribute, or absent.
func (o object) scalar(name, absent string) (string, error) {
	n, ok, err := o.attribute(name)
	if err != nil || !ok {
		return absent, err
	}
	text, err := n.scalar()
	return text, o.wrap(name, err)
}

func (o object) flag(name string, absent bool) (bool, error) {
	text, err := o.scalar(name, strconv.FormatBool(absent))
	if err == nil && text != "true" && text != "false" {
		err = o.wrap(name, invalid("it is %.40q: expected true or false", text))
	}
	return text == "true", err
}

// numbers are the finite numbers of an array attribute, and its shape.
func (o object) numbers(name string) ([]float64, []int, error) {
	n, ok, err := o.attribute(name)
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		return nil, nil, o.at(invalid("it has no %s: it was not fitted", name))
	}
	if n.Loader == "JsonNode" { // a plain number, such as an intercept of 0.0
		text, err := n.scalar()
		v, e := strconv.ParseFloat(text, 64)
		if err != nil || e != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, nil, o.wrap(name, invalid("it is %.40q: expected a finite number", text))
		}
		return []float64{v}, nil, nil
	}
	values, shape, err := o.archive.numbers(n)
	return values, shape, o.wrap(name, err)
}

func (a *archive) numbers(n node) ([]float64, []int, error) {
	file, err := n.arrayFile()
	if err != nil {
		return nil, nil, err
	}
	array, err := a.array(file)
	if err != nil {
		return nil, nil, err
	}
	values, err := array.Float64s()
	if err != nil {
		return nil, nil, err
	}
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, nil, invalid("number %d of it is %v: expected finite numbers", i, v)
		}
	}
	return values, array.Shape, nil
}

func (n node) arrayFile() (string, error) {
	if err := n.expect("NdArrayNode"); err != nil {
		return "", err
	}
	var kind, file string
	if json.Unmarshal(n.Type, &kind) != nil || kind != "numpy" || json.Unmarshal(n.File, &file) != nil {
		return "", invalid("expected an array in a file of the zip")
	}
	return file, nil
}

// texts are the elements of an array attribute as words; nil if there is none.
func (o object) texts(name string) ([]string, error) {
	n, ok, err := o.attribute(name)
	if err != nil || !ok {
		return nil, err
	}
	var kind string
	if json.Unmarshal(n.Type, &kind) == nil && kind == "json" {
		words, err := n.listOfTexts()
		return words, o.wrap(name, err)
	}
	file, err := n.arrayFile()
	if err != nil {
		return nil, o.wrap(name, err)
	}
	array, err := o.archive.array(file)
	if err != nil {
		return nil, o.wrap(name, err)
	}
	words, err := array.Strings()
	return words, o.wrap(name, err)
}

func (n node) list() ([]node, error) {
	var texts []jsontext.Value
	if err := json.Unmarshal(n.Content, &texts); err != nil {
		return nil, invalid("expected a list")
	}
	nodes := make([]node, len(texts))
	for i, text := range texts {
		var err error
		if nodes[i], err = parseNode(text); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

func (n node) listOfTexts() ([]string, error) {
	nodes, err := n.list()
	if err != nil {
		return nil, err
	}
	words := make([]string, len(nodes))
	for i, e := range nodes {
		text, err := e.scalar()
		if err != nil {
			return nil, err
		}
		if json.Unmarshal([]byte(text), &words[i]) != nil { // a number or a boolean stands for itself
			words[i] = text
		}
	}
	return words, nil
}
