package orchestration

import (
	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
	"github.com/freshet-ml/freshet/internal/table"
)

// candidate is one thing that a prediction ranks.
type candidate struct {
	key   freshet.Key
	row   int                // of the candidates table
	given []expression.Value // the columns of the table, for a candidate that stands in the request instead
}

// list says what req ranks: the rows of the table that it names, or all.
func (f *frame) list(req release.Request) error {
	t := f.p.Ranked
	switch {
	case t == nil && len(req.Candidates) > 0:
		return freshet.FieldErrorf(freshet.InvalidArgument, "candidates", "pipeline %s takes no candidates: it scores the %s itself", f.p.Name, f.p.Entity)
	case t == nil:
		return nil
	case req.Candidates == nil:
		for row := range t.Len() {
			f.candidates = append(f.candidates, candidate{key: t.Key(row), row: row})
		}
		return nil
	}
	seen := make(map[freshet.Key]struct{}, len(req.Candidates))
	for i, asked := range req.Candidates {
		c, err := find(t, asked)
		if err != nil {
			return freshet.FieldErrorf("", "candidates", "candidates[%d]: %w", i, err)
		}
		if _, twice := seen[c.key]; twice {
			return freshet.FieldErrorf(freshet.InvalidArgument, "candidates", "candidates[%d]: %q stands twice in the list", i, c.key)
		}
		seen[c.key] = struct{}{}
		f.candidates = append(f.candidates, c)
	}
	return nil
}

// find looks up a candidate that a request names, or reads the row that it gives.
func find(t *table.Table, asked release.Candidate) (c candidate, err error) {
	if asked.Row != nil {
		c.key, c.given, err = t.ParseRow(asked.Row)
		return c, err
	}
	row, ok := t.Find(asked.Key)
	if !ok {
		return c, freshet.Errorf(freshet.InvalidArgument, "no row %q in the candidates table; give its columns, or an id that is there", asked.Key)
	}
	return candidate{key: asked.Key, row: row}, nil
}
