package modelregistry

import (
	"context"
	"math"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// goldenRows are rows to try a model on, as it takes them.
type goldenRows struct {
	n         int
	inputs    []float64
	lists     [][][]float64 // of each row one for each column of lists; nil for a model without such
	want      []wanted      // nil: they only have to run
	tolerance float64
}

// of are the rows as m takes them. Returns InvalidArgument, naming the row or the column, if they are none of m.
func (g *saidRows) of(m modelruntime.Model) (*goldenRows, error) {
	f := filler{signature: m.Signature(), columns: g.columns, places: map[string]int{}}
	for i, c := range f.signature.Inputs {
		f.places[c.Name] = i
	}
	f.ranker, _ = m.(modelruntime.Ranker)
	width := len(f.signature.Inputs)
	rows := &goldenRows{n: len(g.inputs), inputs: make([]float64, 0, len(g.inputs)*width), tolerance: g.tolerance}
	for i, cells := range g.inputs {
		if err := f.row(cells); err != nil {
			return nil, freshet.Errorf("", "row %d: %w", i, err)
		}
		rows.inputs = append(rows.inputs, f.values...)
		if f.lists != nil {
			rows.lists = append(rows.lists, f.lists)
		}
	}
	return rows, rows.expect(g.outputs, f.signature.Outputs)
}

// filler puts the cells of one row where a model takes them.
type filler struct {
	signature modelruntime.Signature
	places    map[string]int      // by the names of the signature's columns
	ranker    modelruntime.Ranker // nil: the model takes numbers only
	columns   []string            // of the cells; nil: the model's order

	values []float64
	lists  [][]float64 // in the order of the columns of lists
	filled []bool
	next   int // the column of the next cell without a name
}

func (f *filler) row(cells []any) error {
	width := len(f.signature.Inputs)
	f.values, f.filled, f.lists, f.next = slices.Repeat([]float64{math.NaN()}, width), make([]bool, width), nil, 0
	for _, c := range f.signature.Inputs {
		if c.Type == modelruntime.TextsType {
			f.lists = append(f.lists, nil)
		}
	}
	if f.columns != nil && len(cells) != len(f.columns) {
		return freshet.Errorf(freshet.InvalidArgument, "it has %d values for %d columns", len(cells), len(f.columns))
	}
	inOrder := f.columns == nil || f.signature.Positional && len(cells) == width
	for j, cell := range cells {
		err := error(nil)
		if inOrder {
			err = f.inOrder(cell)
		} else {
			err = f.named(f.columns[j], cell)
		}
		if err != nil {
			return err
		}
	}
	for i, c := range f.signature.Inputs {
		if !f.filled[i] && !c.Optional {
			return freshet.FieldErrorf(freshet.InvalidArgument, c.Name, "it has no value for column %q of the model, which takes %d", c.Name, width)
		}
	}
	return nil
}

// inOrder takes a cell as that of the next column; a tensor as those of the next columns.
func (f *filler) inOrder(cell any) error {
	if f.next >= len(f.values) {
		return freshet.Errorf(freshet.InvalidArgument, "it has more values than the %d columns of the model", len(f.values))
	}
	if list, ok := cell.([]any); ok && f.signature.Inputs[f.next].Type != modelruntime.TextsType {
		for _, cell := range list {
			if err := f.inOrder(cell); err != nil {
				return err
			}
		}
		return nil
	}
	f.next++
	return f.set(f.next-1, cell)
}

// named takes a cell as that of a column; a tensor as its columns, or as all of a model that knows its columns by position.
func (f *filler) named(name string, cell any) error {
	place := f.find(name)
	list, ok := cell.([]any)
	if place >= 0 && (!ok || f.signature.Inputs[place].Type == modelruntime.TextsType) {
		return f.set(place, cell)
	}
	if !ok {
		return freshet.FieldErrorf(freshet.InvalidArgument, name, "column %q is no input of the model", name)
	}
	numbers := flat(nil, list)
	if f.signature.Positional && len(f.columns) == 1 && len(numbers) == len(f.values) {
		return f.inOrder(numbers)
	}
	for i, column := range modelruntime.TensorColumns(name, len(numbers)) {
		if place = f.find(column); place < 0 {
			return freshet.FieldErrorf(freshet.InvalidArgument, column, "column %q is no input of the model", column)
		}
		if err := f.set(place, numbers[i]); err != nil {
			return err
		}
	}
	return nil
}

func flat(dst, list []any) []any {
	for _, cell := range list {
		if inner, ok := cell.([]any); ok {
			dst = flat(dst, inner)
		} else {
			dst = append(dst, cell)
		}
	}
	return dst
}

func (f *filler) find(name string) int {
	if place, ok := f.places[name]; ok {
		return place
	}
	return -1
}

// set gives the column at place its value.
func (f *filler) set(place int, cell any) (err error) {
	c := f.signature.Inputs[place]
	if f.filled[place] {
		return freshet.FieldErrorf(freshet.InvalidArgument, c.Name, "column %q is there twice", c.Name)
	}
	f.filled[place] = true
	switch {
	case c.Type == modelruntime.TextsType && f.ranker != nil:
		f.values[place], err = f.list(place, cell)
	case c.Type == modelruntime.TextType && f.ranker != nil:
		f.values[place], err = f.text(place, cell)
	default:
		v, ok := numberOf(cell)
		if !ok {
			return freshet.FieldErrorf(freshet.InvalidArgument, c.Name, "column %q holds no number", c.Name)
		}
		f.values[place] = v
	}
	return err
}

// text is the number by which the model knows a text; NaN if it does not, or if there is none.
func (f *filler) text(place int, cell any) (float64, error) {
	switch cell := cell.(type) {
	case nil:
		return math.NaN(), nil
	case string:
		return f.ranker.Encode(place, cell), nil
	}
	name := f.signature.Inputs[place].Name
	return 0, freshet.FieldErrorf(freshet.InvalidArgument, name, "column %q holds no text", name)
}

// list takes a list of texts and returns how many of them the model knows.
func (f *filler) list(place int, cell any) (float64, error) {
	texts, ok := cell.([]any)
	if !ok && cell != nil {
		name := f.signature.Inputs[place].Name
		return 0, freshet.FieldErrorf(freshet.InvalidArgument, name, "column %q holds no list of texts", name)
	}
	var known []float64
	for _, text := range texts {
		n, err := f.text(place, text)
		if err != nil {
			return 0, err
		}
		if !math.IsNaN(n) {
			known = append(known, n)
		}
	}
	at := 0 // among the columns of lists
	for _, c := range f.signature.Inputs[:place] {
		if c.Type == modelruntime.TextsType {
			at++
		}
	}
	f.lists[at] = known
	return float64(len(known)), nil
}

// numberOf reads a number as Python writes it: null is missing, true is 1.
func numberOf(cell any) (float64, bool) {
	switch cell := cell.(type) {
	case float64:
		return cell, true
	case bool:
		if cell {
			return 1, true
		}
		return 0, true
	case nil:
		return math.NaN(), true
	case string:
		switch cell {
		case "NaN":
			return math.NaN(), true
		case "Infinity":
			return math.Inf(1), true
		case "-Infinity":
			return math.Inf(-1), true
		}
	}
	return 0, false
}

// run has m answer the rows and compares.
func (g *goldenRows) run(ctx context.Context, m modelruntime.Model) error {
	s := m.Signature()
	width, outs := len(s.Inputs), len(s.Outputs)
	answers := make([]float64, g.n*outs)
	err := error(nil)
	if g.lists == nil {
		err = m.Predict(ctx, g.inputs, answers)
	}
	for i, lists := range g.lists {
		if err == nil {
			err = m.(modelruntime.Ranker).Rank(ctx, lists, g.inputs[i*width:(i+1)*width], answers[i*outs:(i+1)*outs])
		}
	}
	if err != nil {
		return freshet.Errorf("", "the model does not answer its own rows: %w", err)
	}
	for _, w := range g.want {
		a := answers[w.row*outs+w.output]
		if a == w.value || math.IsNaN(a) && math.IsNaN(w.value) || math.Abs(a-w.value) <= g.tolerance*max(1, math.Abs(w.value)) {
			continue
		}
		why := "the file is not the model that was evaluated, or it is read wrongly"
		if a > 0 && a < 1 && w.value == math.Trunc(w.value) {
			why = "expected are, " + ofClassifier + "; if it is none, " + why
		}
		return freshet.FieldErrorf(freshet.Unprocessable, "outputs", "row %d: the model answers %v where %v is expected, more than the tolerance of %v away: %s",
			w.row, a, w.value, g.tolerance, why)
	}
	return nil
}
