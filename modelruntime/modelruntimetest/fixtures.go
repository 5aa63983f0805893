package modelruntimetest

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/sharedtest"
	"github.com/freshet-ml/freshet/modelruntime"
)

// Fixtures is the directory of models that the real libraries saved: ../shared/fixtures beside the repository. It skips
// the test if there is none.
func Fixtures(t testing.TB) string { return sharedtest.Path(t, "fixtures") }

// Golden is what the library that wrote a model answers: golden.json beside it.
type Golden struct {
	Name           string   `json:"name"`
	Format         string   `json:"format"`
	File           string   `json:"file"`   // "." for an MLflow directory
	Expect         string   `json:"expect"` // ok, refuse, either
	Columns        []string `json:"columns"`
	Inputs         []row    `json:"inputs"`
	Outputs        []row    `json:"outputs"`
	Tolerance      float64  `json:"tolerance"`
	RefuseMentions []string `json:"refuse_mentions"`
	Extra          struct {
		Probabilities []row `json:"predict_proba"` // of a classifier whose Outputs are labels
		Margins       []row `json:"margin"`        // of XGBoost: the sums, before the link
		Best          []row `json:"outputs_best_iteration"`
	} `json:"extra"`
	Dir string `json:"-"`
}

// row is the inputs or outputs of one row: a list of values, or one value.
type row []value

func (r *row) UnmarshalJSON(b []byte) error {
	if b[0] == '[' {
		return json.Unmarshal(b, (*[]value)(r))
	}
	*r = make(row, 1)
	return json.Unmarshal(b, &(*r)[0])
}

// value is a number: null is NaN, false and true are 0 and 1, "Infinity" and "-Infinity" are what they say. Whatever else
// there is, such as labels, is NaN too: no runtime answers it.
type value float64

func (v *value) UnmarshalJSON(b []byte) error {
	known := map[string]float64{`"Infinity"`: math.Inf(1), `"-Infinity"`: math.Inf(-1), "true": 1, "false": 0}
	if x, ok := known[string(b)]; ok {
		*v = value(x)
		return nil
	}
	var x float64
	if string(b) == "null" || json.Unmarshal(b, &x) != nil {
		x = math.NaN()
	}
	*v = value(x)
	return nil
}

// ReadGolden reads the golden.json of a fixture.
func ReadGolden(t testing.TB, dir string) Golden {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	g := Golden{Dir: dir}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	return g
}

// AllGolden reads the golden.json of every model among the fixtures.
func AllGolden(t testing.TB) []Golden {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(Fixtures(t), "models", "*", "golden.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no models among the fixtures: %v", err)
	}
	var all []Golden
	for _, f := range files {
		all = append(all, ReadGolden(t, filepath.Dir(f)))
	}
	return all
}

// Check opens the fixture as its format says and compares signature and answers, or the words of the refusal.
func (g Golden) Check(t *testing.T, runtimes []modelruntime.Runtime) {
	t.Helper()
	m, err := modelruntime.OpenPath(filepath.Join(g.Dir, g.File), runtimes)
	if g.Expect == "refuse" || g.Expect == "either" && err != nil {
		g.checkRefusal(t, err)
		return
	}
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer m.Close()
	g.CheckAnswers(t, m)
}

func (g Golden) checkRefusal(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("the model was opened and should be refused")
	}
	if code := freshet.CodeOf(err); code != freshet.Unsupported {
		t.Errorf("code %s of %v: expected %s", code, err, freshet.Unsupported)
	}
	for _, word := range g.RefuseMentions {
		if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(word)) {
			t.Errorf("%q does not mention %q", err, word)
		}
	}
}

// expected is what the model should answer: of a classifier the probabilities, all of them, or of two the second.
func (g Golden) expected() []row {
	if len(g.Extra.Probabilities) == 0 {
		return g.Outputs
	}
	var rows []row
	for _, p := range g.Extra.Probabilities {
		if len(p) == 2 {
			p = p[1:]
		}
		rows = append(rows, p)
	}
	return rows
}

// CheckAnswers compares columns and answers with the recorded ones: all rows at once, then each alone, which must give the
// same bits.
func (g Golden) CheckAnswers(t *testing.T, m modelruntime.Model) {
	t.Helper()
	s := m.Signature()
	var names []string
	for _, c := range s.Inputs {
		names = append(names, c.Name)
	}
	g = g.inOrder(t, names, s.Outputs)
	if g.Columns != nil && !slices.Equal(names, g.Columns) {
		t.Fatalf("columns %v: expected %v", names, g.Columns)
	}
	width, classes := len(s.Inputs), len(s.Outputs)
	rows, expected := g.dropRefused(t, m)
	inputs, want := flat(rows), flat(expected)
	outputs, alone := make([]float64, len(rows)*classes), make([]float64, classes)
	if len(inputs) != len(rows)*width || len(want) != len(outputs) {
		t.Fatalf("%d outputs %v: expected %d values for %d rows", classes, s.Outputs, len(want), len(rows))
	}
	if err := m.Predict(context.Background(), inputs, outputs); err != nil {
		t.Fatalf("predict: %v", err)
	}
	for r := range rows {
		if err := m.Predict(context.Background(), inputs[r*width:(r+1)*width], alone); err != nil {
			t.Fatalf("row %d alone: %v", r, err)
		}
		for k := range alone {
			got := outputs[r*classes+k]
			if math.Float64bits(got) != math.Float64bits(alone[k]) {
				t.Errorf("row %d: %v among others and %v alone", r, got, alone[k])
			}
			if !Close(got, want[r*classes+k], g.Tolerance) {
				t.Errorf("row %d output %d: %v, the library says %v", r, k, got, want[r*classes+k])
			}
		}
	}
}

// dropRefused are the rows and what the model should answer, without the rows that lack a value which the signature requires:
// MLflow hands such a NaN on, we refuse it by the column's name.
func (g Golden) dropRefused(t *testing.T, m modelruntime.Model) (rows, expected []row) {
	t.Helper()
	s, all := m.Signature(), g.expected()
	for r, inputs := range g.Inputs {
		missing := -1
		for i, c := range s.Inputs {
			if missing < 0 && c.Required && math.IsNaN(float64(inputs[i])) {
				missing = i
			}
		}
		if missing < 0 {
			rows, expected = append(rows, inputs), append(expected, all[r])
			continue
		}
		err := m.Predict(context.Background(), flat(g.Inputs[r:r+1]), make([]float64, len(s.Outputs)))
		if freshet.CodeOf(err) != freshet.InvalidArgument || freshet.FieldOf(err) != s.Inputs[missing].Name {
			t.Errorf("row %d: %v, expected a refusal that names column %q", r, err, s.Inputs[missing].Name)
		}
	}
	return rows, expected
}

// Close reports |got − want| ≤ tolerance · max(1, |want|); NaN and infinities are close to themselves.
func Close(got, want, tolerance float64) bool {
	if got == want || math.IsNaN(got) && math.IsNaN(want) {
		return true
	}
	return math.Abs(got-want) <= tolerance*max(1, math.Abs(want))
}

func flat(rows []row) []float64 {
	var values []float64
	for _, r := range rows {
		for _, v := range r {
			values = append(values, float64(v))
		}
	}
	return values
}

// Values are the recorded inputs, row after row.
func (g Golden) Values() []float64 { return flat(g.Inputs) }
