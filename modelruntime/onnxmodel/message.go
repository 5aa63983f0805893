package onnxmodel

import (
	"slices"

	freshet "github.com/freshet-ml/freshet"
)

// modelProto is what is read of the file: the graph and the versions of the operators in it.
type modelProto struct {
	opsets    map[string]int64  // by domain; that of ONNX itself is ""
	functions map[operator]bool // that the model defines itself
	graph     *graphProto
}

type graphProto struct {
	nodes        []*nodeProto
	initializers []*tensorProto
	inputs       []valueProto
	outputs      []valueProto
}

// nodeProto is one call of an operator.
type nodeProto struct {
	name, op, domain string
	inputs, outputs  []string // "" is an optional one that is left out
	attributes       []*attributeProto
}

// attributeProto is one setting of a node.
type attributeProto struct {
	name    string
	kind    int64 // AttributeProto.AttributeType
	f       float32
	i       int64
	s       string
	t       *tensorProto
	floats  []float32
	ints    []int64
	strings []string
	used    bool // the operator has asked for it
}

// Kinds of attributes that are read.
const (
	attrFloat   = 1
	attrInt     = 2
	attrString  = 3
	attrTensor  = 4
	attrGraph   = 5
	attrFloats  = 6
	attrInts    = 7
	attrStrings = 8
)

// Bounds of a graph.
const (
	maxItems  = 100_000 // nodes, initializers, inputs, outputs; texts of a node
	maxTexts  = 1 << 22 // in one attribute
	maxRank   = 16
	maxNested = 32 // graphs inside graphs
)

