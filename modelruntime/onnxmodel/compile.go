package onnxmodel

import (
	"io/fs"
	"runtime"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Bounds of the work for one row.
const (
	maxElements = 1 << 22 // of all tensors together that are computed: at most 32 MB in each machine
	maxFolded   = 1 << 23 // of those computed when the model is opened
	maxIndexes  = 1 << 22 // of the tables that say which element goes where
	maxWork     = 1 << 28 // multiplications and element operations: below a second
)

// Versions of the operators that are read. Before 7, arithmetic broadcast by other rules.
var opsetRange = map[string][2]int64{"": {7, 28}, mlDomain: {1, 5}}

const mlDomain = "ai.onnx.ml"

// instead says what to do about a graph outside the subset.
const instead = "export the model to operators of the subset (docs/guide/models.md), or serve it remotely"

// compiler makes a model from a graph.
type compiler struct {
	files     side
	opsets    map[string]int64
	functions map[operator]bool
	graph     *graphProto
	tensors   map[string]*tensor
	makers    map[string]*nodeProto // by output
	reads     map[string]bool       // tensors that something needs
	program   program
	elements  int // of the machines
	folded    int // elements computed when the model is opened
	indexes   int
	work      int
}

func compile(dir fs.FS, m *modelProto) (modelruntime.Model, error) {
	c := &compiler{
		files: side{dir: dir, left: modelruntime.MaxFileBytes}, opsets: m.opsets, functions: m.functions, graph: m.graph,
		tensors: make(map[string]*tensor), makers: make(map[string]*nodeProto), reads: make(map[string]bool),
	}
	if err := c.checkNodes(); err != nil {
		return nil, err
	}
	if err := c.addInitializers(); err != nil {
		return nil, err
	}
	opened := &model{free: make(chan *machine, runtime.GOMAXPROCS(0))}
	if err := c.addInputs(opened); err != nil {
		return nil, err
	}
	outputs, err := c.scores()
	if err != nil {
		return nil, err
	}
	nodes, err := c.order(outputs)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if err := c.add(n); err != nil {
			return nil, err
		}
	}
	if err := c.addOutputs(opened, outputs); err != nil {
		return nil, err
	}
	opened.program = c.program
	opened.release(opened.program.start()) // so that the first row finds one
	return opened, nil
}

// checkNodes refuses what is not known, whether the answer depends on it or not.
func (c *compiler) checkNodes() error {
	for _, o := range c.graph.outputs {
		c.reads[o.name] = true
	}
	for _, n := range c.graph.nodes {
		for _, name := range n.inputs {
			c.reads[name] = true
		}
		domain := n.domain
		if domain == "" {
			domain = "ai.onnx"
		}
		if c.functions[operator{n.domain, n.op}] { // also in place of an operator that is read
			return unsupported("operator %.60s of domain %.60s is a function that the model defines itself, which is not read: put its nodes into the graph "+
				"(onnx.inliner.inline_local_functions)", n.op, domain)
		}
		if _, ok := operators[operator{n.domain, n.op}]; !ok {
			return unsupported("operator %.60s of domain %.60s is outside the subset that is read: %s", n.op, domain, instead)
		}
		version, ok := c.opsets[n.domain]
		if !ok {
			return invalid("opset_import says no version for domain %s, which %s belongs to", domain, n.op)
		}
		if limits := opsetRange[n.domain]; version < limits[0] || version > limits[1] {
			return unsupported("opset %d of domain %s: %d to %d are read; export the model with one of them (target_opset)", version, domain, limits[0], limits[1])
		}
		for _, name := range n.outputs {
			if name == "" {
				continue
			}
			if c.makers[name] != nil {
				return invalid("tensor %.60q is made by two nodes", name)
			}
			c.makers[name] = n
		}
	}
	return nil
}

func (c *compiler) addInitializers() error {
	for _, t := range c.graph.initializers {
		if c.tensors[t.name] != nil || c.makers[t.name] != nil {
			return invalid("tensor %.60q is in the graph twice", t.name)
		}
		constant, err := t.constant(&c.files)
		if err != nil {
			return err
		}
		c.tensors[t.name] = constant
	}
	return nil
}

