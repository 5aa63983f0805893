package project

import (
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// frame is the environment of a pipeline's expressions: the names view.feature, table.column, candidate.column,
// event.field, context.name and now, each in a slot of the plan.
type frame struct {
	p     *Pipeline
	plan  *Plan
	event expression.Env // nil if the event is not used
	// kinds are those of the context names, as far as they are inferred.
	kinds map[string]expression.Kind
	slots map[string]int // of the context names
	guess map[string]expression.Kind
}

// newFrame lays out the slots for the names in inputs: first what all candidates share, then what each has. Names that
// have no meaning are left for the compiler to report.
func newFrame(p *Pipeline, inputs []input) *frame {
	f := &frame{p: p, plan: &Plan{Event: -1, Now: -1}, kinds: map[string]expression.Kind{}, slots: map[string]int{}}
	used := map[string]bool{}
	for _, in := range inputs {
		if in.tree == nil {
			continue // a key, or nothing
		}
		for _, name := range in.tree.Names() {
			used[name] = true
		}
	}
	f.layOutRest(used)
	for _, candidate := range []bool{false, true} {
		f.layOutViews(used, candidate)
		f.layOutTables(used, candidate)
		if !candidate {
			f.plan.Shared = f.plan.Slots
		}
	}
	return f
}

// take gives the next n slots.
func (f *frame) take(n int) (base int) {
	base = f.plan.Slots
	f.plan.Slots += n
	return base
}

func (f *frame) layOutRest(used map[string]bool) {
	if used["now"] {
		f.plan.Now = f.take(1)
	}
	names := make([]string, 0, len(used))
	for name := range used {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch head, rest, _ := strings.Cut(name, "."); {
		case head == "event" && rest != "" && f.event == nil:
			env, err := f.p.project.Schema.Env(f.p.From...)
			if err != nil {
				continue // the names of the event then have no meaning
			}
			f.event = env
			f.plan.Event = f.take(f.p.project.Schema.Slots())
		case head == "context" && namePattern.MatchString(rest):
			f.slots[rest] = f.take(1)
		}
	}
}

func (f *frame) layOutViews(used map[string]bool, candidate bool) {
	for _, v := range f.p.project.Views {
		if f.ofCandidate(v.Entity()) != candidate || !f.p.reads(v.Entity()) {
			continue
		}
		for _, feature := range v.Features() {
			if used[string(v.Name())+"."+string(feature.Name)] {
				width := len(v.Features())
				f.plan.Views = append(f.plan.Views, ViewUse{View: v, Base: f.take(width), Width: width, Candidate: candidate})
				break
			}
		}
	}
}

func (f *frame) layOutTables(used map[string]bool, candidate bool) {
	for _, t := range f.p.project.Tables {
		if f.tableOfCandidate(t) != candidate || !f.p.reads(t.Entity) {
			continue
		}
		var columns []string
		for _, c := range t.columnNames() {
			if used[string(t.Name)+"."+c] || t.Name == f.p.Candidates && used["candidate."+c] {
				columns = append(columns, c)
			}
		}
		if len(columns) > 0 {
			f.plan.Tables = append(f.plan.Tables, TableUse{Table: t.Name, Base: f.take(len(columns)), Columns: columns, Candidate: candidate})
		}
	}
}

// ofCandidate says for whom rows of this kind are read. If candidates are of the pipeline's own kind, views and tables of
// it are the entity's, and only the candidates table is theirs.
func (f *frame) ofCandidate(kind freshet.EntityKind) bool { return kind != f.p.Entity }

func (f *frame) tableOfCandidate(t Table) bool {
	return t.Name == f.p.Candidates || f.ofCandidate(t.Entity)
}

// Resolve finds a name that has a slot.
func (f *frame) Resolve(name string) (expression.Slot, bool) {
	if name == "now" {
		return expression.Slot{Index: f.plan.Now, Type: expression.Type{Kind: expression.Time}}, f.plan.Now >= 0
	}
	head, rest, _ := strings.Cut(name, ".")
	switch head {
	case "context":
		slot, ok := f.slots[rest]
		return expression.Slot{Index: slot, Type: expression.Type{Kind: f.kind(rest)}}, ok
	case "event":
		if f.event == nil {
			return expression.Slot{}, false
		}
		slot, ok := f.event.Resolve(rest)
		slot.Index += f.plan.Event
		return slot, ok
	case "candidate":
		head = string(f.p.Candidates)
	}
	if slot, ok := f.resolveFeature(head, rest); ok {
		return slot, true
	}
	return f.resolveColumn(head, rest)
}

func (f *frame) resolveFeature(view, name string) (expression.Slot, bool) {
	for _, u := range f.plan.Views {
		if string(u.View.Name()) != view {
			continue
		}
		for i, feature := range u.View.Features() {
			if string(feature.Name) == name {
				return expression.Slot{Index: u.Base + i, Type: feature.Type}, true
			}
		}
	}
	return expression.Slot{}, false
}

func (f *frame) resolveColumn(table, name string) (expression.Slot, bool) {
	for _, u := range f.plan.Tables {
		if i := slices.Index(u.Columns, name); string(u.Table) == table && i >= 0 {
			t, _ := f.p.project.Table(u.Table)
			typ, ok := t.column(name)
			return expression.Slot{Index: u.Base + i, Type: typ}, ok
		}
	}
	return expression.Slot{}, false
}

// Names lists all that a pipeline's expressions may name, but context names, which are free.
func (f *frame) Names() []string {
	names := []string{"now"}
	for _, v := range f.p.project.Views {
		for _, feature := range v.Features() {
			if f.p.reads(v.Entity()) {
				names = append(names, string(v.Name())+"."+string(feature.Name))
			}
		}
	}
	for _, t := range f.p.project.Tables {
		for _, c := range t.columnNames() {
			if f.p.reads(t.Entity) {
				names = append(names, string(t.Name)+"."+c)
			}
			if t.Name == f.p.Candidates {
				names = append(names, "candidate."+c)
			}
		}
	}
	if env, err := f.p.project.Schema.Env(f.p.From...); err == nil {
		for _, name := range env.Names() {
			names = append(names, "event."+name)
		}
	}
	return names
}

// Explain says why a name has no meaning in this pipeline although it looks like one.
func (f *frame) Explain(name string) error {
	head, rest, dotted := strings.Cut(name, ".")
	kind := freshet.EntityKind("")
	if v, ok := f.p.project.View(freshet.ViewName(head)); ok {
		kind = v.Entity()
	} else if t, ok := f.p.project.Table(freshet.TableName(head)); ok {
		kind = t.Entity
	}
	switch {
	case dotted && head == "candidate" && f.p.Candidates == "":
		return freshet.Errorf(freshet.InvalidArgument, "%s: the pipeline has no candidates", name)
	case head == "context" && !namePattern.MatchString(rest):
		return freshet.Errorf(freshet.InvalidArgument, "%s: write context. and a name of small letters, digits and _", name)
	case dotted && kind != "" && !f.p.reads(kind):
		return freshet.Errorf(freshet.InvalidArgument, "%s: %s is about %s, but the pipeline is about %s", name, head, kind, f.about())
	}
	return nil
}

func (f *frame) about() string {
	if f.p.Candidates == "" {
		return string(f.p.Entity)
	}
	return string(f.p.Entity) + " and ranks " + string(f.p.candidateEntity())
}

// Call knows no functions: those of a pipeline are scalars.
func (f *frame) Call(string, []*expression.Tree) (expression.Slot, bool, error) {
	return expression.Slot{}, false, nil
}

// Functions lists what pipelines have beyond the language.
func (f *frame) Functions() []string { return []string{"hour", "weekday"} }

// Scalar gives hour(t), 0 … 23, and weekday(t), Monday 0 … Sunday 6, both in UTC.
func (f *frame) Scalar(name string) (expression.Scalar, bool) {
	const hour, day = 3_600_000, 24 * 3_600_000 // milliseconds
	s := expression.Scalar{Arg: expression.Type{Kind: expression.Time}, Result: expression.Type{Kind: expression.Number, Int: true}}
	switch name {
	case "hour":
		s.Apply = func(ms float64) float64 { return modulo(math.Floor(ms/hour), 24) }
	case "weekday":
		const epoch = 3 // 1970-01-01 was a Thursday
		s.Apply = func(ms float64) float64 { return modulo(math.Floor(ms/day)+epoch, 7) }
	}
	return s, s.Apply != nil
}

// modulo is never negative.
func modulo(x, m float64) float64 { return x - m*math.Floor(x/m) }

func (f *frame) dependsOnCandidate(t *expression.Tree) bool {
	return slices.ContainsFunc(t.Names(), func(name string) bool {
		slot, ok := f.Resolve(name)
		return ok && slot.Index >= f.plan.Shared
	})
}

// kind is what a context name is taken for now.
func (f *frame) kind(name string) expression.Kind {
	if k, ok := f.kinds[name]; ok {
		return k
	}
	if k, ok := f.guess[name]; ok {
		return k
	}
	return expression.Number
}

// maxGuesses bounds how many context names are inferred from one expression: three kinds each are tried together.
const maxGuesses = 4

// compile infers the kinds of the context names that stand in t for the first time: the first choice under which t is
// well typed, with number before text before bool. If none is, the error of the choice that got furthest is the one that
// tells most.
func (f *frame) compile(t *expression.Tree) (*expression.Program, error) {
	var open []string
	for _, name := range t.Names() {
		rest, isContext := strings.CutPrefix(name, "context.")
		if _, known := f.kinds[rest]; isContext && !known && f.hasSlot(rest) {
			open = append(open, rest)
		}
	}
	if len(open) > maxGuesses {
		return nil, freshet.Errorf(freshet.InvalidArgument, "one expression may name at most %d new context values", maxGuesses)
	}
	choices := []expression.Kind{expression.Number, expression.String, expression.Bool}
	var furthest error
	for n := range int(math.Pow(3, float64(len(open)))) {
		f.guess = map[string]expression.Kind{}
		for _, name := range open {
			f.guess[name] = choices[n%3]
			n /= 3
		}
		program, err := t.Compile(f)
		if err == nil {
			for name, k := range f.guess {
				f.kinds[name] = k
			}
			return program, nil
		}
		if furthest == nil || offsetOf(err) > offsetOf(furthest) {
			furthest = err
		}
	}
	return nil, furthest
}

func (f *frame) hasSlot(name string) bool {
	_, ok := f.slots[name]
	return ok
}

func offsetOf(err error) int {
	if e, ok := errors.AsType[*expression.Error](err); ok {
		return e.Offset
	}
	return 0
}

func (f *frame) contextUses() []ContextUse {
	var uses []ContextUse
	for name, slot := range f.slots {
		uses = append(uses, ContextUse{Name: name, Slot: slot, Kind: f.kind(name)})
	}
	slices.SortFunc(uses, func(a, b ContextUse) int { return a.Slot - b.Slot })
	return uses
}
