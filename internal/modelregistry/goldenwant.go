package modelregistry

import (
	"maps"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// wanted is an answer that a file says.
type wanted struct {
	row, output int
	value       float64
}

// expect takes the answers that a file says: one element a row, which is a number, a list of them, or numbers by the outputs'
// names; or such by name. Nil: it says none.
func (g *goldenRows) expect(outputs any, names []string) error {
	switch outputs := outputs.(type) {
	case nil:
		return nil
	case []any:
		if len(outputs) != g.n {
			return freshet.FieldErrorf(freshet.InvalidArgument, "outputs", "there are %d outputs for %d inputs", len(outputs), g.n)
		}
		for i, answer := range outputs {
			if err := g.expectRow(i, answer, names); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		said := saidRows{}
		if err := said.setColumns(outputs); err != nil {
			return err
		}
		if len(said.inputs) != g.n {
			return freshet.FieldErrorf(freshet.InvalidArgument, "outputs", "there are %d outputs for %d inputs", len(said.inputs), g.n)
		}
		for i, cells := range said.inputs {
			answer := map[string]any{}
			for j, name := range said.columns {
				answer[name] = cells[j]
			}
			if err := g.expectRow(i, answer, names); err != nil {
				return err
			}
		}
		return nil
	}
	return freshet.FieldErrorf(freshet.InvalidArgument, "outputs", "expected a list with the answers to each row")
}

// ofClassifier is what people mistake who write down what predict gives.
const ofClassifier = "of a classifier its scores, as predict_proba gives them, and not the label"

func (g *goldenRows) expectRow(row int, answer any, names []string) error {
	if named, ok := answer.(map[string]any); ok {
		return g.expectNamed(row, named, names)
	}
	list, ok := answer.([]any)
	if !ok {
		list = []any{answer}
	}
	list = flat(nil, list)
	if len(list) != len(names) {
		what := ""
		if len(list) == 1 {
			what = ": " + ofClassifier
		}
		return freshet.FieldErrorf(freshet.InvalidArgument, "outputs", "row %d has %d outputs; the model gives %d%s", row, len(list), len(names), what)
	}
	for i, cell := range list {
		if err := g.expectOne(row, i, cell); err != nil {
			return err
		}
	}
	return nil
}

// expectNamed takes answers by name. What the model does not give, such as a label beside its scores, is passed over, but
// not all of it.
func (g *goldenRows) expectNamed(row int, answers map[string]any, names []string) error {
	before := len(g.want)
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		cells := []any{answers[name]}
		if list, ok := answers[name].([]any); ok {
			cells = flat(nil, list)
		}
		for i, column := range modelruntime.TensorColumns(name, len(cells)) {
			if output := slices.Index(names, column); output >= 0 {
				if err := g.expectOne(row, output, cells[i]); err != nil {
					return err
				}
			}
		}
	}
	if len(g.want) == before {
		return freshet.FieldErrorf(freshet.InvalidArgument, "outputs", "row %d names no output of the model, which gives %q", row, names[:min(len(names), 8)])
	}
	return nil
}

func (g *goldenRows) expectOne(row, output int, cell any) error {
	v, ok := numberOf(cell)
	if text, isText := cell.(string); isText && !ok {
		return freshet.FieldErrorf(freshet.InvalidArgument, "outputs",
			"row %d holds the text %q; expected numbers: %s", row, text[:min(len(text), 64)], ofClassifier)
	}
	if !ok {
		return freshet.FieldErrorf(freshet.InvalidArgument, "outputs", "row %d holds no number", row)
	}
	g.want = append(g.want, wanted{row, output, v})
	return nil
}
