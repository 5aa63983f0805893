package modelregistry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Golden says which rows an artifact was tried on.
type Golden struct {
	File     string // "" if it brings none
	Rows     int
	Compared bool // with the answers that the file says
}

func (g Golden) String() string {
	switch {
	case g.File == "":
		return "it brings no golden rows: it was opened, and not tried"
	case g.Compared:
		return fmt.Sprintf("%d golden rows of %s agree", g.Rows, g.File)
	}
	return fmt.Sprintf("%d rows of %s run", g.Rows, g.File)
}

const (
	goldenName     = "golden.json"
	maxGoldenRows  = 10_000
	maxGoldenBytes = 16 << 20
	// goldenTolerance is that of a golden.json that says none: |got − want| ≤ tolerance · max(1, |want|).
	goldenTolerance = 1e-6
)

// examples are the files of rows in the order in which they are looked for; all but the first are MLflow's and have no answers.
var examples = []string{goldenName, "serving_input_example.json", "input_example.json"}

// runGolden runs the rows that an artifact brings.
func runGolden(ctx context.Context, dir fs.FS, m modelruntime.Model) (Golden, error) {
	for _, name := range examples {
		info, err := fs.Stat(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Golden{}, freshet.Errorf(freshet.InvalidArgument, "%s: %w", name, err)
		}
		if info.Size() > maxGoldenBytes {
			return Golden{}, freshet.Errorf(freshet.TooLarge, "%s has %d bytes; at most %d are read", name, info.Size(), maxGoldenBytes)
		}
		text, err := modelruntime.ReadFile(dir, name)
		if err != nil {
			return Golden{}, err
		}
		rows, err := parseRows(text)
		if err == nil {
			err = rows.run(ctx, m)
		}
		if err != nil {
			return Golden{}, freshet.Errorf("", "%s: %w", name, err)
		}
		return Golden{File: name, Rows: len(rows.inputs), Compared: rows.outputs != nil}, nil
	}
	return Golden{}, nil
}

// goldenRows are rows to try a model on.
type goldenRows struct {
	columns   []string // nil: the model's order
	inputs    [][]number
	outputs   [][]number // nil: they only have to run
	tolerance float64
}

// run has m answer the rows and compares.
func (g goldenRows) run(ctx context.Context, m modelruntime.Model) error {
	s := m.Signature()
	places, err := g.places(s)
	if err != nil {
		return err
	}
	width := len(s.Inputs)
	inputs, outputs := make([]float64, len(g.inputs)*width), make([]float64, len(g.inputs)*len(s.Outputs))
	for i, row := range g.inputs {
		if len(row) != len(places) {
			return freshet.Errorf(freshet.InvalidArgument, "row %d has %d values; expected %d", i, len(row), len(places))
		}
		for j, v := range row {
			inputs[i*width+places[j]] = float64(v)
		}
	}
	if err := m.Predict(ctx, inputs, outputs); err != nil {
		return freshet.Errorf("", "the model does not answer its own rows: %w", err)
	}
	if g.outputs == nil {
		return nil
	}
	return g.compare(outputs, len(s.Outputs))
}

// places says which input of the model each column of the rows is.
func (g goldenRows) places(s modelruntime.Signature) ([]int, error) {
	places := make([]int, len(s.Inputs))
	if g.columns == nil || s.Positional && len(g.columns) == len(places) {
		for i := range places {
			places[i] = i
		}
		return places, nil
	}
	if len(g.columns) != len(places) {
		return nil, freshet.Errorf(freshet.InvalidArgument, "the rows have %d columns; the model takes %d", len(g.columns), len(places))
	}
	for i, name := range g.columns {
		places[i] = slices.IndexFunc(s.Inputs, func(c modelruntime.Column) bool { return c.Name == name })
		if places[i] < 0 || slices.Contains(g.columns[:i], name) {
			return nil, freshet.FieldErrorf(freshet.InvalidArgument, name, "column %q of the rows is no input of the model, or is there twice", name)
		}
	}
	return places, nil
}

func (g goldenRows) compare(got []float64, width int) error {
	if len(g.outputs) != len(g.inputs) {
		return freshet.FieldErrorf(freshet.InvalidArgument, "outputs", "there are %d outputs for %d inputs", len(g.outputs), len(g.inputs))
	}
	for i, want := range g.outputs {
		if len(want) != width {
			return freshet.FieldErrorf(freshet.InvalidArgument, "outputs", "row %d has %d outputs; the model gives %d", i, len(want), width)
		}
		for j, w := range want {
			w, a := float64(w), got[i*width+j]
			if a == w || math.IsNaN(a) && math.IsNaN(w) || math.Abs(a-w) <= g.tolerance*max(1, math.Abs(w)) {
				continue
			}
			return freshet.FieldErrorf(freshet.Unprocessable, "outputs",
				"row %d: the model answers %v where %v is expected, more than the tolerance of %v away: the file is not the model that was evaluated, or it is read wrongly", i, a, w, g.tolerance)
		}
	}
	return nil
}

// parseRows reads golden.json ({"columns", "inputs", "outputs", "tolerance"}), and what MLflow writes as an example: a data
// frame ({"columns", "data"}, alone or as "dataframe_split") or an array (alone, or as "inputs").
func parseRows(text []byte) (goldenRows, error) {
	text = strictJSON(text)
	var file struct {
		Columns   []string        `json:"columns"`
		Data      [][]number      `json:"data"`
		Inputs    json.RawMessage `json:"inputs"`
		Outputs   []answer        `json:"outputs"`
		Tolerance float64         `json:"tolerance"`
		Split     *struct {
			Columns []string   `json:"columns"`
			Data    [][]number `json:"data"`
		} `json:"dataframe_split"`
	}
	g := goldenRows{}
	if json.Unmarshal(text, &g.inputs) == nil { // a bare array
		return g.checked()
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return g, freshet.Errorf(freshet.InvalidArgument, "it cannot be read as rows: %w", err)
	}
	g.columns, g.inputs, g.tolerance = file.Columns, file.Data, cmp.Or(file.Tolerance, goldenTolerance)
	if file.Split != nil {
		g.columns, g.inputs = file.Split.Columns, file.Split.Data
	}
	if file.Inputs != nil {
		if err := json.Unmarshal(file.Inputs, &g.inputs); err != nil {
			return g, freshet.FieldErrorf(freshet.InvalidArgument, "inputs", "inputs: expected a list of rows of numbers: %w", err)
		}
	}
	for _, a := range file.Outputs {
		g.outputs = append(g.outputs, a)
	}
	return g.checked()
}

func (g goldenRows) checked() (goldenRows, error) {
	if len(g.inputs) == 0 || len(g.inputs) > maxGoldenRows {
		return g, freshet.Errorf(freshet.InvalidArgument, "it holds %d rows; expected 1 to %d", len(g.inputs), maxGoldenRows)
	}
	return g, nil
}

// number is a value of a row: null is missing, "Infinity" and "-Infinity" are texts, true is 1.
type number float64

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "null", `"NaN"`:
		*n = number(math.NaN())
	case `"Infinity"`:
		*n = number(math.Inf(1))
	case `"-Infinity"`:
		*n = number(math.Inf(-1))
	case "true":
		*n = 1
	case "false":
		*n = 0
	default:
		return json.Unmarshal(b, (*float64)(n))
	}
	return nil
}

// answer is the outputs of one row: a number or a list of them.
type answer []number

// UnmarshalJSON implements json.Unmarshaler.
func (a *answer) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]number)(a))
	}
	*a = make(answer, 1)
	return (*a)[0].UnmarshalJSON(b)
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
