package feature

import "github.com/freshet-ml/freshet/feature/expression"

// Scratch holds the buffers that Apply, Read and Compute of one view reuse. Make it with View.NewScratch, one per
// goroutine.
type Scratch struct {
	cells    []cell
	operands []operand // of the event at hand, one for each input of the view
	event    occurrence
	frame    []expression.Value
	body     []byte
	out      []byte
	log      sessionLog
	history  []int // events of E, by index
	seen     []int // those of W
}

// NewScratch makes a scratch for this view.
func (v *View) NewScratch() *Scratch {
	s := &Scratch{
		cells:    make([]cell, len(v.components)),
		operands: make([]operand, len(v.inputs)),
		frame:    make([]expression.Value, v.frameSlots),
	}
	for i, c := range v.components {
		s.cells[i] = c.make()
	}
	return s
}

// reset makes the cells those of no events.
func (v *View) reset(s *Scratch) {
	for _, c := range s.cells {
		c.reset()
	}
}

// accepts says whether the event is of the view's types and passes where.
func (v *View) accepts(r *Record) bool {
	if !v.Listens(r.Type) {
		return false
	}
	if v.where == nil {
		return true
	}
	is, known := v.where.Bool(r.slots)
	return is && known
}

// observe makes an event the one at hand: what it means to each input.
func (v *View) observe(s *Scratch, r *Record) {
	s.event.time = int64(r.EventTime)
	s.event.id = append(s.event.id[:0], r.ID...)
	for i := range v.inputs {
		v.inputs[i].observe(&s.operands[i], r.slots)
	}
}

func (in *input) observe(x *operand, slots []expression.Value) {
	x.ok = true
	if in.cond != nil {
		is, known := in.cond.Bool(slots)
		x.ok = is && known
	}
	switch {
	case in.arg == nil || !x.ok:
	case in.scalar:
		x.num, x.ok = in.arg.Number(slots)
		x.num += 0 // there is no negative zero: which of two zeros is the least would depend on their order
	default:
		x.value = in.arg.Eval(slots)
		x.ok = x.value.Kind != expression.Null
	}
}

// addEvent counts the event at hand in all cells.
func (v *View) addEvent(s *Scratch) {
	for i, c := range s.cells {
		c.add(&s.operands[v.components[i].input], &s.event)
	}
}

// finish makes the values of one window out of the cells. dst holds the values of all windows.
func (v *View) finish(s *Scratch, at int64, w int, dst []expression.Value) {
	for i := range v.aggregates {
		a := &v.aggregates[i]
		s.frame[a.slot] = a.result(s.cells[a.cell], at)
	}
	dst = dst[w*len(v.programs):]
	for i := range v.programs {
		p := &v.programs[i]
		if p.run != nil {
			s.frame[p.slot] = p.run.Eval(s.frame)
		}
		dst[i] = s.frame[p.slot]
	}
}