func decodeModel(file []byte) (*modelProto, error) {
	m := &modelProto{opsets: make(map[string]int64), functions: make(map[operator]bool)}
	var graph []byte
	err := fields(file, func(f field) (err error) {
		switch f.number {
		case 7:
			if graph != nil {
				return invalid("it has two graphs")
			}
			graph, err = f.message()
		case 8:
			err = m.addOpset(f)
		case 25:
			err = m.addFunction(f)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if graph == nil {
		return nil, invalid("it has no graph: it is no ONNX model")
	}
	m.graph, err = decodeGraph(graph)
	return m, err
}

func (m *modelProto) addOpset(f field) error {
	message, err := f.message()
	if err != nil {
		return err
	}
	var domain string
	var version int64
	err = fields(message, func(f field) (err error) {
		switch f.number {
		case 1:
			domain, err = f.text()
		case 2:
			version, err = f.integer()
		}
		return err
	})
	if domain == "ai.onnx" {
		domain = ""
	}
	if other, ok := m.opsets[domain]; ok && other != version && err == nil { // skl2onnx writes the same twice
		return invalid("opset_import: domain %.60q has versions %d and %d", domain, other, version)
	}
	if len(m.opsets) == maxItems {
		return freshet.Errorf(freshet.TooLarge, "opset_import has more than %d domains", maxItems)
	}
	m.opsets[domain] = version
	return err
}

func (m *modelProto) addFunction(f field) error {
	message, err := f.message()
	if err != nil {
		return err
	}
	var o operator
	err = fields(message, func(f field) (err error) {
		switch f.number {
		case 1:
			o.name, err = f.text()
		case 10:
			o.domain, err = f.text()
		}
		return err
	})
	if o.domain == "ai.onnx" {
		o.domain = ""
	}
	if len(m.functions) == maxItems {
		return freshet.Errorf(freshet.TooLarge, "more than %d functions", maxItems)
	}
	m.functions[o] = true
	return err
}

func decodeGraph(message []byte) (*graphProto, error) {
	if err := checkNesting(message, 0); err != nil {
		return nil, err
	}
	g := &graphProto{}
	err := fields(message, func(f field) error {
		var err error
		switch f.number {
		case 1:
			g.nodes, err = appendItem(g.nodes, f, decodeNode)
		case 5:
			g.initializers, err = appendItem(g.initializers, f, decodeTensor)
		case 11:
			g.inputs, err = appendItem(g.inputs, f, decodeValue)
		case 12:
			g.outputs, err = appendItem(g.outputs, f, decodeValue)
		case 15:
			err = unsupported("the graph has sparse initializers: they are not read; export dense weights")
		}
		return err
	})
	return g, err
}

// appendItem decodes an embedded message and adds it to the list.
func appendItem[T any](list []T, f field, decode func([]byte) (T, error)) ([]T, error) {
	message, err := f.message()
	if err != nil {
		return nil, err
	}
	if len(list) == maxItems {
		return nil, freshet.Errorf(freshet.TooLarge, "the graph has more than %d items of one kind", maxItems)
	}
	item, err := decode(message)
	return append(list, item), err
}

// checkNesting bounds graphs in attributes of nodes of graphs; what is in them is not decoded: no operator that is read has
// one.
func checkNesting(graph []byte, level int) error {
	if level > maxNested {
		return invalid("graphs are nested too deep: more than %d levels", maxNested)
	}
	return fields(graph, func(f field) error {
		if f.number != 1 {
			return nil
		}
		return fields(f.bytes, func(f field) error {
			if f.number != 5 {
				return nil
			}
			return fields(f.bytes, func(f field) error {
				if f.number != 6 && f.number != 11 {
					return nil
				}
				return checkNesting(f.bytes, level+1)
			})
		})
	})
}

func decodeNode(message []byte) (*nodeProto, error) {
	n := &nodeProto{}
	err := fields(message, func(f field) (err error) {
		switch f.number {
		case 1:
			n.inputs, err = appendText(n.inputs, f, maxItems)
		case 2:
			n.outputs, err = appendText(n.outputs, f, maxItems)
		case 3:
			n.name, err = f.text()
		case 4:
			n.op, err = f.text()
		case 5:
			n.attributes, err = appendItem(n.attributes, f, decodeAttribute)
		case 7:
			n.domain, err = f.text()
		case 8:
			err = unsupported("operator %.60q has an overload: functions are not read", n.op)
		}
		return err
	})
	if n.domain == "ai.onnx" {
		n.domain = ""
	}
	return n, err
}

func appendText(list []string, f field, limit int) ([]string, error) {
	if len(list) == limit {
		return nil, freshet.Errorf(freshet.TooLarge, "a list of more than %d texts", limit)
	}
	s, err := f.text()
	return append(list, s), err
}

func decodeAttribute(message []byte) (*attributeProto, error) {
	a := &attributeProto{}
	err := fields(message, func(f field) (err error) {
		switch f.number {
		case 1:
			a.name, err = f.text()
		case 2:
			a.f, err = f.float()
		case 3:
			a.i, err = f.integer()
		case 4:
			a.s, err = f.text()
		case 5:
			a.t, err = decodeAttributeTensor(f)
		case 7:
			a.floats, err = f.appendFloats(a.floats)
		case 8:
			a.ints, err = f.appendIntegers(a.ints)
		case 9:
			a.strings, err = appendMode(a.strings, f)
		case 20:
			a.kind, err = f.integer()
		case 21:
			err = unsupported("attribute %.60q refers to an attribute of a function: functions are not read", a.name)
		}
		return err
	})
	return a, err
}

// appendMode is appendText for lists that repeat a few short texts millions of times: the modes of the nodes of trees.
func appendMode(list []string, f field) ([]string, error) {
	if f.need(2) == nil && len(list) > 0 && string(f.bytes) == list[len(list)-1] && len(list) < maxTexts {
		return append(list, list[len(list)-1]), nil
	}
	return appendText(list, f, maxTexts)
}

func decodeAttributeTensor(f field) (*tensorProto, error) {
	message, err := f.message()
	if err != nil {
		return nil, err
	}
	return decodeTensor(message)
}

// attribute finds a setting of a node; nil if it has none of that name.
func (n *nodeProto) attribute(name string) *attributeProto {
	i := slices.IndexFunc(n.attributes, func(a *attributeProto) bool { return a.name == name })
	if i < 0 {
		return nil
	}
	return n.attributes[i]
}
