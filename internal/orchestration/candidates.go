package orchestration

import (
	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/table"
	"github.com/freshet-ml/freshet/modelruntime"
)

// candidates are the things that one prediction ranks.
type candidates struct {
	table  *table.Table
	lookup release.Lookup
	given  []release.Candidate // nil: all rows of the table
}

// candidates says what req ranks. A list with the same id twice is refused: one of the two would be a mistake.
func (f *frame) candidates(req release.Request) (candidates, error) {
	c := candidates{table: f.p.Ranked, lookup: f.p.Candidate, given: req.Candidates}
	seen := make(map[freshet.Key]struct{}, len(req.Candidates))
	for i, given := range req.Candidates {
		if given.Row != nil {
			continue
		}
		if _, twice := seen[given.Key]; twice {
			return c, freshet.FieldErrorf(freshet.InvalidArgument, "candidates", "candidates[%d]: %q stands twice in the list", i, given.Key)
		}
		seen[given.Key] = struct{}{}
	}
	return c, nil
}

func (c candidates) len() int {
	if c.given != nil {
		return len(c.given)
	}
	return c.table.Len()
}

// fill writes the columns of candidate i to slots and returns its key.
func (c candidates) fill(i int, slots []expression.Value) (freshet.Key, error) {
	if c.given == nil {
		c.lookup.Row(i, slots)
		return c.table.Key(i), nil
	}
	given := c.given[i]
	if given.Row == nil {
		row, ok := c.table.Find(given.Key)
		if !ok {
			return "", freshet.FieldErrorf(freshet.InvalidArgument, "candidates", "candidates[%d]: no row %q in the candidates table; give its columns, or an id that is there", i, given.Key)
		}
		c.lookup.Row(row, slots)
		return given.Key, nil
	}
	key, values, err := c.table.ParseRow(given.Row)
	if err != nil {
		return "", freshet.FieldErrorf("", "candidates", "candidates[%d]: %w", i, err)
	}
	c.lookup.Given(values, slots)
	return key, nil
}

// explain keeps what the model saw of the best rows.
func explain(columns []modelruntime.Column, inputs []float64, best []int) *freshet.Explanation {
	e := &freshet.Explanation{Names: make([]string, len(columns)), Inputs: make([][]float64, len(best))}
	for j, c := range columns {
		e.Names[j] = c.Name
	}
	for n, i := range best {
		e.Inputs[n] = append([]float64(nil), inputs[i*len(columns):(i+1)*len(columns)]...)
	}
	return e
}
