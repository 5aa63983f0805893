package project

import (
	"fmt"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/modelruntime"
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
	Column string
	// Program is of a Number or a Bool; of a String or a List of them where Text or List says so. nil: the input is the key of
	// Of, or, if that is Nobody, nothing ever.
	Program   *expression.Program
	Of        modelruntime.Subject
	Text      bool // the model's column is a text
	List      bool // … a list of texts
	Candidate bool // depends on the candidate
	Required  bool // without a value there is no prediction, or none of this candidate
}

// Bind makes the plan for a model with these input columns. A column gets the expression in `inputs`, or else the key that
// it is of, or else the one feature of its name among the views of the pipeline's entity and of its candidates' entity.
// Returns Errors for a column that nothing gives, for one that several features could give, for an input that is no column,
// and for one of another type than the column.
func (p *Pipeline) Bind(columns []modelruntime.Column) (*Plan, error) {
	b := binder{p: p, columns: columns}
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
	p       *Pipeline
	columns []modelruntime.Column // nil: not known yet
	order   bool                  // the one input is what a fallback's rows are ordered by
	issues  Errors
}

// column is the model's column of a name; false if columns are not known yet.
func (b *binder) column(name string) (modelruntime.Column, bool) {
	return first(b.columns, func(c modelruntime.Column) bool { return c.Name == name })
}

func (b *binder) issue(n *node, format string, args ...any) {
	i := Issue{File: b.p.file, Line: b.p.line, Column: b.p.column, Message: "pipelines." + string(b.p.Name) + ": " + fmt.Sprintf(format, args...)}
	if n != nil {
		i.Line, i.Column = n.line, n.column
	}
	b.issues = append(b.issues, i)
}

// match finds the expression of each column.
func (b *binder) match(columns []modelruntime.Column) []input {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	for _, in := range b.p.inputs {
		if !slices.Contains(names, in.name) {
			b.issue(in.key, "inputs: model %s has no column %s%s", b.p.Model, in.name, expression.Hint(in.name, names))
		}
	}
	inputs := make([]input, 0, len(columns))
	for _, c := range columns {
		if in, ok := first(b.p.inputs, func(in input) bool { return in.name == c.Name }); ok {
			inputs = append(inputs, in)
			continue
		}
		switch {
		case c.Of == modelruntime.Candidate && b.p.Candidates == "":
			b.issue(nil, "column %s of model %s is the id of a candidate, and the pipeline has none: give it candidates, or the column an input", c.Name, b.p.Model)
		case c.Of != modelruntime.Nobody || c.Optional:
			inputs = append(inputs, input{name: c.Name})
		default:
			if in, ok := b.byFeature(c.Name); ok {
				inputs = append(inputs, in)
			}
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
		b.issue(nil, "column %s of model %s: no input and no feature has this name: add an input%s", column, b.p.Model, expression.Hint(column, features))
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
		if made, ok := b.input(f, in); ok {
			plan.Inputs = append(plan.Inputs, made)
		}
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

// input compiles one input and checks that it is what the model's column takes.
func (b *binder) input(f *frame, in input) (Input, bool) {
	column, known := b.column(in.name)
	made := Input{
		Column: in.name, Required: in.required,
		Text: column.Type == modelruntime.TextType, List: column.Type == modelruntime.TextsType,
	}
	if in.tree == nil {
		made.Of, made.Candidate = column.Of, column.Of == modelruntime.Candidate
		return made, true
	}
	what := "inputs." + in.name
	if b.order {
		what = "fallback"
	}
	if made.Program = b.compile(f, in, what); made.Program == nil {
		return made, false
	}
	made.Candidate = f.dependsOnCandidate(in.tree)
	typ := made.Program.Type()
	text, list := typ.Kind == expression.String, typ.Kind == expression.List && typ.Elem == expression.String
	number := typ.Kind == expression.Number || typ.Kind == expression.Bool
	switch {
	case b.order && !number && typ.Kind != expression.Time:
		b.issue(in.node, "fallback: rows are ordered by a number or a time, not %s", typ)
	case b.order:
		return made, true
	case !known && (text || list):
		return made, true // the model decides
	case !made.Text && !made.List && !number:
		b.issue(in.node, "inputs.%s: a model takes numbers and bools, not %s", in.name, typ)
	case made.Text && !text:
		b.issue(in.node, "inputs.%s: this column of model %s is a string, not %s", in.name, b.p.Model, typ)
	case made.List && !list:
		b.issue(in.node, "inputs.%s: this column of model %s is a list of string, not %s", in.name, b.p.Model, typ)
	case made.List && made.Candidate:
		b.issue(in.node, "inputs.%s: a list is the same for all candidates: it may not depend on one", in.name)
	case made.Text && made.Candidate && !b.p.ofRow(in.tree):
		b.issue(in.node, "inputs.%s: a text of a candidate is looked up once for each row of %s: it may use candidate.… only", in.name, b.p.Candidates)
	default:
		return made, true
	}
	return made, false
}

// ofRow says whether an expression depends on nothing but a row of the candidates table.
func (p *Pipeline) ofRow(t *expression.Tree) bool {
	return !slices.ContainsFunc(t.Names(), func(name string) bool {
		head, _, _ := strings.Cut(name, ".")
		return head != "candidate" && head != string(p.Candidates)
	})
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
