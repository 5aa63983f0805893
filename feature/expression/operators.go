package expression

func (c *compiler) operator(t *Tree) (*Program, error) {
	if t.text == "in" {
		return c.in(t)
	}
	args, err := c.compileAll(t.args)
	if err != nil {
		return nil, err
	}
	var p *Program
	switch {
	case t.text == "not":
		p, err = not(t, args[0])
	case len(args) == 1:
		p, err = negative(t, args[0])
	case t.text == "and" || t.text == "or":
		p, err = logic(t, args[0], args[1])
	case t.text == "+" || t.text == "-" || t.text == "*" || t.text == "/":
		p, err = arithmetic(t, args[0], args[1])
	default:
		p, err = comparison(t, args[0], args[1])
	}
	if err != nil {
		return nil, err
	}
	return folded(p, args...), nil
}

func not(t *Tree, x *Program) (*Program, error) {
	if x.typ.Kind != Bool {
		return nil, errorAt(t.offset, "not needs a bool, not %s; put a comparison after it in parentheses", x.typ)
	}
	a := x.bool
	return ofBool(func(s []Value) (bool, bool) {
		v, ok := a(s)
		return ok && !v, ok
	}), nil
}

func negative(t *Tree, x *Program) (*Program, error) {
	if x.typ.Kind != Number {
		return nil, errorAt(t.offset, "- needs a number, not %s", x.typ)
	}
	a := x.number
	return ofNumber(x.typ, func(s []Value) (float64, bool) {
		v, ok := a(s)
		return -v, ok
	}), nil
}

// logic is SQL's: false decides and, true decides or, also beside null.
func logic(t *Tree, x, y *Program) (*Program, error) {
	if x.typ.Kind != Bool || y.typ.Kind != Bool {
		return nil, errorAt(t.offset, "%s needs two bools, not %s and %s", t.text, x.typ, y.typ)
	}
	a, b, decides := x.bool, y.bool, t.text == "or"
	return ofBool(func(s []Value) (bool, bool) {
		v, vok := a(s)
		if vok && v == decides {
			return v, true
		}
		w, wok := b(s)
		if wok && w == decides {
			return w, true
		}
		return vok && wok && !decides, vok && wok
	}), nil
}

func arithmetic(t *Tree, x, y *Program) (*Program, error) {
	if x.typ.Kind != Number || y.typ.Kind != Number {
		return nil, errorAt(t.offset, "%s needs two numbers, not %s and %s", t.text, x.typ, y.typ)
	}
	typ, a, b := Type{Kind: Number, Int: x.typ.Int && y.typ.Int}, x.number, y.number
	switch t.text {
	case "+":
		return ofNumber(typ, func(s []Value) (float64, bool) {
			v, ok := a(s)
			if !ok {
				return 0, false
			}
			w, ok := b(s)
			if !ok {
				return 0, false
			}
			return finite(v + w)
		}), nil
	case "-":
		return ofNumber(typ, func(s []Value) (float64, bool) {
			v, ok := a(s)
			if !ok {
				return 0, false
			}
			w, ok := b(s)
			if !ok {
				return 0, false
			}
			return finite(v - w)
		}), nil
	case "*":
		return ofNumber(typ, func(s []Value) (float64, bool) {
			v, ok := a(s)
			if !ok {
				return 0, false
			}
			w, ok := b(s)
			if !ok {
				return 0, false
			}
			return finite(v * w)
		}), nil
	}
	return ofNumber(Type{Kind: Number}, func(s []Value) (float64, bool) {
		v, ok := a(s)
		if !ok {
			return 0, false
		}
		w, ok := b(s)
		if !ok || w == 0 {
			return 0, false
		}
		return finite(v / w)
	}), nil
}

func comparison(t *Tree, x, y *Program) (*Program, error) {
	equality := t.text == "==" || t.text == "!="
	kind := x.typ.Kind
	switch {
	case kind != y.typ.Kind:
		return nil, errorAt(t.offset, "%s needs two values of one type, not %s and %s", t.text, x.typ, y.typ)
	case kind == Number, kind == Time:
		return compareNumbers(t.text, x, y), nil
	case kind == String:
		return compareTexts(t.text, x, y), nil
	case kind == Bool && equality:
		return compareBools(t.text, x, y), nil
	}
	return nil, errorAt(t.offset, "%s cannot compare values of type %s", t.text, x.typ)
}

// The sign of a comparison, as bits: which of less, equal and greater make it true.
const (
	less = 1 << iota
	equal
	greater
)

