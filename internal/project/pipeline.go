package project

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
)

var pipelineKeys = []string{"from", "where", "entity", "candidates", "keep", "model", "inputs", "top", "pull", "push", "fallback", "deadline", "debounce", "priority", "useful"}

// MaxTop is the largest `top` of a pipeline.
const MaxTop = 1000

// Pipeline is what happens for one kind of prediction: trigger, features, model, candidates, delivery. It is immutable.
type Pipeline struct {
	Name       freshet.PipelineName
	From       []freshet.EventType
	Entity     freshet.EntityKind
	Candidates freshet.TableName // "": one row is scored, the entity itself
	Model      freshet.ModelName
	Top        int           // how many items a prediction keeps; 0: all
	Expires    time.Duration // how long a prediction is served; 0: until the next
	Flags      []string      // names by which apps ask for it, besides its own
	Deadline   time.Duration // for features and model together; 0: none
	Fallback   *Fallback     // what is served if they fail; nil: nothing
	Debounce   time.Duration // one job per entity in this time, that of the newest event; 0: one per event
	Useful     time.Duration // how old a job may be when its turn comes; 0: as old as it is
	Priority   freshet.Priority
	Push       *PipelinePush // what people are told; nil: nothing
	// Digest is that of the definition: equal for definitions that differ in spaces and order of keys only.
	Digest freshet.Digest

	project *Project
	where   *expression.Program // nil: every event
	keep    *input              // nil: every candidate
	inputs  []input
	line    int // of its name, for errors that Bind finds
	column  int
	file    string
}

// input is an expression of the file together with its place.
type input struct {
	name     string // the model's column
	tree     *expression.Tree
	node     *node   // of the expression
	key      *node   // of the name
	r        *reader // knows the places inside node
	required bool
}

// Triggers says whether the event in r makes a prediction job: it is of a type in From, and `where` is true for it. It
// does not allocate.
func (p *Pipeline) Triggers(r *feature.Record) bool {
	if !slices.Contains(p.From, r.Type) {
		return false
	}
	if p.where == nil {
		return true
	}
	yes, ok := p.where.Bool(r.Slots())
	return ok && yes
}

// pipelines reads the pipelines. Their expressions are checked only if all they may name is good.
func (r *reader) pipelines(p *Project, n *node, namesAreGood bool) {
	r.named(n, "pipelines", func(name string, key, value *node) {
		path := "pipelines." + name
		s, ok := r.section(value, path, pipelineKeys, later{
			"required": "",
		})
		if !ok {
			return
		}
		before := len(r.issues)
		l := &Pipeline{Name: freshet.PipelineName(name), project: p, file: r.file, line: key.line, column: key.column}
		complete := true
		for _, k := range []string{"from", "entity", "model"} {
			complete = s.need(k) != nil && complete
		}
		l.Entity = r.entityOf(s)
		l.From = r.from(p, s, l.Entity)
		r.pipelineCandidates(l, s)
		r.pipelineModel(l, s)
		r.pull(l, s.get("pull"), path+".pull")
		r.inputs(l, s)
		l.Deadline = s.duration("deadline", time.Millisecond)
		r.jobPolicy(l, s)
		if !namesAreGood || !complete || l.Entity == "" || len(l.From) == 0 {
			return
		}
		where := r.where(p, l, s)
		if len(r.issues) > before {
			return
		}
		r.fallback(l, s)
		r.pipelinePush(l, s.get("push"), p.Push)
		r.issues = append(r.issues, l.check()...)
		l.Digest = l.digest(where)
		p.Pipelines = append(p.Pipelines, l)
	})
	r.fallbackPipelines(p)
}

// priorities are the words for them in the file.
var priorities = map[string]freshet.Priority{"high": freshet.HighPriority, "normal": freshet.NormalPriority, "low": freshet.LowPriority}

// jobPolicy reads when and whether jobs are run.
func (r *reader) jobPolicy(l *Pipeline, s section) {
	l.Debounce = s.duration("debounce", time.Millisecond)
	l.Useful = s.duration("useful", time.Millisecond)
	if l.Useful > 0 && l.Debounce >= l.Useful {
		r.issue(s.get("useful"), "%s: useful: must be longer than debounce: each job waits %s already", s.path, l.Debounce)
	}
	word := s.text("priority")
	if word == "" {
		return
	}
	p, ok := priorities[word]
	if !ok {
		r.issue(s.get("priority"), "%s: priority: expected high, normal or low, got %s", s.path, word)
	}
	l.Priority = p
}

func (r *reader) pipelineCandidates(l *Pipeline, s section) {
	if name := s.text("candidates"); name != "" {
		if r.declared(s.get("candidates"), s.path+": candidates", "table", name, "tables") {
			l.Candidates = freshet.TableName(name)
		}
	}
	l.Top = s.integer("top", 1, MaxTop)
	for _, k := range []string{"keep", "top"} {
		if n := s.get(k); n != nil && s.get("candidates") == nil {
			r.issue(n, "%s: %s needs candidates", s.path, k)
		}
	}
	if n := s.get("keep"); n != nil {
		l.keep = r.expression(n, s.path+": keep")
	}
}

