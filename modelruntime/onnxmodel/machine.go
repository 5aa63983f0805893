package onnxmodel

// bind makes one step of a program for the memory of a machine. The step reads and writes nothing else.
type bind func(m *machine) func()

// program is a compiled graph.
type program struct {
	sizes [3]int // elements of the slabs: float32, float64, integers
	steps []bind
}

// machine runs a program for one row after the other. It is not for concurrent use.
type machine struct {
	slab
	steps []func()
	err   error // what a step found wrong with the row
}

func (p *program) start() *machine {
	m := &machine{slab: slab{make([]float32, p.sizes[0]), make([]float64, p.sizes[1]), make([]int64, p.sizes[2])}}
	m.steps = make([]func(), len(p.steps))
	for i, b := range p.steps {
		m.steps[i] = b(m)
	}
	return m
}

func (m *machine) run() error {
	m.err = nil
	for _, step := range m.steps {
		step()
	}
	return m.err
}

// at is the value of an output.
func (m *machine) at(p place) float64 {
	if p.tensor.constant {
		return p.tensor.number(p.index)
	}
	i := p.tensor.offset + p.index
	switch {
	case p.tensor.kind == typeFloat:
		return float64(m.f32[i])
	case p.tensor.kind == typeDouble:
		return m.f64[i]
	}
	return float64(m.i64[i])
}
