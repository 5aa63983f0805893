package project

import (
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// Fallback is what a pipeline serves if its features or its model fail: another pipeline, or the order of a table.
type Fallback struct {
	Pipeline freshet.PipelineName // "": the order of Table
	Table    freshet.TableName
	by       *expression.Tree // of a row: the largest value is the first; nil: the order of the file
	node     *node
	order    *Pipeline // that orders Table
	plan     *Plan     // of order
}

// String is the fallback in the words of the file; "" if there is none.
func (f *Fallback) String() string {
	switch {
	case f == nil:
		return ""
	case f.Pipeline != "":
		return "pipeline " + string(f.Pipeline)
	case f.by == nil:
		return "table " + string(f.Table)
	}
	return "table " + string(f.Table) + " by " + f.by.String()
}

// FallbackOrder is the pipeline that puts the table of the fallback in order; nil if the fallback is none or no table. It has
// no model: OrderPlan gives what its rows are ordered by.
func (p *Pipeline) FallbackOrder() *Pipeline {
	if p.Fallback == nil {
		return nil
	}
	return p.Fallback.order
}

// OrderPlan is the plan of a FallbackOrder: its one input, if it has one, is what rows are ordered by.
func (p *Pipeline) OrderPlan() *Plan { return p.Fallback.plan }

const by = " by "

// fallback reads "TABLE", "TABLE by EXPRESSION" or "PIPELINE".
func (r *reader) fallback(l *Pipeline, s section) {
	n := s.get("fallback")
	text := s.text("fallback")
	if text == "" {
		return
	}
	name, order, ordered := strings.Cut(text, by)
	name = strings.TrimSpace(name)
	_, isTable := l.project.Table(freshet.TableName(name))
	pipelines := r.namesOf("pipelines")
	isPipeline := slices.Contains(pipelines, name)
	what := s.path + ": fallback"
	switch {
	case isTable && isPipeline && !ordered:
		r.issue(n, "%s: %s is a table and a pipeline: write %s by COLUMN, or give one of them another name", what, name, name)
	case isPipeline && ordered && !isTable:
		r.issue(n, "%s: %s is a pipeline: only a table is served by something", what, name)
	case isPipeline && !isTable:
		l.Fallback = &Fallback{Pipeline: freshet.PipelineName(name), node: n} // checked when all pipelines are there
	case !isTable:
		r.issue(n, "%s: %s is no table and no pipeline%s", what, name, expression.Hint(name, append(r.namesOf("tables"), pipelines...)))
	default:
		r.fallbackTable(l, n, what, freshet.TableName(name), strings.TrimSpace(order))
	}
}

// namesOf lists what a section of the file declares.
func (r *reader) namesOf(section string) []string {
	var names []string
	for _, e := range r.root.entries {
		if e.key.text == section {
			for _, d := range e.value.entries {
				names = append(names, d.key.text)
			}
		}
	}
	return names
}

func (r *reader) fallbackTable(l *Pipeline, n *node, what string, name freshet.TableName, order string) {
	t, _ := l.project.Table(name)
	switch {
	case l.Candidates == "":
		r.issue(n, "%s: the pipeline has no candidates, so a table is no answer; name another pipeline", what)
		return
	case t.Push:
		r.issue(n, "%s: %s is a push table, which has no order; name a table of a file", what, name)
		return
	case t.Entity != l.candidateEntity():
		r.issue(n, "%s: the rows of %s are of %s, but the pipeline ranks %s", what, name, t.Entity, l.candidateEntity())
		return
	}
	f := &Fallback{Table: name, node: n}
	// The order is made as a prediction is: a pipeline over the table whose one input is what its rows are ordered by.
	shadow := *l
	shadow.Candidates, shadow.inputs, shadow.Fallback = name, nil, f
	if name != l.Candidates {
		shadow.keep = nil // it speaks of other rows
	}
	if order != "" {
		tree, err := l.orderTree(t, order, strings.Index(n.text, by)+len(by))
		if err != nil {
			r.expressionError(n, what, err)
			return
		}
		f.by = tree
		shadow.inputs = []input{{name: order, tree: tree, node: n, r: r}}
	}
	b := binder{p: &shadow, order: true}
	f.plan = b.plan(shadow.inputs)
	r.issues = append(r.issues, b.issues...)
	f.order = &shadow
	l.Fallback = f
}

// orderTree is the expression that text stands for. A single name is a column of the table, or else an input of the
// pipeline, or else the one feature of that name. Another expression begins at offset in the fallback.
func (l *Pipeline) orderTree(t Table, text string, offset int) (*expression.Tree, error) {
	if !namePattern.MatchString(text) {
		return expression.Parse(strings.Repeat(" ", offset) + text)
	}
	names := t.columnNames()
	if slices.Contains(names, text) {
		return expression.Parse("candidate." + text)
	}
	if in, ok := first(l.inputs, func(in input) bool { return in.name == text }); ok {
		return in.tree, nil
	}
	var found []string
	for _, v := range l.project.Views {
		for _, f := range v.Features() {
			if l.reads(v.Entity()) && string(f.Name) == text {
				found = append(found, string(v.Name())+"."+text)
			}
			if v.Entity() == t.Entity {
				names = append(names, string(f.Name))
			}
		}
	}
	for _, in := range l.inputs {
		names = append(names, in.name)
	}
	switch len(found) {
	case 0:
		return nil, freshet.Errorf(freshet.InvalidArgument, "%s: no column of %s, no input and no feature has this name%s", text, t.Name, expression.Hint(text, names))
	case 1:
		return expression.Parse(found[0])
	}
	return nil, freshet.Errorf(freshet.InvalidArgument, "%s could be %s; write the whole name", text, strings.Join(found, " or "))
}

// fallbackPipelines checks the fallbacks that are pipelines: each ranks the same for the same, and none comes back to itself.
func (r *reader) fallbackPipelines(p *Project) {
	for _, l := range p.Pipelines {
		if l.Fallback == nil || l.Fallback.Pipeline == "" {
			continue
		}
		what := "pipelines." + string(l.Name) + ": fallback"
		other, ok := p.Pipeline(l.Fallback.Pipeline)
		switch {
		case !ok: // it is wrong itself, which is reported
		case other.Entity != l.Entity:
			r.issue(l.Fallback.node, "%s: %s is about %s, not about %s", what, other.Name, other.Entity, l.Entity)
		case other.candidateEntity() != l.candidateEntity():
			r.issue(l.Fallback.node, "%s: %s does not rank what this pipeline ranks", what, other.Name)
		case l.comesBack(p):
			r.issue(l.Fallback.node, "%s: it comes back to %s itself", what, l.Name)
		}
	}
}

// comesBack says whether the fallbacks of a pipeline lead to itself.
func (l *Pipeline) comesBack(p *Project) bool {
	at := l
	for range p.Pipelines {
		if at.Fallback == nil || at.Fallback.Pipeline == "" {
			return false
		}
		next, ok := p.Pipeline(at.Fallback.Pipeline)
		if !ok {
			return false
		}
		if next == l {
			return true
		}
		at = next
	}
	return false // into a ring that others are in: theirs is reported
}