func (r *reader) pipelineModel(l *Pipeline, s section) {
	name := s.text("model")
	if name == "" {
		return
	}
	if r.declared(s.get("model"), s.path+": model", "model", name, "models") {
		l.Model = freshet.ModelName(name)
	}
}

func (r *reader) pull(l *Pipeline, n *node, path string) {
	if n == nil {
		return
	}
	s, ok := r.section(n, path, []string{"expires", "flags"}, nil)
	if !ok {
		return
	}
	l.Expires = s.duration("expires", time.Second)
	flags, nodes := s.texts("flags")
	for i, f := range flags {
		if r.name(nodes[i], f, path+": flags") && slices.Contains(flags[:i], f) {
			r.issue(nodes[i], "%s: flags: %s stands twice", path, f)
		}
	}
	l.Flags = flags
}

// inputs reads column: expression and column: {value: expression, required: true}. A column is named as the model names it.
func (r *reader) inputs(l *Pipeline, s section) {
	n := s.get("inputs")
	if n == nil {
		return
	}
	if n.kind != mapNode {
		r.issue(n, "%s: inputs: expected a map from the model's columns to expressions", s.path)
		return
	}
	for _, e := range n.entries {
		path, value, required := s.path+".inputs."+e.key.text, e.value, false
		if value.kind == mapNode {
			long, _ := r.section(value, path, []string{"value", "required"}, nil)
			required = long.truth("required")
			if value = long.need("value"); value == nil {
				continue
			}
		}
		if in := r.expression(value, path); in != nil {
			in.name, in.key, in.required = e.key.text, e.key, required
			l.inputs = append(l.inputs, *in)
		}
	}
}

// expression parses the expression at n; nil if that fails, which is reported.
func (r *reader) expression(n *node, what string) *input {
	text := r.scalar(n, what)
	if text == "" {
		return nil
	}
	tree, err := expression.Parse(text)
	if err != nil {
		r.expressionError(n, what, err)
		return nil
	}
	return &input{tree: tree, node: n, r: r}
}

func (r *reader) expressionError(n *node, what string, err error) {
	offset := 0
	if e, ok := errors.AsType[*expression.Error](err); ok {
		offset = e.Offset
	}
	line, column := r.place(n, offset)
	r.issueAt(line, column, "%s: %v", what, err)
}

// where compiles the condition of l and gives its canonical text.
func (r *reader) where(p *Project, l *Pipeline, s section) string {
	n := s.get("where")
	if n == nil {
		return ""
	}
	in := r.expression(n, s.path+": where")
	if in == nil {
		return ""
	}
	env, err := p.Schema.Env(l.From...)
	if err != nil {
		r.definition(s.node, s.path, err)
		return ""
	}
	l.where, err = in.tree.Compile(env)
	if err != nil {
		r.expressionError(n, s.path+": where", err)
		return ""
	}
	if l.where.Type().Kind != expression.Bool {
		r.issue(n, "%s: where: must be a bool, not %s", s.path, l.where.Type())
	}
	return in.tree.String()
}

// digest is that of what l does, in one fixed order.
func (l *Pipeline) digest(where string) freshet.Digest {
	d := struct {
		Format, Name                     string
		From                             []freshet.EventType
		Where, Entity, Candidates, Model string
		Keep                             string
		Inputs                           [][2]string
		Top                              int
		Expires                          time.Duration
		Flags                            []string
		// Left out where there is none: what a version without them has stored keeps its digest.
		Required []string         `json:",omitempty"`
		Deadline time.Duration    `json:",omitempty"`
		Fallback string           `json:",omitempty"`
		Debounce time.Duration    `json:",omitempty"`
		Useful   time.Duration    `json:",omitempty"`
		Priority freshet.Priority `json:",omitempty"`
		Push     json.RawMessage  `json:",omitempty"`
	}{"freshet pipeline 1", string(l.Name), slices.Sorted(slices.Values(l.From)), where, string(l.Entity), string(l.Candidates), string(l.Model),
		"", nil, l.Top, l.Expires, slices.Sorted(slices.Values(l.Flags)), nil, l.Deadline, l.Fallback.String(), l.Debounce, l.Useful, l.Priority, l.Push.canonical()}
	if l.keep != nil {
		d.Keep = l.keep.tree.String()
	}
	for _, in := range l.inputs {
		d.Inputs = append(d.Inputs, [2]string{in.name, in.tree.String()})
		if in.required {
			d.Required = append(d.Required, in.name)
		}
	}
	slices.Sort(d.Required)
	slices.SortFunc(d.Inputs, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // texts and numbers only
	}
	return digest(b)
}