func accepts(operator string) uint8 {
	switch operator {
	case "<":
		return less
	case "<=":
		return less | equal
	case ">":
		return greater
	case ">=":
		return greater | equal
	case "==":
		return equal
	}
	return less | greater
}

func sign[T float64 | string](v, w T) uint8 {
	switch {
	case v < w:
		return less
	case v == w:
		return equal
	}
	return greater
}

func compareNumbers(operator string, x, y *Program) *Program {
	want := accepts(operator)
	if x.slot >= 0 && y.constant {
		// A field against a literal is what conditions mostly are.
		if w, ok := y.number(nil); ok {
			i, kind := x.slot, x.typ.Kind
			return ofBool(func(s []Value) (bool, bool) {
				return s[i].Kind == kind && sign(s[i].Num, w)&want != 0, s[i].Kind == kind
			})
		}
	}
	a, b := x.number, y.number
	return ofBool(func(s []Value) (bool, bool) {
		v, ok := a(s)
		if !ok {
			return false, false
		}
		w, ok := b(s)
		return ok && sign(v, w)&want != 0, ok
	})
}

func compareTexts(operator string, x, y *Program) *Program {
	want := accepts(operator)
	if x.slot >= 0 && y.constant && (operator == "==" || operator == "!=") {
		if w, ok := y.text(nil); ok {
			i, same := x.slot, operator == "=="
			return ofBool(func(s []Value) (bool, bool) {
				ok := s[i].Kind == String
				return ok && (s[i].Str == w) == same, ok
			})
		}
	}
	a, b := x.text, y.text
	return ofBool(func(s []Value) (bool, bool) {
		v, ok := a(s)
		if !ok {
			return false, false
		}
		w, ok := b(s)
		return ok && sign(v, w)&want != 0, ok
	})
}

func compareBools(operator string, x, y *Program) *Program {
	a, b, same := x.bool, y.bool, operator == "=="
	return ofBool(func(s []Value) (bool, bool) {
		v, ok := a(s)
		if !ok {
			return false, false
		}
		w, ok := b(s)
		return ok && (v == w) == same, ok
	})
}

// in compiles x in [a, b, …] and x in list. As in SQL, a null on the left gives null, and so does a null in the list
// unless x is found.
func (c *compiler) in(t *Tree) (*Program, error) {
	x, err := c.compile(t.args[0])
	if err != nil {
		return nil, err
	}
	if !isScalar(x.typ.Kind) {
		return nil, errorAt(t.offset, "in looks for a number, text, bool or time, not for %s", x.typ)
	}
	if t.args[1].form == listForm {
		return c.inLiteral(t, x)
	}
	list, err := c.compile(t.args[1])
	if err != nil {
		return nil, err
	}
	if list.typ.Kind != List || list.typ.Elem != x.typ.Kind {
		return nil, errorAt(t.offset, "in needs a list of %s on its right, not %s", x.typ.Kind, list.typ)
	}
	elements := list.value
	return ofBool(func(s []Value) (bool, bool) {
		v := x.Eval(s)
		l := elements(s)
		if v.Kind == Null || l.Kind == Null {
			return false, false
		}
		known := true
		for i := range l.List {
			if equalScalars(&v, &l.List[i]) {
				return true, true
			}
			known = known && l.List[i].Kind != Null
		}
		return false, known
	}), nil
}

func (c *compiler) inLiteral(t *Tree, x *Program) (*Program, error) {
	elements, err := c.compileAll(t.args[1].args)
	if err != nil {
		return nil, err
	}
	if len(elements) == 0 {
		return nil, errorAt(t.args[1].offset, "the list after in is empty")
	}
	for i, e := range elements {
		if e.typ.Kind != x.typ.Kind {
			return nil, errorAt(t.args[1].args[i].offset, "in looks for a %s, but its list holds a %s", x.typ.Kind, e.typ)
		}
	}
	p := ofBool(func(s []Value) (bool, bool) {
		v := x.Eval(s)
		if v.Kind == Null {
			return false, false
		}
		known := true
		for _, e := range elements {
			w := e.Eval(s)
			if equalScalars(&v, &w) {
				return true, true
			}
			known = known && w.Kind != Null
		}
		return false, known
	})
	return folded(p, append(elements, x)...), nil
}

func isScalar(k Kind) bool { return k == Number || k == Bool || k == String || k == Time }

func equalScalars(v, w *Value) bool {
	if v.Kind != w.Kind {
		return false
	}
	if v.Kind == String {
		return v.Str == w.Str
	}
	return v.Num == w.Num
}
