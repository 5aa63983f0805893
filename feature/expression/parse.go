package expression

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// Limits of one expression.
const (
	MaxNodes = 200     // names, literals, operators and calls; a call counts one and its arguments
	MaxBytes = 8 << 10 // of its text
	maxDepth = 200     // of parentheses and brackets
)

// Parse reads one expression. It checks the syntax and the limits, not the names and types; Compile does.
func Parse(src string) (*Tree, error) {
	if err := checkText(src); err != nil {
		return nil, err
	}
	node, err := parse(src)
	if err != nil {
		return nil, err
	}
	c := converter{src: src}
	t, err := c.tree(node)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// checkText refuses what should not reach the parser, which recurses as deep as the text asks.
func checkText(src string) error {
	switch {
	case len(src) > MaxBytes:
		return errorAt(MaxBytes, "an expression may have at most %d bytes, not %d", MaxBytes, len(src))
	case !utf8.ValidString(src):
		return errorAt(0, "an expression must be UTF-8 text")
	case strings.TrimSpace(src) == "":
		return errorAt(0, "an expression is missing")
	}
	depth, quote := 0, byte(0)
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case quote != 0 && c == '\\' && quote != '`':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '(' || c == '[' || c == '{':
			depth++
			if depth > maxDepth {
				return errorAt(i, "parentheses may be nested %d deep at most", maxDepth)
			}
		case c == ')' || c == ']' || c == '}':
			depth--
		}
	}
	return nil
}

// parse gives the library's tree. Its builtins are off: each of their names is declared as a function, so that
// count(…), sum(…), map(…) are calls like any other.
func parse(src string) (node ast.Node, err error) {
	// The library's parser panics on no text known to us, but it is fed by users.
	defer func() {
		if p := recover(); p != nil {
			err = errorAt(0, "cannot be read as an expression (%v)", p)
		}
	}()
	config := &conf.Config{Functions: make(conf.FunctionsTable, len(builtin.Builtins)), DisableIfOperator: true}
	for _, b := range builtin.Builtins {
		config.Functions[b.Name] = nil
	}
	tree, err := parser.ParseWithConfig(src, config)
	if err == nil {
		return tree.Node, nil
	}
	if e, ok := errors.AsType[*file.Error](err); ok {
		return nil, syntaxError(src, e)
	}
	return nil, errorAt(0, "cannot be read as an expression: %v", err)
}

// syntaxError says what the parser stumbled over in the words of the source instead of the library's names of tokens.
func syntaxError(src string, e *file.Error) error {
	from, to := byteOffset(src, e.From), byteOffset(src, e.To)
	switch {
	case !strings.HasPrefix(e.Message, "unexpected token"):
		return errorAt(from, "cannot be read as an expression: %s", e.Message)
	case strings.Contains(e.Message, "EOF") || from >= to:
		return errorAt(len(src), "the expression ends too early")
	}
	return errorAt(from, "unexpected %s; is an operator, a comma or a parenthesis missing?", src[from:to])
}

// byteOffset turns the library's position in code points into one in bytes.
func byteOffset(src string, runes int) int {
	for i := range src {
		if runes == 0 {
			return i
		}
		runes--
	}
	return len(src)
}

// converter makes our tree of the library's and refuses by name what is not of the language.
type converter struct {
	src   string
	nodes int
}

func (c *converter) tree(n ast.Node) (*Tree, error) {
	if c.nodes++; c.nodes > MaxNodes {
		return nil, errorAt(c.offset(n), "an expression may have at most %d nodes", MaxNodes)
	}
	t := &Tree{offset: c.offset(n)}
	switch n := n.(type) {
	case *ast.IntegerNode:
		t.form, t.num, t.int = numberForm, float64(n.Value), true
	case *ast.FloatNode:
		t.form, t.num = numberForm, n.Value
	case *ast.BoolNode:
		t.form = boolForm
		if n.Value {
			t.num = 1
		}
	case *ast.StringNode:
		t.form, t.text = textForm, n.Value
	case *ast.IdentifierNode:
		t.form, t.text = nameForm, n.Value
	case *ast.MemberNode:
		return c.member(n)
	case *ast.CallNode:
		return c.call(t, n)
	case *ast.UnaryNode:
		return c.unary(t, n)
	case *ast.BinaryNode:
		return c.binary(t, n)
	case *ast.ConditionalNode:
		// The library places a condition at its end.
		t.form, t.offset = conditionForm, c.offset(n.Cond)
		return c.with(t, n.Cond, n.Exp1, n.Exp2)
	case *ast.ArrayNode:
		t.form = listForm
		return c.with(t, n.Nodes...)
	default:
		return nil, c.refuse(n)
	}
	return t, nil
}

