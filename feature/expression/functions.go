package expression

import (
	"maps"
	"math"
	"slices"
	"unicode/utf8"
)

// function is a scalar function of the language.
type function struct {
	takes   string // what it wants, for the message
	least   int    // arguments
	most    int
	compile func(args []*Program) (p *Program, ok bool) // ok is false if the types are wrong
}

// scalars are the scalar functions by name.
var scalars = map[string]function{
	"min":      {"two or more numbers, or times", 2, MaxNodes, func(args []*Program) (*Program, bool) { return extremeOf(args, less) }},
	"max":      {"two or more numbers, or times", 2, MaxNodes, func(args []*Program) (*Program, bool) { return extremeOf(args, greater) }},
	"abs":      {"one number", 1, 1, func(args []*Program) (*Program, bool) { return numeric(args, args[0].typ.Int, math.Abs) }},
	"log":      {"one number", 1, 1, func(args []*Program) (*Program, bool) { return numeric(args, false, logarithm) }},
	"sqrt":     {"one number", 1, 1, func(args []*Program) (*Program, bool) { return numeric(args, false, math.Sqrt) }},
	"round":    {"one number", 1, 1, func(args []*Program) (*Program, bool) { return numeric(args, true, math.Round) }},
	"clamp":    {"three numbers: value, least, largest", 3, 3, clamp},
	"coalesce": {"two or more values of one type", 2, MaxNodes, coalesce},
	"len":      {"one string, list or map", 1, 1, length},
	"smooth":   {"four numbers: numerator, denominator, prior, weight", 4, 4, smooth},
}

func scalarNames() []string { return slices.Sorted(maps.Keys(scalars)) }

func (c *compiler) scalar(t *Tree, f function) (*Program, error) {
	args, err := c.compileAll(t.args)
	if err != nil {
		return nil, err
	}
	if len(args) < f.least || len(args) > f.most {
		return nil, errorAt(t.offset, "%s takes %s, not %d", t.text, f.takes, len(args))
	}
	p, ok := f.compile(args)
	if !ok {
		return nil, errorAt(t.offset, "%s takes %s, not %s", t.text, f.takes, typesOf(args))
	}
	return folded(p, args...), nil
}

func allOf(kind Kind, args []*Program) bool {
	return !slices.ContainsFunc(args, func(p *Program) bool { return p.typ.Kind != kind })
}

func numeric(args []*Program, whole bool, f func(float64) float64) (*Program, bool) {
	if !allOf(Number, args) {
		return nil, false
	}
	x := args[0].number
	return ofNumber(Type{Kind: Number, Int: whole}, func(s []Value) (float64, bool) {
		v, ok := x(s)
		if !ok {
			return 0, false
		}
		return finite(f(v))
	}), true
}

// extremeOf is null if any of args is.
func extremeOf(args []*Program, want uint8) (*Program, bool) {
	if !allOf(Number, args) && !allOf(Time, args) {
		return nil, false
	}
	typ := args[0].typ
	for _, a := range args {
		typ, _ = common(typ, a.typ)
	}
	return ofNumber(typ, func(s []Value) (float64, bool) {
		best, ok := args[0].number(s)
		if !ok {
			return 0, false
		}
		for _, a := range args[1:] {
			v, ok := a.number(s)
			if !ok {
				return 0, false
			}
			if sign(v, best) == want {
				best = v
			}
		}
		return best, true
	}), true
}

// clamp(x, least, largest) is min(max(x, least), largest).
func clamp(args []*Program) (*Program, bool) {
	if !allOf(Number, args) {
		return nil, false
	}
	typ := Type{Kind: Number, Int: args[0].typ.Int && args[1].typ.Int && args[2].typ.Int}
	x, lo, hi := args[0].number, args[1].number, args[2].number
	return ofNumber(typ, func(s []Value) (float64, bool) {
		v, vok := x(s)
		l, lok := lo(s)
		h, hok := hi(s)
		return min(max(v, l), h), vok && lok && hok
	}), true
}

func smooth(args []*Program) (*Program, bool) {
	if !allOf(Number, args) {
		return nil, false
	}
	num, den, prior, weight := args[0].number, args[1].number, args[2].number, args[3].number
	return ofNumber(Type{Kind: Number}, func(s []Value) (float64, bool) {
		n, nok := num(s)
		d, dok := den(s)
		p, pok := prior(s)
		w, wok := weight(s)
		if !nok || !dok || !pok || !wok || d+w == 0 {
			return 0, false
		}
		// The conversion keeps the product from being fused into the sum, which would give other bits elsewhere.
		return finite((n + float64(p*w)) / (d + w))
	}), true
}

func coalesce(args []*Program) (*Program, bool) {
	typ := args[0].typ
	for _, a := range args[1:] {
		var ok bool
		if typ, ok = common(typ, a.typ); !ok {
			return nil, false
		}
	}
	p := &Program{typ: typ, slot: -1}
	switch typ.Kind {
	case Number, Time:
		p.number = func(s []Value) (float64, bool) {
			for _, a := range args {
				if v, ok := a.number(s); ok {
					return v, true
				}
			}
			return 0, false
		}
	case Bool:
		p.bool = func(s []Value) (bool, bool) {
			for _, a := range args {
				if v, ok := a.bool(s); ok {
					return v, true
				}
			}
			return false, false
		}
	case String:
		p.text = func(s []Value) (string, bool) {
			for _, a := range args {
				if v, ok := a.text(s); ok {
					return v, true
				}
			}
			return "", false
		}
	default:
		p.value = func(s []Value) Value {
			for _, a := range args {
				if v := a.value(s); v.Kind != Null {
					return v
				}
			}
			return Value{}
		}
	}
	return p, true
}

// length counts the code points of a string, the elements of a list, the entries of a map.
func length(args []*Program) (*Program, bool) {
	typ := Type{Kind: Number, Int: true}
	switch args[0].typ.Kind {
	case String:
		text := args[0].text
		return ofNumber(typ, func(s []Value) (float64, bool) {
			v, ok := text(s)
			return float64(utf8.RuneCountInString(v)), ok
		}), true
	case List, Map:
		value := args[0].value
		return ofNumber(typ, func(s []Value) (float64, bool) {
			v := value(s)
			return float64(len(v.List)), v.Kind != Null
		}), true
	}
	return nil, false
}
