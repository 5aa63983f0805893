package serving

import (
	"math"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/modelruntime"
)

// check refuses rows that the model's signature does not allow, whoever made them: pipelines and all doors pass here. The
// error names the column and the row. A missing value is NaN; infinities are values like others.
func check(m *release.Model, inputs []float64) error {
	columns := m.Signature().Inputs
	if len(columns) == 0 || len(inputs)%len(columns) != 0 {
		return freshet.Errorf(freshet.InvalidArgument, "model %s: %d inputs are no whole rows of %d columns", m.Label(), len(inputs), len(columns))
	}
	for j := range columns {
		if err := checkColumn(m, &columns[j], j, len(columns), inputs); err != nil {
			return err
		}
	}
	return nil
}

func checkColumn(m *release.Model, c *modelruntime.Column, first, width int, inputs []float64) error {
	fits, expected := typeCheck(c.Type)
	if fits == nil && !c.Required {
		return nil
	}
	for i := first; i < len(inputs); i += width {
		v := inputs[i]
		switch {
		case math.IsNaN(v):
			if c.Required {
				return freshet.FieldErrorf(freshet.InvalidArgument, c.Name, "model %s: column %s is missing in row %d, and the model's signature requires it", m.Label(), c.Name, i/width)
			}
		case fits != nil && !fits(v):
			return freshet.FieldErrorf(freshet.InvalidArgument, c.Name, "model %s: column %s is %v in row %d, and its type is %s: expected %s", m.Label(), c.Name, v, i/width, c.Type, expected)
		}
	}
	return nil
}

// typeCheck is what a value of a column of type t must be beside a number; nil if any number is good.
func typeCheck(t string) (fits func(float64) bool, expected string) {
	switch t {
	case "long":
		return func(v float64) bool { return v == math.Trunc(v) && v >= -1<<63 && v < 1<<63 }, "a whole number of 64 bits"
	case "integer":
		return func(v float64) bool { return v == math.Trunc(v) && v >= math.MinInt32 && v <= math.MaxInt32 }, "a whole number of 32 bits"
	case "boolean":
		return func(v float64) bool { return v == 0 || v == 1 }, "true or false, or 1 or 0"
	}
	return nil, ""
}
