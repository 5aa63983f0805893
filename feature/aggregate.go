package feature

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// aggregate is one aggregate call of a view: the cell that holds its state, and how a value is made of it.
type aggregate struct {
	cell   int
	slot   int // in the frame
	result func(c cell, at int64) expression.Value
}

// component is one cell of every pane: what it is and which input feeds it.
type component struct {
	input int
	make  func() cell
}

// input is what cells take from an event: an argument, where a condition is true.
type input struct {
	arg  *expression.Program // nil: the event itself
	cond *expression.Program // nil: always
	kind expression.Kind     // of arg
	// scalar: arg is a number, a bool or a time.
	scalar bool
}

// aggregates compile the calls of the aggregates by name. Arguments are checked by the function.
var aggregates = map[string]func(*call) (expression.Slot, error){
	"count":      (*call).count,
	"sum":        (*call).sum,
	"mean":       (*call).mean,
	"min":        func(c *call) (expression.Slot, error) { return c.extreme(false) },
	"max":        func(c *call) (expression.Slot, error) { return c.extreme(true) },
	"slope":      (*call).slope,
	"first":      func(c *call) (expression.Slot, error) { return c.edge(true) },
	"last":       (*call).last,
	"since_last": (*call).sinceLast,
	"variance":   func(c *call) (expression.Slot, error) { return c.spread(false) },
	"stddev":     func(c *call) (expression.Slot, error) { return c.spread(true) },
	"distinct":   (*call).distinct,
	"counts":     (*call).counts,
	"top":        (*call).top,
	"quantile":   (*call).quantile,
	"decay":      (*call).decay,
	"centroid":   (*call).centroid,
	"embed":      (*call).embed,
}

func aggregateNames() []string { return slices.Sorted(maps.Keys(aggregates)) }

// call is one call of an aggregate while it is compiled.
type call struct {
	frame *frame
	name  string
	args  []*expression.Tree
}

func (c *call) errorf(format string, args ...any) error {
	return freshet.Errorf(freshet.InvalidArgument, c.name+": "+format, args...)
}

func (c *call) text() string {
	texts := make([]string, len(c.args))
	for i, a := range c.args {
		texts[i] = a.String()
	}
	return c.name + "(" + strings.Join(texts, ", ") + ")"
}

// argumentErrorf is errorf at the place of an argument.
func (c *call) argumentErrorf(i int, format string, args ...any) error {
	return &expression.Error{Offset: c.args[i].Offset(), Err: c.errorf(format, args...)}
}

// wholeNumber reads argument i, a whole number from 1 to most that is written out.
func (c *call) wholeNumber(i int, what string, most int) (int, error) {
	if len(c.args) <= i {
		return 0, c.errorf("it needs %s, a whole number from 1 to %d, as argument %d", what, most, i+1)
	}
	n, ok := c.args[i].Number()
	if !ok || n < 1 || n > float64(most) || n != math.Trunc(n) {
		return 0, c.argumentErrorf(i, "%s %s must be a whole number from 1 to %d, written out", what, c.args[i], most)
	}
	return int(n), nil
}

// argument compiles x of one event.
func (c *call) argument(x *expression.Tree) (*expression.Program, error) {
	return x.Compile(c.frame.events)
}

// condition compiles the condition that stands at index i, if there is one, after which nothing may follow.
func (c *call) condition(i int) (*expression.Program, error) {
	if len(c.args) <= i {
		return nil, nil
	}
	if len(c.args) > i+1 {
		return nil, c.errorf("%d arguments are too many", len(c.args))
	}
	cond, err := c.args[i].Compile(c.frame.events)
	if err != nil {
		return nil, err
	}
	if t := cond.Type(); t.Kind != expression.Bool {
		return nil, &expression.Error{Offset: c.args[i].Offset(), Err: c.errorf("the condition must be a bool, not %s", t)}
	}
	return cond, nil
}

// operands compiles x and a condition at index cond, and checks that x is of one of the kinds.
func (c *call) operands(cond int, what string, kinds ...expression.Kind) (arg *expression.Program, in int, err error) {
	if len(c.args) == 0 {
		return nil, 0, c.errorf("it needs an argument: %s", what)
	}
	if arg, err = c.argument(c.args[0]); err != nil {
		return nil, 0, err
	}
	if t := arg.Type(); !slices.Contains(kinds, t.Kind) {
		return nil, 0, &expression.Error{Offset: c.args[0].Offset(), Err: c.errorf("it takes %s, not %s", what, t)}
	}
	condition, err := c.condition(cond)
	if err != nil {
		return nil, 0, err
	}
	return arg, c.input(c.args[0], arg, cond, condition), nil
}

// input finds or adds what the cells take: the argument x, nil for the event itself, where the condition at index i holds.
func (c *call) input(x *expression.Tree, arg *expression.Program, i int, cond *expression.Program) int {
	var key string
	in := input{arg: arg, cond: cond}
	if arg != nil {
		key = x.String()
		in.kind = arg.Type().Kind
		in.scalar = in.kind == expression.Number || in.kind == expression.Bool || in.kind == expression.Time
	}
	if cond != nil {
		key += " if " + c.args[i].String()
	}
	return c.frame.input(key, in)
}

func (c *call) count() (expression.Slot, error) {
	cond, err := c.condition(0)
	if err != nil {
		return expression.Slot{}, err
	}
	in := c.input(nil, nil, 0, cond)
	state := c.frame.component("count", in, func() cell { return &countCell{} })
	return c.frame.aggregate(expression.Type{Kind: expression.Number, Int: true}, state, func(c cell, _ int64) expression.Value {
		return number(float64(c.(*countCell).n))
	}), nil
}

const (
	numbersAndBools = "a number or a bool"
	scalarValues    = "a number, bool, string or time"
)