func (c *converter) with(t *Tree, args ...ast.Node) (*Tree, error) {
	t.args = make([]*Tree, len(args))
	for i, n := range args {
		a, err := c.tree(n)
		if err != nil {
			return nil, err
		}
		t.args[i] = a
	}
	return t, nil
}

// member makes one dotted name of a chain a.b.c.
func (c *converter) member(n *ast.MemberNode) (*Tree, error) {
	name, first, err := c.dotted(n)
	if err != nil {
		return nil, err
	}
	return &Tree{form: nameForm, text: name, offset: c.offset(first)}, nil
}

func (c *converter) dotted(n ast.Node) (name string, first ast.Node, err error) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, n, nil
	case *ast.MemberNode:
		property, ok := n.Property.(*ast.StringNode)
		// a.b and a["b"] differ only in where the member stands: at its property, or at the bracket.
		if !ok || property.Location() != n.Location() {
			return "", nil, errorAt(c.offset(n), "[ ] after a value is not part of the language")
		}
		name, first, err = c.dotted(n.Node)
		return name + "." + property.Value, first, err
	}
	return "", nil, errorAt(c.offset(n), "a dot may only stand between two names")
}

func (c *converter) call(t *Tree, n *ast.CallNode) (*Tree, error) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		name, _, err := c.dotted(n.Callee)
		if err != nil {
			return nil, err
		}
		return nil, errorAt(t.offset, "%s: there are no functions with a dot", name)
	}
	if len(n.Arguments) > 0 && n.Arguments[0].Location().From < n.Location().From {
		// An argument before its function was piped into it.
		return nil, errorAt(t.offset, "| is not part of the language; write %s(…)", callee.Value)
	}
	t.form, t.text = callForm, callee.Value
	return c.with(t, n.Arguments...)
}

func (c *converter) unary(t *Tree, n *ast.UnaryNode) (*Tree, error) {
	switch n.Operator {
	case "-", "not":
		t.form, t.text = operatorForm, n.Operator
		return c.with(t, n.Node)
	case "!":
		return nil, errorAt(t.offset, "! is not part of the language; write not")
	}
	return nil, errorAt(t.offset, "%s before a value is not part of the language", n.Operator)
}

func (c *converter) binary(t *Tree, n *ast.BinaryNode) (*Tree, error) {
	switch n.Operator {
	case "+", "-", "*", "/", "==", "!=", "<", "<=", ">", ">=", "in", "and", "or":
		t.form, t.text = operatorForm, n.Operator
		return c.with(t, n.Left, n.Right)
	case "&&":
		if isChain(n) {
			return nil, errorAt(t.offset, "comparisons cannot be chained; write a < b and b < c")
		}
		return nil, errorAt(t.offset, "&& is not part of the language; write and")
	case "||":
		return nil, errorAt(t.offset, "|| is not part of the language; write or")
	case "??":
		return nil, errorAt(t.offset, "?? is not part of the language; write coalesce(…, …)")
	case "**", "^":
		return nil, errorAt(t.offset, "%s is not part of the language; multiply instead", n.Operator)
	}
	return nil, errorAt(t.offset, "%s is not part of the language", n.Operator)
}

// isChain tells a < b < c, of which the library makes (a < b) && (b < c) with one b, from a && that was written.
func isChain(n *ast.BinaryNode) bool {
	right, ok := n.Right.(*ast.BinaryNode)
	if !ok {
		return false
	}
	left, ok := n.Left.(*ast.BinaryNode)
	if ok && left.Operator == "&&" {
		left, ok = left.Right.(*ast.BinaryNode)
	}
	return ok && left.Right == right.Left
}

func (c *converter) refuse(n ast.Node) error {
	what := "this"
	switch n := n.(type) {
	case *ast.NilNode:
		return errorAt(c.offset(n), "nil is not part of the language; a missing value is handled by coalesce(…, …)")
	case *ast.BuiltinNode:
		return errorAt(c.offset(n), "%s: no such function", n.Name)
	case *ast.ChainNode:
		what = "?."
	case *ast.SliceNode:
		what = "a slice [:]"
	case *ast.MapNode:
		what = "a map { }"
	case *ast.VariableDeclaratorNode:
		what = "let"
	case *ast.SequenceNode:
		what = "; between expressions"
	case *ast.PointerNode, *ast.PredicateNode:
		what = "a closure"
	case *ast.BytesNode:
		what = `b"…"`
	}
	return errorAt(c.offset(n), "%s is not part of the language", what)
}

func (c *converter) offset(n ast.Node) int { return byteOffset(c.src, n.Location().From) }
