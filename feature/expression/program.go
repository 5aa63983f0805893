package expression

// The closures of a program. Each is given the list of values; ok is false for null.
type (
	numberFunc func(s []Value) (v float64, ok bool) // Number, Time (milliseconds)
	boolFunc   func(s []Value) (v, ok bool)
	textFunc   func(s []Value) (v string, ok bool)
	valueFunc  func(s []Value) Value // List, Vector, Map
)

// Program is a compiled expression. It is immutable and may be run concurrently. The list of values that it reads must
// hold all slots that its environment gave; a slot that holds a value of another kind than was declared counts as null.
type Program struct {
	typ Type
	// One of these is set, according to typ.Kind.
	number numberFunc
	bool   boolFunc
	text   textFunc
	value  valueFunc
	// constant: reads no slot.
	constant bool
	// slot is the index of the slot that the program does nothing but read; -1 otherwise.
	slot int
}

// Type is the type of the result.
func (p *Program) Type() Type { return p.typ }

// Number is the result of a Number, a Bool (0 and 1) or a Time (milliseconds); ok is false for null and for programs of
// other types.
func (p *Program) Number(slots []Value) (v float64, ok bool) {
	switch {
	case p.number != nil:
		return p.number(slots)
	case p.bool != nil:
		b, ok := p.bool(slots)
		if b {
			return 1, ok
		}
		return 0, ok
	}
	return 0, false
}

// Bool is the result of a Bool; ok is false for null and for programs of other types.
func (p *Program) Bool(slots []Value) (v, ok bool) {
	if p.bool == nil {
		return false, false
	}
	return p.bool(slots)
}

// Text is the result of a String; ok is false for null and for programs of other types.
func (p *Program) Text(slots []Value) (v string, ok bool) {
	if p.text == nil {
		return "", false
	}
	return p.text(slots)
}

// Eval is the result, whatever its type. Nothing is allocated: lists, vectors and maps are those of the slots.
func (p *Program) Eval(slots []Value) Value {
	switch {
	case p.number != nil:
		if v, ok := p.number(slots); ok {
			return Value{Kind: p.typ.Kind, Num: v}
		}
	case p.bool != nil:
		if v, ok := p.bool(slots); ok {
			return boolValue(v)
		}
	case p.text != nil:
		if v, ok := p.text(slots); ok {
			return Value{Kind: String, Str: v}
		}
	case p.value != nil:
		return p.value(slots)
	}
	return Value{}
}

func boolValue(v bool) Value {
	if v {
		return Value{Kind: Bool, Num: 1}
	}
	return Value{Kind: Bool}
}

// read is the program that gives the value of one slot.
func read(s Slot) *Program {
	p := &Program{typ: s.Type, slot: s.Index}
	i, kind := s.Index, s.Type.Kind
	switch kind {
	case Number, Time:
		p.number = func(s []Value) (float64, bool) { return s[i].Num, s[i].Kind == kind }
	case Bool:
		p.bool = func(s []Value) (bool, bool) {
			ok := s[i].Kind == Bool
			return ok && s[i].Num != 0, ok
		}
	case String:
		p.text = func(s []Value) (string, bool) { return s[i].Str, s[i].Kind == String }
	default:
		p.value = func(s []Value) Value {
			if s[i].Kind != kind {
				return Value{}
			}
			return s[i]
		}
	}
	return p
}

func constantNumber(v float64, t Type) *Program {
	return &Program{typ: t, slot: -1, constant: true, number: func([]Value) (float64, bool) { return v, true }}
}

func constantBool(v bool) *Program {
	return &Program{typ: Type{Kind: Bool}, slot: -1, constant: true, bool: func([]Value) (bool, bool) { return v, true }}
}

func constantText(v string) *Program {
	return &Program{typ: Type{Kind: String}, slot: -1, constant: true, text: func([]Value) (string, bool) { return v, true }}
}

func finite(v float64) (float64, bool) {
	// Inf − Inf and NaN − NaN are NaN.
	return v, v-v == 0
}

func ofNumber(t Type, f numberFunc) *Program { return &Program{typ: t, slot: -1, number: f} }

func ofBool(f boolFunc) *Program { return &Program{typ: Type{Kind: Bool}, slot: -1, bool: f} }

// folded is p computed once if all it depends on is constant.
func folded(p *Program, parts ...*Program) *Program {
	for _, part := range parts {
		if !part.constant {
			return p
		}
	}
	p.constant = true
	switch {
	case p.number != nil:
		v, ok := p.number(nil)
		p.number = func([]Value) (float64, bool) { return v, ok }
	case p.bool != nil:
		v, ok := p.bool(nil)
		p.bool = func([]Value) (bool, bool) { return v, ok }
	case p.text != nil:
		v, ok := p.text(nil)
		p.text = func([]Value) (string, bool) { return v, ok }
	}
	return p
}