var scalarKinds = []expression.Kind{expression.Number, expression.Bool, expression.String, expression.Time}

// isWhole: sums and extremes of whole numbers are whole.
func isWhole(t expression.Type) bool { return t.Kind == expression.Bool || t.Int }

func (c *call) sum() (expression.Slot, error) {
	arg, in, err := c.operands(1, numbersAndBools, expression.Number, expression.Bool)
	if err != nil {
		return expression.Slot{}, err
	}
	t := expression.Type{Kind: expression.Number, Int: isWhole(arg.Type())}
	return c.frame.aggregate(t, c.frame.numbers(in, numbersNeeds{}), func(c cell, _ int64) expression.Value {
		return number(c.(*numbersCell).sum.float())
	}), nil
}

func (c *call) mean() (expression.Slot, error) {
	_, in, err := c.operands(1, numbersAndBools, expression.Number, expression.Bool)
	if err != nil {
		return expression.Slot{}, err
	}
	t := expression.Type{Kind: expression.Number}
	return c.frame.aggregate(t, c.frame.numbers(in, numbersNeeds{counts: true}), func(c cell, _ int64) expression.Value {
		n := c.(*numbersCell)
		if n.n == 0 {
			return expression.Value{}
		}
		return number(n.sum.over(n.n))
	}), nil
}

func (c *call) slope() (expression.Slot, error) {
	_, in, err := c.operands(1, numbersAndBools, expression.Number, expression.Bool)
	if err != nil {
		return expression.Slot{}, err
	}
	t := expression.Type{Kind: expression.Number}
	return c.frame.aggregate(t, c.frame.numbers(in, numbersNeeds{counts: true, moments: true}), func(c cell, _ int64) expression.Value {
		slope, ok := c.(*numbersCell).slope()
		if !ok {
			return expression.Value{}
		}
		return number(slope)
	}), nil
}

// spread is the variance, or its square root.
func (c *call) spread(root bool) (expression.Slot, error) {
	_, in, err := c.operands(1, numbersAndBools, expression.Number, expression.Bool)
	if err != nil {
		return expression.Slot{}, err
	}
	t := expression.Type{Kind: expression.Number}
	return c.frame.aggregate(t, c.frame.numbers(in, numbersNeeds{counts: true, squares: true}), func(c cell, _ int64) expression.Value {
		x, ok := c.(*numbersCell).variance()
		if !ok {
			return expression.Value{}
		}
		if root {
			x = math.Sqrt(x)
		}
		return number(x)
	}), nil
}

func (c *call) extreme(largest bool) (expression.Slot, error) {
	arg, in, err := c.operands(1, "a number, a bool or a time", expression.Number, expression.Bool, expression.Time)
	if err != nil {
		return expression.Slot{}, err
	}
	t := arg.Type()
	if t.Kind != expression.Time {
		t = expression.Type{Kind: expression.Number, Int: isWhole(t)}
	}
	state := c.frame.component(c.name, in, func() cell { return &extremeCell{largest: largest} })
	return c.frame.aggregate(t, state, func(c cell, _ int64) expression.Value {
		e := c.(*extremeCell)
		if !e.has {
			return expression.Value{}
		}
		return expression.Value{Kind: t.Kind, Num: e.x}
	}), nil
}

func (c *call) edge(first bool) (expression.Slot, error) {
	arg, in, err := c.operands(1, "a value of an event", expression.Number, expression.Bool, expression.String,
		expression.Time, expression.List, expression.Vector)
	if err != nil {
		return expression.Slot{}, err
	}
	kind := arg.Type().Kind
	state := c.frame.component(c.name, in, func() cell { return &edgeCell{kind: kind, first: first} })
	return c.frame.aggregate(arg.Type(), state, func(c cell, _ int64) expression.Value {
		e := c.(*edgeCell)
		if !e.has {
			return expression.Value{}
		}
		return valueOf(e.item.value)
	}), nil
}

// last is last(x[, cond]), or last(x, n[, cond]) if the second argument is a number.
func (c *call) last() (expression.Slot, error) {
	if len(c.args) < 2 {
		return c.edge(false)
	}
	if _, ok := c.args[1].Number(); !ok {
		second, err := c.argument(c.args[1])
		if err != nil {
			return expression.Slot{}, err
		}
		if second.Type().Kind != expression.Number {
			return c.edge(false)
		}
	}
	length, err := c.wholeNumber(1, "the length", maxEvents)
	if err != nil {
		return expression.Slot{}, err
	}
	arg, in, err := c.operands(2, scalarValues, scalarKinds...)
	if err != nil {
		return expression.Slot{}, err
	}
	kind := arg.Type().Kind
	state := c.frame.component("last "+c.args[1].String(), in, func() cell { return &listCell{kind: kind, n: length} })
	list := expression.Type{Kind: expression.List, Elem: kind}
	return c.frame.aggregate(list, state, func(c cell, _ int64) expression.Value {
		items := c.(*listCell).items
		list := make([]expression.Value, len(items))
		for i := range items {
			list[i] = valueOf(items[i].value)
		}
		return expression.Value{Kind: expression.List, List: list}
	}), nil
}

func (c *call) sinceLast() (expression.Slot, error) {
	cond, err := c.condition(0)
	if err != nil {
		return expression.Slot{}, err
	}
	in := c.input(nil, nil, 0, cond)
	state := c.frame.component("newest", in, func() cell { return &newestCell{} })
	return c.frame.aggregate(expression.Type{Kind: expression.Number}, state, func(c cell, at int64) expression.Value {
		n := c.(*newestCell)
		if !n.has {
			return expression.Value{}
		}
		return number(float64(at-n.time) / second)
	}), nil
}

func number(x float64) expression.Value { return expression.Value{Kind: expression.Number, Num: x} }
