package feature

import (
	"strconv"

	"github.com/freshet-ml/freshet/embed"
	"github.com/freshet-ml/freshet/feature/expression"
)

// frame is the environment in which the features of a view are compiled, and what comes of it. Its slots hold the results of
// aggregate calls and the values of features, in the order in which they turn up. Equal calls share a slot, aggregates
// that need the same state share a cell.
type frame struct {
	events   *eventEnv
	embedder embed.Embedder // nil: no text can be embedded
	embeds   bool           // that a feature does
	slots    int
	names    map[string]expression.Slot // of the features so far
	calls    map[string]expression.Slot

	inputs     []input
	components []component
	aggregates []aggregate
	inputOf    map[string]int
	cellOf     map[string]int
	numbersOf  map[int]*numbersPlan // by input
}

// numbersPlan gathers what all aggregates over one input need of its numbersCell.
type numbersPlan struct {
	cell  int
	needs numbersNeeds
}

func newFrame(events *eventEnv, embedder embed.Embedder) *frame {
	return &frame{
		events:    events,
		embedder:  embedder,
		names:     map[string]expression.Slot{},
		calls:     map[string]expression.Slot{},
		inputOf:   map[string]int{},
		cellOf:    map[string]int{},
		numbersOf: map[int]*numbersPlan{},
	}
}

// Resolve finds an earlier feature.
func (f *frame) Resolve(name string) (expression.Slot, bool) {
	slot, ok := f.names[name]
	return slot, ok
}

// Names lists the earlier features.
func (f *frame) Names() []string {
	var names []string
	for name := range f.names {
		names = append(names, name)
	}
	return names
}

// Functions lists the aggregates.
func (f *frame) Functions() []string { return aggregateNames() }

// Call compiles an aggregate.
func (f *frame) Call(name string, args []*expression.Tree) (expression.Slot, bool, error) {
	c := &call{frame: f, name: name, args: args}
	compile, ok := aggregates[name]
	if !ok {
		return expression.Slot{}, false, nil
	}
	if slot, ok := f.calls[c.text()]; ok {
		return slot, true, nil
	}
	slot, err := compile(c)
	if err != nil {
		return expression.Slot{}, true, err
	}
	f.calls[c.text()] = slot
	return slot, true, nil
}

// resultOf finds the slot of an expression that is nothing but the call of an aggregate.
func (f *frame) resultOf(t *expression.Tree) (expression.Slot, bool) {
	name, args, ok := t.Call()
	if !ok {
		return expression.Slot{}, false
	}
	slot, ok := f.calls[(&call{name: name, args: args}).text()]
	return slot, ok
}

func (f *frame) slot(t expression.Type) expression.Slot {
	f.slots++
	return expression.Slot{Index: f.slots - 1, Type: t}
}

// input finds or adds an input; key is its canonical text.
func (f *frame) input(key string, in input) int {
	if i, ok := f.inputOf[key]; ok {
		return i
	}
	f.inputs = append(f.inputs, in)
	f.inputOf[key] = len(f.inputs) - 1
	return len(f.inputs) - 1
}

// component finds or adds a cell of a kind over an input.
func (f *frame) component(kind string, in int, make func() cell) int {
	key := kind + " of " + strconv.Itoa(in)
	if i, ok := f.cellOf[key]; ok {
		return i
	}
	f.components = append(f.components, component{input: in, make: make})
	f.cellOf[key] = len(f.components) - 1
	return len(f.components) - 1
}

// numbers finds or adds the exact sums over an input, and makes sure that they hold what is needed.
func (f *frame) numbers(in int, needs numbersNeeds) int {
	plan := f.numbersOf[in]
	if plan == nil {
		plan = &numbersPlan{}
		f.numbersOf[in] = plan
		plan.cell = f.component("numbers", in, func() cell { return &numbersCell{needs: plan.needs} })
	}
	plan.needs.add(needs)
	return plan.cell
}

// aggregate adds the result of a call to the frame.
func (f *frame) aggregate(t expression.Type, cell int, result func(cell, int64) expression.Value) expression.Slot {
	slot := f.slot(t)
	f.aggregates = append(f.aggregates, aggregate{cell: cell, slot: slot.Index, result: result})
	return slot
}
