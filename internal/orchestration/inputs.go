package orchestration

import (
	"math"
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
)

// missingInput is the error of a prediction without a value that its pipeline requires.
func missingInput(column string) error {
	return failed(freshet.InputMissing, freshet.FieldErrorf(freshet.InvalidArgument, column, "input %s is required and has no value", column))
}

// sharedInput is input j, which is the same for all candidates, as the model takes it: a missing value is NaN. It is NaN
// too if it depends on the candidate.
func (f *frame) sharedInput(j int) (x float64, err error) {
	in := &f.p.Plan.Inputs[j]
	given := true
	switch {
	case in.Candidate:
		return math.NaN(), nil
	case in.List:
		x = f.addList(j)
		given = x > 0 || len(f.elements(j)) > 0
	case in.Text:
		_, given = f.p.Text(j, f.entity, f.slots)
		x = f.p.Code(j, f.entity, f.slots)
	case in.Program == nil:
		return math.NaN(), nil
	default:
		x = number(in.Program, f.slots)
		given = !math.IsNaN(x)
	}
	if in.Required && !given {
		return x, missingInput(in.Column)
	}
	return x, nil
}

// elements are those of the list that input j is.
func (f *frame) elements(j int) []expression.Value {
	if p := f.p.Plan.Inputs[j].Program; p != nil {
		return p.Eval(f.slots).List
	}
	return nil
}

// addList puts the numbers of a list's texts among the lists and gives how many the model knows.
func (f *frame) addList(j int) float64 {
	n := len(f.lists)
	f.lists = slices.Grow(f.lists, 1)[:n+1] // not append: the list that an earlier prediction had here is used again
	numbers := f.lists[n][:0]
	for _, v := range f.elements(j) {
		if x := f.p.Texts.Encode(j, v.Str); v.Kind == expression.String && !math.IsNaN(x) {
			numbers = append(numbers, x)
		}
	}
	f.lists[n] = numbers
	return float64(len(numbers))
}

// candidateInput is input j of one candidate, whose values stand in the slots.
func (f *frame) candidateInput(j int, c candidate) float64 {
	in := &f.p.Plan.Inputs[j]
	switch {
	case !in.Text:
		return number(in.Program, f.slots)
	case c.given == nil:
		return f.p.Codes[j][c.row]
	}
	return f.p.Code(j, c.key, f.slots)
}

// number is an input as the model takes it: a missing value is NaN.
func number(p *expression.Program, slots []expression.Value) float64 {
	if v, ok := p.Number(slots); ok {
		return v
	}
	return math.NaN()
}

// explain keeps what the model saw of the best rows.
func (f *frame) explain(best []int) *freshet.Explanation {
	plan := f.p.Plan
	e := &freshet.Explanation{Names: make([]string, len(plan.Inputs)), Inputs: make([][]float64, len(best))}
	for j, in := range plan.Inputs {
		e.Names[j] = in.Column
		if in.Candidate || !in.Text && !in.List {
			continue
		}
		if e.Texts == nil {
			e.Texts = map[string][]string{}
		}
		e.Texts[in.Column] = f.texts(j)
	}
	for n, i := range best {
		e.Inputs[n] = append([]float64(nil), f.inputs[i*len(plan.Inputs):(i+1)*len(plan.Inputs)]...)
	}
	return e
}

// texts are the texts of input j, which all rows share.
func (f *frame) texts(j int) (texts []string) {
	if !f.p.Plan.Inputs[j].List {
		if text, ok := f.p.Text(j, f.entity, f.slots); ok {
			texts = append(texts, strings.Clone(text))
		}
		return texts
	}
	for _, v := range f.elements(j) {
		texts = append(texts, strings.Clone(v.Str))
	}
	return texts
}
