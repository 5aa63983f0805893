package expression

import (
	"slices"
	"strconv"
)

// String is the type in the words of a project file: "int", "float", "string", "list of string", "vector 3".
func (t Type) String() string {
	switch t.Kind {
	case Number:
		if t.Int {
			return "int"
		}
		return "float"
	case List:
		return "list of " + Type{Kind: t.Elem}.String()
	case Vector:
		return "vector " + strconv.Itoa(t.Dim)
	}
	return t.Kind.String()
}

// String is the kind in the words of a project file.
func (k Kind) String() string {
	return [...]string{"null", "number", "bool", "string", "time", "list", "vector", "map"}[k]
}

// Compile types the tree in env and compiles it. Every error holds an *Error: an unknown name or function with the
// nearest one that env knows, or operands of the wrong type.
func (t *Tree) Compile(env Env) (*Program, error) {
	c := compiler{env: env}
	return c.compile(t)
}

type compiler struct{ env Env }

func (c *compiler) compile(t *Tree) (*Program, error) {
	switch t.form {
	case numberForm:
		return constantNumber(t.num, Type{Kind: Number, Int: t.int}), nil
	case boolForm:
		return constantBool(t.num != 0), nil
	case textForm:
		return constantText(t.text), nil
	case nameForm:
		return c.name(t)
	case callForm:
		return c.call(t)
	case conditionForm:
		return c.condition(t)
	case operatorForm:
		return c.operator(t)
	}
	return nil, errorAt(t.offset, "a list [ ] may only stand after in")
}

func (c *compiler) compileAll(ts []*Tree) ([]*Program, error) {
	ps := make([]*Program, len(ts))
	for i, t := range ts {
		p, err := c.compile(t)
		if err != nil {
			return nil, err
		}
		ps[i] = p
	}
	return ps, nil
}

func (c *compiler) name(t *Tree) (*Program, error) {
	if slot, ok := c.env.Resolve(t.text); ok {
		return read(slot), nil
	}
	if e, ok := c.env.(Explainer); ok {
		if err := e.Explain(t.text); err != nil {
			return nil, placed(t.offset, err)
		}
	}
	return nil, errorAt(t.offset, "%s: no such name here%s", t.text, Hint(t.text, c.env.Names()))
}

func (c *compiler) call(t *Tree) (*Program, error) {
	if t.text == "min" || t.text == "max" {
		return c.extreme(t)
	}
	if f, ok := scalars[t.text]; ok {
		return c.scalar(t, f)
	}
	if s, ok := c.env.(ScalarEnv); ok {
		if f, ok := s.Scalar(t.text); ok {
			return c.added(t, f)
		}
	}
	p, ok, err := c.ask(t)
	if ok || err != nil {
		return p, err
	}
	names := slices.Concat(c.env.Functions(), scalarNames())
	return nil, errorAt(t.offset, "%s: no such function here%s", t.text, Hint(t.text, names))
}

// ask leaves the meaning of a call to the environment.
func (c *compiler) ask(t *Tree) (p *Program, ok bool, err error) {
	slot, ok, err := c.env.Call(t.text, t.args)
	if err != nil {
		return nil, ok, placed(t.offset, err)
	}
	if !ok {
		return nil, false, nil
	}
	return read(slot), true, nil
}

// extreme compiles min and max: over fields of events they are aggregates, which the environment knows; over anything
// that already has a value here, the least and the largest.
func (c *compiler) extreme(t *Tree) (*Program, error) {
	if c.isAggregate(t) {
		if p, ok, err := c.ask(t); ok || err != nil {
			return p, err
		}
	}
	return c.scalar(t, scalars[t.text])
}

// isAggregate: of one value there is no least, so that a call with one argument asks for the least of the window. With
// more, the first argument decides: names without a value here are fields.
func (c *compiler) isAggregate(t *Tree) bool {
	if !slices.Contains(c.env.Functions(), t.text) {
		return false
	}
	return len(t.args) == 1 || len(t.args) > 1 && !c.hasValue(t.args[0])
}

// hasValue says whether all names in t have a value here. Those inside a call of the environment, such as an aggregate,
// are its own matter.
func (c *compiler) hasValue(t *Tree) bool {
	switch t.form {
	case nameForm:
		_, ok := c.env.Resolve(t.text)
		return ok
	case callForm:
		if _, ok := scalars[t.text]; !ok || c.isExtreme(t) && c.isAggregate(t) {
			return true
		}
	}
	return !slices.ContainsFunc(t.args, func(a *Tree) bool { return !c.hasValue(a) })
}

func (c *compiler) isExtreme(t *Tree) bool { return t.text == "min" || t.text == "max" }

// added compiles a function that the environment brings.
func (c *compiler) added(t *Tree, f Scalar) (*Program, error) {
	args, err := c.compileAll(t.args)
	if err != nil {
		return nil, err
	}
	if len(args) != 1 || args[0].typ.Kind != f.Arg.Kind {
		return nil, errorAt(t.offset, "%s takes one %s, not %s", t.text, f.Arg.Kind, typesOf(args))
	}
	x, apply := args[0].Number, f.Apply
	value := func(s []Value) (float64, bool) {
		v, ok := x(s)
		if !ok {
			return 0, false
		}
		return finite(apply(v))
	}
	if f.Result.Kind == Bool {
		return folded(ofBool(func(s []Value) (bool, bool) {
			v, ok := value(s)
			return v != 0, ok
		}), args...), nil
	}
	return folded(ofNumber(f.Result, value), args...), nil
}

func (c *compiler) condition(t *Tree) (*Program, error) {
	parts, err := c.compileAll(t.args)
	if err != nil {
		return nil, err
	}
	if parts[0].typ.Kind != Bool {
		return nil, errorAt(t.args[0].offset, "before ? there must be a bool, not %s", parts[0].typ)
	}
	typ, ok := common(parts[1].typ, parts[2].typ)
	if !ok {
		return nil, errorAt(t.args[2].offset, "the branches of ? : must have one type, not %s and %s", parts[1].typ, parts[2].typ)
	}
	p := &Program{typ: typ, slot: -1}
	cond, yes, no := parts[0].bool, parts[1], parts[2]
	switch typ.Kind {
	case Number, Time:
		a, b := yes.number, no.number
		p.number = func(s []Value) (float64, bool) {
			v, ok := cond(s)
			switch {
			case !ok:
				return 0, false
			case v:
				return a(s)
			}
			return b(s)
		}
	case Bool:
		a, b := yes.bool, no.bool
		p.bool = func(s []Value) (bool, bool) {
			v, ok := cond(s)
			switch {
			case !ok:
				return false, false
			case v:
				return a(s)
			}
			return b(s)
		}
	case String:
		a, b := yes.text, no.text
		p.text = func(s []Value) (string, bool) {
			v, ok := cond(s)
			switch {
			case !ok:
				return "", false
			case v:
				return a(s)
			}
			return b(s)
		}
	default:
		a, b := yes.value, no.value
		p.value = func(s []Value) Value {
			v, ok := cond(s)
			switch {
			case !ok:
				return Value{}
			case v:
				return a(s)
			}
			return b(s)
		}
	}
	return folded(p, parts...), nil
}

// common is the type that holds values of both; ok is false if there is none.
func common(a, b Type) (t Type, ok bool) {
	whole := a.Int && b.Int
	a.Int, b.Int = whole, whole
	return a, a == b
}

func typesOf(ps []*Program) string {
	if len(ps) == 0 {
		return "nothing"
	}
	var b []byte
	for i, p := range ps {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, p.typ.String()...)
	}
	return string(b)
}
