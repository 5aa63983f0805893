// Package expression is the language of features.md §5: it parses, types and compiles one expression to closures over a
// flat list of values. expr-lang/expr does the parsing; its virtual machine is not used, because a closure over slots
// costs a tenth. The package is pure: no clock, no I/O, no state.
package expression

import (
	"math"
	"slices"
)

// Kind is the kind of a value.
type Kind uint8

const (
	Null Kind = iota
	Number
	Bool
	String
	Time   // milliseconds since 1970
	List   // of one element kind
	Vector // of a fixed number of floats
	Map    // text → number
)

// Type is what is known of a value before there is one.
type Type struct {
	Kind Kind
	Int  bool // a Number that is always whole
	Elem Kind // of a List: the kind of its elements
	Dim  int  // of a Vector: how many floats
}

// Value is one value, or null (Kind Null, the zero Value). Numbers, bools (0 and 1) and times (milliseconds) stand in Num.
// A Map is the List of its entries in ascending byte order of their keys: each is a Value of kind Number whose key stands
// in Str.
type Value struct {
	Kind Kind
	Num  float64
	Str  string
	List []Value
	Vec  []float64
}

// Slot is where the value of a name stands in the list that a Program reads, and what it is.
type Slot struct {
	Index int
	Type  Type
}

// Env gives the names of an expression their meaning.
type Env interface {
	// Resolve finds a name, dotted where the expression has dots: "seconds", "candidate.minutes".
	Resolve(name string) (Slot, bool)
	// Names lists all names, for "did you mean".
	Names() []string
	// Call gives meaning to a call of a function that is not one of the scalar functions, such as an aggregate, or to
	// min and max where they are aggregates; ok is false if this environment has no such function. The arguments are
	// compiled by the callee, in an environment of its choice, with Tree.Compile.
	Call(name string, args []*Tree) (slot Slot, ok bool, err error)
	// Functions lists the names that Call knows, for "did you mean".
	Functions() []string
}

// Scalar is a function of one value that an environment adds to those of the language.
type Scalar struct {
	Arg    Type
	Result Type                    // a Number, Bool or Time
	Apply  func(x float64) float64 // not called for null; a result that is not finite is null
}

// ScalarEnv is an Env that brings scalar functions of its own. Its Functions lists their names as well.
type ScalarEnv interface {
	Env
	// Scalar finds the function of that name; it is asked before Call.
	Scalar(name string) (Scalar, bool)
}

// Explainer is an Env that can say why a name has no meaning here.
type Explainer interface {
	Env
	// Explain is asked about a name that Resolve did not find. It gives the error to report, which names it; nil if there
	// is nothing to add to "no such name here".
	Explain(name string) error
}

// Int64 is a whole number for clients that know integers of 64 bits only: the nearest there is, if it lies beyond (a product of counts may).
func (v Value) Int64() int64 {
	const beyond = 1 << 63 // to which a float64 above the largest integer comes next
	switch {
	case v.Num >= beyond:
		return math.MaxInt64
	case v.Num < -beyond:
		return math.MinInt64
	}
	return int64(v.Num)
}

// Same says whether v and o are the same, bit for bit: zeros of two signs differ.
func (v Value) Same(o Value) bool {
	sameFloat := func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) }
	return v.Kind == o.Kind && sameFloat(v.Num, o.Num) && v.Str == o.Str &&
		slices.EqualFunc(v.List, o.List, Value.Same) && slices.EqualFunc(v.Vec, o.Vec, sameFloat)
}
