package expression

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

type form uint8

const (
	numberForm form = iota
	boolForm
	textForm
	nameForm
	callForm // of a function, text is its name
	operatorForm
	conditionForm // args: condition, then, else
	listForm
)

// Tree is a parsed expression, or a part of one. It is immutable.
type Tree struct {
	form   form
	text   string // name, function, operator or text
	num    float64
	int    bool // a number written without fraction and exponent
	args   []*Tree
	offset int // in bytes from the start of the source
}

// Offset is where the tree stands in its source, in bytes.
func (t *Tree) Offset() int { return t.offset }

// Number is the value of a literal number, also a negative one; ok is false for everything else.
func (t *Tree) Number() (v float64, ok bool) {
	if t.form == operatorForm && t.text == "-" && len(t.args) == 1 {
		v, ok = t.args[0].Number()
		return -v, ok
	}
	return t.num, t.form == numberForm
}

// Text is the value of a literal text; ok is false for everything else.
func (t *Tree) Text() (v string, ok bool) {
	if t.form != textForm {
		return "", false
	}
	return t.text, true
}

// Call is the name and the arguments if the tree is the call of a function; ok is false for everything else.
func (t *Tree) Call() (name string, args []*Tree, ok bool) {
	if t.form != callForm {
		return "", nil, false
	}
	return t.text, t.args, true
}

// Names lists the names that occur in the tree, inside calls too, each once, in order of appearance. Names of functions
// are not among them.
func (t *Tree) Names() []string {
	var names []string
	t.walk(func(n *Tree) {
		if n.form == nameForm && !slices.Contains(names, n.text) {
			names = append(names, n.text)
		}
	})
	return names
}

func (t *Tree) walk(visit func(*Tree)) {
	visit(t)
	for _, a := range t.args {
		a.walk(visit)
	}
}

// String is the canonical text: the same for two trees that differ in spaces, parentheses and quotes only. Parse reads
// it back to an equal tree.
func (t *Tree) String() string {
	var b strings.Builder
	t.write(&b)
	return b.String()
}

func (t *Tree) write(b *strings.Builder) {
	switch t.form {
	case numberForm:
		b.WriteString(t.numberText())
	case boolForm:
		b.WriteString(strconv.FormatBool(t.num != 0))
	case textForm:
		b.WriteString(strconv.QuoteToASCII(t.text))
	case nameForm:
		b.WriteString(t.text)
	case callForm:
		b.WriteString(t.text)
		t.writeArgs(b, "(", ", ", ")")
	case listForm:
		t.writeArgs(b, "[", ", ", "]")
	case conditionForm:
		b.WriteByte('(')
		t.args[0].write(b)
		b.WriteString(" ? ")
		t.args[1].write(b)
		b.WriteString(" : ")
		t.args[2].write(b)
		b.WriteByte(')')
	case operatorForm:
		if len(t.args) == 1 {
			t.writeArgs(b, "("+t.text+" ", "", ")")
			return
		}
		t.writeArgs(b, "(", " "+t.text+" ", ")")
	}
}

func (t *Tree) writeArgs(b *strings.Builder, open, between, end string) {
	b.WriteString(open)
	for i, a := range t.args {
		if i > 0 {
			b.WriteString(between)
		}
		a.write(b)
	}
	b.WriteString(end)
}

// numberText keeps 5 and 5.0 apart: they differ in type.
func (t *Tree) numberText() string {
	if t.int {
		return strconv.FormatFloat(t.num, 'f', -1, 64)
	}
	s := strconv.FormatFloat(t.num, 'g', -1, 64)
	if t.num == math.Trunc(t.num) && !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}
