package expression_test

import (
	"maps"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// fields is an environment of names only, each with the value that it has.
type fields struct {
	slots map[string]expression.Slot
	// inner is the environment of the arguments of aggregates; nil if there are none.
	inner *fields
	calls []string // the aggregates that were asked for, in order
}

func newFields(types map[string]expression.Type) *fields {
	f := &fields{slots: map[string]expression.Slot{}}
	for i, name := range slices.Sorted(maps.Keys(types)) {
		f.slots[name] = expression.Slot{Index: i, Type: types[name]}
	}
	return f
}

func (f *fields) Resolve(name string) (expression.Slot, bool) {
	s, ok := f.slots[name]
	return s, ok
}

func (f *fields) Names() []string { return slices.Sorted(maps.Keys(f.slots)) }

func (f *fields) Functions() []string {
	if f.inner == nil {
		return nil
	}
	return []string{"sum", "count", "min", "max", "refuse"}
}

// Call takes any aggregate and gives it slot 0.
func (f *fields) Call(name string, args []*expression.Tree) (expression.Slot, bool, error) {
	if f.inner == nil || !slices.Contains(f.Functions(), name) {
		return expression.Slot{}, false, nil
	}
	if name == "refuse" {
		return expression.Slot{}, true, freshet.Errorf(freshet.InvalidArgument, "refuse: not today")
	}
	call := name
	for _, a := range args {
		if _, err := a.Compile(f.inner); err != nil {
			return expression.Slot{}, true, freshet.Errorf("", "%s: %w", name, err)
		}
		call += " " + a.String()
	}
	f.calls = append(f.calls, call)
	return expression.Slot{Type: expression.Type{Kind: expression.Number}}, true, nil
}

var (
	floatType  = expression.Type{Kind: expression.Number}
	intType    = expression.Type{Kind: expression.Number, Int: true}
	boolType   = expression.Type{Kind: expression.Bool}
	textType   = expression.Type{Kind: expression.String}
	timeType   = expression.Type{Kind: expression.Time}
	textsType  = expression.Type{Kind: expression.List, Elem: expression.String}
	numberList = expression.Type{Kind: expression.List, Elem: expression.Number}
	vectorType = expression.Type{Kind: expression.Vector, Dim: 2}
	mapType    = expression.Type{Kind: expression.Map}
)

func number(v float64) expression.Value { return expression.Value{Kind: expression.Number, Num: v} }

func text(v string) expression.Value { return expression.Value{Kind: expression.String, Str: v} }

func boolean(v bool) expression.Value {
	if v {
		return expression.Value{Kind: expression.Bool, Num: 1}
	}
	return expression.Value{Kind: expression.Bool}
}

func moment(ms float64) expression.Value { return expression.Value{Kind: expression.Time, Num: ms} }

func list(vs ...expression.Value) expression.Value {
	return expression.Value{Kind: expression.List, List: vs}
}

// sample is an environment with a name of every type and a row of values for it: null, nulltext and nobool are null.
func sample() (*fields, []expression.Value) {
	values := map[string]struct {
		t expression.Type
		v expression.Value
	}{
		"x":         {floatType, number(3)},
		"y":         {floatType, number(-5.5)},
		"zero":      {intType, number(0)},
		"n":         {intType, number(4)},
		"null":      {floatType, expression.Value{}},
		"t":         {boolType, boolean(true)},
		"f":         {boolType, boolean(false)},
		"nobool":    {boolType, expression.Value{}},
		"c":         {textType, text("zoë😀")},
		"b":         {textType, text("b")},
		"nulltext":  {textType, expression.Value{}},
		"early":     {timeType, moment(1000)},
		"late":      {timeType, moment(2000)},
		"tags":      {textsType, list(text("a"), text("b"))},
		"holes":     {textsType, list(text("a"), expression.Value{})},
		"nolist":    {textsType, expression.Value{}},
		"numbers":   {numberList, list(number(1), number(2.5))},
		"v":         {vectorType, expression.Value{Kind: expression.Vector, Vec: []float64{1, 2}}},
		"m":         {mapType, expression.Value{Kind: expression.Map, List: []expression.Value{{Kind: expression.Number, Str: "k", Num: 2}}}},
		"body.rate": {floatType, number(72)},
	}
	types := map[string]expression.Type{}
	for name, v := range values {
		types[name] = v.t
	}
	env := newFields(types)
	slots := make([]expression.Value, len(values))
	for name, v := range values {
		slots[env.slots[name].Index] = v.v
	}
	return env, slots
}