// order lists the nodes that the outputs depend on, each after those that it depends on.
func (c *compiler) order(outputs []valueProto) ([]*nodeProto, error) {
	type visit struct {
		node *nodeProto
		next int // input to look at
	}
	var order []*nodeProto
	done := make(map[*nodeProto]bool) // false: begun
	for _, o := range outputs {
		var path []visit
		begin := func(name, reader string) error {
			n := c.makers[name]
			if name == "" || c.tensors[name] != nil {
				return nil
			}
			if n == nil {
				return invalid("tensor %.60q, which %s, is no input, no initializer and no output of a node", name, reader)
			}
			finished, begun := done[n]
			if begun && !finished {
				return invalid("the graph has a cycle: %s depends on its own output %.60q", n.title(), name)
			}
			if !begun {
				done[n] = false
				path = append(path, visit{node: n})
			}
			return nil
		}
		if err := begin(o.name, "the graph gives as an output"); err != nil {
			return nil, err
		}
		for len(path) > 0 {
			top := &path[len(path)-1]
			if top.next == len(top.node.inputs) {
				done[top.node] = true
				order = append(order, top.node)
				path = path[:len(path)-1]
				continue
			}
			top.next++
			if err := begin(top.node.inputs[top.next-1], top.node.title()+" reads"); err != nil {
				return nil, err
			}
		}
	}
	return order, nil
}

// title is how errors call a node.
func (n *nodeProto) title() string {
	if n.name == "" || n.name == n.op {
		return n.op
	}
	if len(n.name) > 60 {
		return n.op + " (node " + n.name[:60] + "…)"
	}
	return n.op + " (node " + n.name + ")"
}

// add compiles one node, whose inputs are there.
func (c *compiler) add(n *nodeProto) error {
	call := &call{compiler: c, node: n, version: c.opsets[n.domain]}
	for _, name := range n.inputs {
		call.inputs = append(call.inputs, c.tensors[name]) // nil for ""
	}
	err := call.run()
	if err != nil {
		return freshet.Errorf("", "%s: %w", n.title(), err)
	}
	return nil
}

// run calls the operator, and evaluates it now if it depends on no input of the graph.
func (c *call) run() error {
	build := operators[operator{c.node.domain, c.node.op}]
	for _, t := range c.inputs {
		c.variable = c.variable || t != nil && !t.constant
	}
	step, err := build(c)
	if err != nil {
		return err
	}
	for _, a := range c.node.attributes {
		if !a.used {
			return unsupported("attribute %.60q is not known", a.name)
		}
	}
	for i, name := range c.node.outputs {
		if name != "" && c.tensors[name] == nil && c.reads[name] {
			return unsupported("output %d (%.60q) is not given", i, name)
		}
	}
	if step == nil {
		return nil
	}
	if c.variable {
		c.program.steps = append(c.program.steps, step)
		return nil
	}
	now := &machine{}
	step(now)()
	return now.err
}

// spend counts memory and work, and refuses what is beyond the bounds.
func (c *compiler) spend(elements, indexes, work int) error {
	c.elements, c.indexes, c.work = c.elements+elements, c.indexes+indexes, c.work+work
	if c.elements > maxElements || c.folded > maxFolded || c.indexes > maxIndexes || c.work > maxWork {
		return freshet.Errorf(freshet.TooLarge, "one row of the graph would take more than %d elements or %d operations", maxElements, maxWork)
	}
	return nil
}

// place gives a tensor that is computed its memory: in the machines, or of its own if it is evaluated now.
func (c *compiler) place(t *tensor) {
	var size *int
	switch {
	case t.kind == typeString:
		return
	case t.kind == typeFloat:
		size = &c.program.sizes[0]
		if t.constant {
			t.f32 = make([]float32, t.count)
		}
	case t.kind == typeDouble:
		size = &c.program.sizes[1]
		if t.constant {
			t.f64 = make([]float64, t.count)
		}
	default:
		size = &c.program.sizes[2]
		if t.constant {
			t.i64 = make([]int64, t.count)
		}
	}
	if !t.constant {
		t.offset = *size
		*size += t.count
	}
}
