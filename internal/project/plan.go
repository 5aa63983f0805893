package project

import (
	"fmt"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
)

// Plan says how a pipeline gets the inputs of one model: what to read into which slots of a frame, and the programs that
// make the inputs of it. It is immutable.
type Plan struct {
	Slots int // length of the frame
	// Shared is how many of the slots, the first, are the same for all candidates.
	Shared  int
	Views   []ViewUse
	Tables  []TableUse
	Event   int // first of Schema.Slots slots for the record of the causing event; −1 if unused
	Now     int // slot of the time; −1 if unused
	Context []ContextUse
	Inputs  []Input             // in the model's order
	Keep    *expression.Program // candidates for which it is not true are left out; nil if there is none
}

// ViewUse is a view whose features stand in the frame.
type ViewUse struct {
	View      *feature.View
	Base      int  // slot of its first feature; the others follow
	Width     int  // how many features it has
	Candidate bool // read for each candidate, not for the entity
}

// TableUse is a table whose columns stand in the frame.
type TableUse struct {
	Table     freshet.TableName
	Base      int      // slot of Columns[0]; the others follow
	Columns   []string // those that are used
	Candidate bool     // the row of each candidate, not of the entity
}

// ContextUse is a value that a request brings.
type ContextUse struct {
	Name string
	Slot int
	Kind expression.Kind // Number, String or Bool, inferred from how expressions use it
}

// Input is one input of the model.
type Input struct {
	Column    string
	Program   *expression.Program // of a Number or a Bool
	Candidate bool                // depends on the candidate
}

// Bind makes the plan for a model with these input columns. A column gets the expression in `inputs`, or else the one
// feature of its name among the views of the pipeline's entity and of its candidates' entity. Returns Errors for a column
// that nothing gives, for one that several features could give, and for an input that is no column.
func (p *Pipeline) Bind(columns []string) (*Plan, error) {
	b := binder{p: p}
	inputs := b.match(columns)
	if len(b.issues) > 0 {
		return nil, b.issues
	}
	plan := b.plan(inputs)
	if len(b.issues) > 0 {
		return nil, b.issues
	}
	return plan, nil
}

// check compiles what the file says, before any model is there.
func (p *Pipeline) check() Errors {
	b := binder{p: p}
	b.plan(p.inputs)
	return b.issues
}

type binder struct {
	p      *Pipeline
	issues Errors
}

func (b *binder) issue(n *node, format string, args ...any) {
	i := Issue{File: b.p.file, Line: b.p.line, Column: b.p.column, Message: "pipelines." + string(b.p.Name) + ": " + fmt.Sprintf(format, args...)}
	if n != nil {
		i.Line, i.Column = n.line, n.column
	}
	b.issues = append(b.issues, i)
}

// match finds the expression of each column.
func (b *binder) match(columns []string) []input {
	for _, in := range b.p.inputs {
		if !slices.Contains(columns, in.name) {
			b.issue(in.key, "inputs: model %s has no column %s%s", b.p.Model, in.name, expression.Hint(in.name, columns))
		}
	}
	inputs := make([]input, 0, len(columns))
	for _, c := range columns {
		if in, ok := first(b.p.inputs, func(in input) bool { return in.name == c }); ok {
			inputs = append(inputs, in)
			continue
		}
		if in, ok := b.byFeature(c); ok {
			inputs = append(inputs, in)
		}
	}
	return inputs
}

// byFeature finds the one feature with the name of a column.
func (b *binder) byFeature(column string) (input, bool) {
	var found, features []string
	for _, v := range b.p.project.Views {
		if !b.p.reads(v.Entity()) {
			continue
		}
		for _, f := range v.Features() {
			features = append(features, string(f.Name))
			if string(f.Name) == column {
				found = append(found, string(v.Name())+"."+column)
			}
		}
	}
	switch len(found) {
	case 0:
		b.issue(nil, "column %s of model %s: no input and no feature has this name%s", column, b.p.Model, expression.Hint(column, features))
		return input{}, false
	case 1:
		tree, err := expression.Parse(found[0])
		if err != nil {
			b.issue(nil, "column %s of model %s: %v", column, b.p.Model, err)
			return input{}, false
		}
		return input{name: column, tree: tree}, true
	}
	b.issue(nil, "column %s of model %s could be %s; say which under inputs", column, b.p.Model, strings.Join(found, " or "))
	return input{}, false
}

// reads says whether rows of this kind of entity are read: its own, or its candidates'.
func (p *Pipeline) reads(kind freshet.EntityKind) bool {
	return kind == p.Entity || p.Candidates != "" && kind == p.candidateEntity()
}

// candidateEntity is what the candidates are; "" if there are none.
func (p *Pipeline) candidateEntity() freshet.EntityKind {
	t, _ := p.project.Table(p.Candidates)
	return t.Entity
}

// plan lays out the frame and compiles inputs and keep.
func (b *binder) plan(inputs []input) *Plan {
	all := slices.Clone(inputs)
	if b.p.keep != nil {
		all = append(all, *b.p.keep)
	}
	f := newFrame(b.p, all)
	plan := f.plan
	for _, in := range inputs {
		program := b.compile(f, in, "inputs."+in.name)
		if program == nil {
			continue
		}
		if kind := program.Type().Kind; kind != expression.Number && kind != expression.Bool {
			b.issue(in.node, "inputs.%s: a model takes numbers and bools, not %s", in.name, program.Type())
			continue
		}
		plan.Inputs = append(plan.Inputs, Input{Column: in.name, Program: program, Candidate: f.dependsOnCandidate(in.tree)})
	}
	if k := b.p.keep; k != nil {
		plan.Keep = b.compile(f, *k, "keep")
		if plan.Keep != nil && plan.Keep.Type().Kind != expression.Bool {
			b.issue(k.node, "keep: must be a bool, not %s", plan.Keep.Type())
		}
	}
	plan.Context = f.contextUses()
	return plan
}

// compile reports what is wrong at its place in the file; an expression that is not from the file, at the pipeline's name.
func (b *binder) compile(f *frame, in input, what string) *expression.Program {
	program, err := f.compile(in.tree)
	if err == nil {
		return program
	}
	what = "pipelines." + string(b.p.Name) + "." + what
	if in.node == nil {
		b.issue(nil, "%s: %v", what, err)
		return nil
	}
	r := reader{file: in.r.file, text: in.r.text}
	r.expressionError(in.node, what, err)
	b.issues = append(b.issues, r.issues...)
	return nil
}
