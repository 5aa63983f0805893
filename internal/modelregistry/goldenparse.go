package modelregistry

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/freshet-ml/freshet"
)

// saidRows are rows as a file says them. A cell is what encoding/json makes of it: a number, true, a text, nil for what is
// missing, or a list, of texts or of the numbers of a tensor.
type saidRows struct {
	columns   []string // nil: the model's order
	inputs    [][]any
	outputs   any // a list with one element a row, or lists by the outputs' names; nil: the rows only have to run
	tolerance float64
}

// parseRows reads golden.json ({"columns", "inputs", "outputs", "tolerance"}), and what MLflow writes as an example: a data
// frame ({"columns", "data"}, alone or as "dataframe_split"; a list of records), an array (alone, or as "inputs" or
// "instances"), or arrays by name ({"x": [[1, 2], [3, 4]]}, alone or as "inputs").
func parseRows(text []byte, golden bool) (saidRows, error) {
	g := saidRows{tolerance: goldenTolerance}
	var file any
	if err := json.Unmarshal(strictJSON(text), &file); err != nil {
		return g, freshet.Errorf(freshet.InvalidArgument, "it cannot be read as rows: %w", err)
	}
	if object, ok := file.(map[string]any); ok && (golden || !byName(object)) {
		file = g.take(object)
	}
	if err := g.setInputs(file); err != nil {
		return g, err
	}
	if len(g.inputs) == 0 || len(g.inputs) > maxGoldenRows {
		return g, freshet.Errorf(freshet.InvalidArgument, "it holds %d rows; expected 1 to %d", len(g.inputs), maxGoldenRows)
	}
	return g, nil
}

// wrapping are the keys of a file that say what kind of rows it holds, and those beside them.
var wrapping = []string{"dataframe_split", "dataframe_records", "instances", "inputs", "data", "columns", "index", "outputs", "tolerance", "params"}

// byName tells an object whose keys are the model's own names.
func byName(object map[string]any) bool {
	for key := range object {
		if !slices.Contains(wrapping, key) {
			return true
		}
	}
	return false
}

// take takes what stands beside the rows and returns the rows.
func (g *saidRows) take(object map[string]any) any {
	g.outputs = object["outputs"]
	if t, ok := object["tolerance"].(float64); ok && t > 0 {
		g.tolerance = t
	}
	if split, ok := object["dataframe_split"].(map[string]any); ok {
		object = split
	}
	if names, ok := object["columns"].([]any); ok {
		g.columns = make([]string, len(names))
		for i, name := range names {
			g.columns[i], _ = name.(string) // a column without a name is found by none
		}
	}
	for _, key := range []string{"data", "inputs", "dataframe_records", "instances"} {
		if rows, ok := object[key]; ok {
			return rows
		}
	}
	return nil
}

// setInputs takes rows: a list of them, or lists by name.
func (g *saidRows) setInputs(rows any) error {
	switch rows := rows.(type) {
	case []any:
		if len(rows) > 0 {
			if _, ok := rows[0].(map[string]any); ok {
				return g.setRecords(rows)
			}
		}
		for _, row := range rows {
			cells, ok := row.([]any)
			if !ok {
				cells = []any{row}
			}
			g.inputs = append(g.inputs, cells)
		}
		return nil
	case map[string]any:
		return g.setColumns(rows)
	}
	return freshet.FieldErrorf(freshet.InvalidArgument, "inputs", "it holds no inputs: expected a list of rows")
}

// setRecords takes rows that name their values; all have those of the first.
func (g *saidRows) setRecords(rows []any) error {
	first, _ := rows[0].(map[string]any)
	g.columns = slices.Sorted(maps.Keys(first))
	for i, row := range rows {
		record, ok := row.(map[string]any)
		cells := make([]any, len(g.columns))
		for j, name := range g.columns {
			cell, has := record[name]
			ok = ok && has
			cells[j] = cell
		}
		if !ok || len(record) != len(cells) {
			return freshet.Errorf(freshet.InvalidArgument, "row %d does not have the columns of the first", i)
		}
		g.inputs = append(g.inputs, cells)
	}
	return nil
}

// setColumns takes a list of values for each name; a single value is a list of one.
func (g *saidRows) setColumns(columns map[string]any) error {
	g.columns = slices.Sorted(maps.Keys(columns))
	for j, name := range g.columns {
		cells, ok := columns[name].([]any)
		if !ok {
			cells = []any{columns[name]}
		}
		if j == 0 {
			if len(cells) > maxGoldenRows {
				return freshet.Errorf(freshet.InvalidArgument, "it holds %d rows; expected 1 to %d", len(cells), maxGoldenRows)
			}
			g.inputs = make([][]any, len(cells))
		}
		if len(cells) != len(g.inputs) {
			return freshet.FieldErrorf(freshet.InvalidArgument, name, "%q has %d rows and %q %d", name, len(cells), g.columns[0], len(g.inputs))
		}
		for i, cell := range cells {
			g.inputs[i] = append(g.inputs[i], cell)
		}
	}
	return nil
}

// strictJSON quotes the tokens NaN, Infinity and -Infinity, which Python writes and JSON does not have.
func strictJSON(text []byte) []byte {
	strict := make([]byte, 0, len(text))
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		if quoted {
			strict = append(strict, c)
			if c == '\\' && i+1 < len(text) {
				i++
				strict = append(strict, text[i])
			}
			quoted = c != '"'
			continue
		}
		if token := pythonNumber(text[i:]); token != "" {
			strict = append(append(append(strict, '"'), token...), '"')
			i += len(token) - 1
			continue
		}
		quoted = c == '"'
		strict = append(strict, c)
	}
	return strict
}

func pythonNumber(text []byte) string {
	for _, token := range []string{"NaN", "Infinity", "-Infinity"} {
		if len(text) >= len(token) && string(text[:len(token)]) == token {
			return token
		}
	}
	return ""
}
