package expression

// Program is a compiled expression. It is immutable and may be run concurrently. The lists of values that it reads must
// hold all slots of its environment.
type Program struct {
	typ Type
}

// Type is the type of the result.
func (p *Program) Type() Type { return p.typ }

// Number is the result of a Number, Bool (0 and 1) or Time (milliseconds); ok is false for null and for other types.
func (p *Program) Number(slots []Value) (v float64, ok bool) { return 0, false }

// Bool is the result of a Bool; ok is false for null and for other types.
func (p *Program) Bool(slots []Value) (v, ok bool) { return false, false }

// Text is the result of a String; ok is false for null and for other types.
func (p *Program) Text(slots []Value) (v string, ok bool) { return "", false }

// Eval is the result, whatever its type. Nothing is allocated; lists and vectors are those of the slots.
func (p *Program) Eval(slots []Value) Value { return Value{} }

// Compile types the tree in env and compiles it.
func (t *Tree) Compile(env Env) (*Program, error) { return nil, errorAt(0, "not yet") }
