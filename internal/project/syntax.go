package project

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/freshet-ml/freshet/embed"
)

// Limits of the syntax. The YAML library takes time quadratic in depth and width, so they are checked on its tokens.
const (
	maxTokens = 100_000
	maxDepth  = 32
)

type nodeKind uint8

const (
	nullNode nodeKind = iota
	scalarNode
	listNode
	mapNode
)

// node is one value of the file, with its place.
type node struct {
	kind    nodeKind
	text    string // of a scalar
	quoted  bool   // a scalar that was quoted or a block: a text for certain
	style   token.Type
	entries []entry // of a map, in the order of the file
	items   []*node // of a list
	line    int     // from 1
	column  int     // from 1, in code points
}

// entry is one key of a map.
type entry struct {
	key   *node
	value *node
}

// reader reads one file and gathers what is wrong with it.
type reader struct {
	file     string
	text     []byte
	embedder embed.Embedder
	words    Words
	root     *node // the file as a map
	issues   Errors
}

// document reads the file as YAML; ok is false if that failed, which is then reported.
func (r *reader) document() (root *node, ok bool) {
	if !utf8.Valid(r.text) {
		r.issueAt(1, 1, "a project file must be UTF-8 text")
		return nil, false
	}
	tokens := lexer.Tokenize(string(r.text))
	if !r.checkTokens(tokens) {
		return nil, false
	}
	// Keys that stand twice are found by us: the library stops at the first.
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntaxError(err)
		return nil, false
	}
	var bodies []ast.Node
	for _, d := range file.Docs {
		if _, directive := d.Body.(*ast.DirectiveNode); d.Body != nil && !directive {
			bodies = append(bodies, d.Body)
		}
	}
	if len(bodies) == 0 {
		r.issueAt(1, 1, "the file is empty; it must say at least project: NAME and entities:")
		return nil, false
	}
	if len(bodies) > 1 {
		p := bodies[1].GetToken().Position
		r.issueAt(p.Line, p.Column, "a second document begins here; a project file is one document")
		return nil, false
	}
	before := len(r.issues)
	root = r.node(bodies[0], 0)
	return root, len(r.issues) == before
}

// checkTokens bounds what the parser is given.
func (r *reader) checkTokens(tokens token.Tokens) bool {
	if len(tokens) > maxTokens {
		r.issueAt(1, 1, "the file has more than %d words and signs", maxTokens)
		return false
	}
	flow, dashes, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			dashes, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType:
			dashes++
		}
		if flow > maxDepth || dashes > maxDepth {
			r.issueAt(t.Position.Line, t.Position.Column, "nested more than %d deep", maxDepth)
			return false
		}
	}
	return true
}

func (r *reader) syntaxError(err error) {
	syntax, ok := errors.AsType[*yaml.SyntaxError](err)
	if !ok || syntax.Token == nil {
		message, _, _ := strings.Cut(err.Error(), "\n")
		r.issueAt(1, 1, "not YAML: %s", message)
		return
	}
	p := syntax.Token.Position
	r.issueAt(max(p.Line, 1), max(p.Column, 1), "not YAML: %s", syntax.Message)
}

// node makes our value of the library's; what is not of plain data is reported and read as null.
func (r *reader) node(n ast.Node, depth int) *node {
	p := n.GetToken().Position
	out := &node{line: p.Line, column: p.Column, style: n.GetToken().Type}
	if depth > maxDepth {
		r.issue(out, "nested more than %d deep", maxDepth)
		return out
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		out.kind = mapNode
		if len(n.Values) > 0 && !n.IsFlowStyle {
			key := n.Values[0].Key.GetToken().Position
			out.line, out.column = key.Line, key.Column
		}
		r.entries(out, n.Values, depth)
	case *ast.MappingValueNode:
		out.kind = mapNode
		key := n.Key.GetToken().Position
		out.line, out.column = key.Line, key.Column
		r.entries(out, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		out.kind = listNode
		for _, v := range n.Values {
			out.items = append(out.items, r.node(v, depth+1))
		}
	case *ast.NullNode:
	case *ast.StringNode:
		out.kind, out.text, out.quoted = scalarNode, n.Value, out.style != token.StringType
	case *ast.LiteralNode:
		out.kind, out.text, out.quoted = scalarNode, n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = scalarNode, n.GetToken().Value
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		r.issue(out, "anchors, aliases and merge keys (& * <<) are not read; write the value out")
	case *ast.TagNode:
		r.issue(out, "tags (!) are not read; leave it out")
	default:
		r.issue(out, "this kind of YAML is not read here")
	}
	return out
}

func (r *reader) entries(out *node, values []*ast.MappingValueNode, depth int) {
	seen := make(map[string]*node, len(values))
	for _, v := range values {
		key := r.node(v.Key, depth+1)
		if key.kind != scalarNode {
			if !r.reported(key) {
				r.issue(key, "a key must be a name")
			}
			continue
		}
		if earlier, twice := seen[key.text]; twice {
			r.issue(key, "%s: stands twice; it was first on line %d", key.text, earlier.line)
			continue
		}
		seen[key.text] = key
		out.entries = append(out.entries, entry{key: key, value: r.node(v.Value, depth+1)})
	}
}
