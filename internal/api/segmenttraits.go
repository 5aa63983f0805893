package api

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/pushtable"
	"github.com/freshet-ml/freshet/internal/table"
	"github.com/freshet-ml/freshet/tablestore"
)

// traitRow is what a message says about one row of a table: some of its columns.
type traitRow struct {
	spec    *table.Spec
	key     freshet.Key
	at      tablestore.Moment
	columns []int // of spec
	values  []expression.Value
}

// row makes a row of the traits of a message. Traits without a column are passed over.
func (t *segmentTaker) row(p *project.Project, m *segmentMessage, call project.SegmentCall) (row traitRow, err error) {
	of, _ := p.Table(call.Table)
	spec := of.Spec
	row.spec = &spec
	id := m.who()
	if m.call == "group" {
		id = m.group
	}
	if err := checkKeyValue(spec.KeyFields[0], id); err != nil {
		return row, err
	}
	row.key = freshet.JoinKey(id)
	if row.at, err = m.at(tablestore.MomentOf(t.ingest.Time())); err != nil {
		return row, err
	}
	names := columnNames(spec.Columns)
	set := func(name string, raw []byte) {
		i := slices.Index(names, name)
		if i < 0 || err != nil || slices.Contains(row.columns, i) {
			return
		}
		v, wrong := pushtable.ParseJSON(spec.Columns[i], raw)
		if wrong != nil {
			err = freshet.FieldErrorf(freshet.InvalidArgument, name, "%s: %w", name, wrong)
			return
		}
		row.columns, row.values = append(row.columns, i), append(row.values, v)
	}
	used := m.renamed(names, set, call.Fields, p.Segment.Fields)
	m.others(names, used, set)
	return row, err
}

// traitTables fills tables by traits. A message says some of a row's columns: the others stay, so that a row is read, changed
// and written, which no two requests may do to one row at once.
type traitTables struct {
	seed  maphash.Seed
	locks [64]sync.Mutex
}

func (t *traitTables) init() { t.seed = maphash.MakeSeed() }

// put lays rows over those that are kept, in their order. A row that is older than the one that is kept changes nothing.
func (t *traitTables) put(ctx context.Context, tables Tables, rows []traitRow) error {
	if len(rows) == 0 {
		return nil
	}
	defer t.lock(rows)()
	for _, of := range byTable(rows) {
		changed, err := laidOver(ctx, tables, of)
		if err != nil {
			return err
		}
		if _, err := tables.Put(ctx, of[0].spec, tablestore.TakeLast, changed...); err != nil {
			return err
		}
	}
	return nil
}

// lock takes the locks of all rows, in one order everywhere, and returns what gives them back.
func (t *traitTables) lock(rows []traitRow) (unlock func()) {
	var taken []int
	for _, r := range rows {
		taken = append(taken, int(maphash.String(t.seed, string(r.spec.Name)+"/"+string(r.key))%uint64(len(t.locks))))
	}
	slices.Sort(taken)
	taken = slices.Compact(taken)
	for _, i := range taken {
		t.locks[i].Lock()
	}
	return func() {
		for _, i := range taken {
			t.locks[i].Unlock()
		}
	}
}

func byTable(rows []traitRow) (groups [][]traitRow) {
	for _, r := range rows {
		i := slices.IndexFunc(groups, func(g []traitRow) bool { return g[0].spec.Name == r.spec.Name })
		if i < 0 {
			groups = append(groups, nil)
			i = len(groups) - 1
		}
		groups[i] = append(groups[i], r)
	}
	return groups
}

// laidOver are the rows of one table as they are to be kept, one for each key.
func laidOver(ctx context.Context, tables Tables, rows []traitRow) (changed []pushtable.Row, err error) {
	at := map[freshet.Key]int{} // in changed
	for _, r := range rows {
		i, seen := at[r.key]
		if !seen {
			kept, ok, err := tables.Find(ctx, r.spec, r.key, nil)
			if err != nil {
				return nil, err
			}
			if !ok {
				kept = pushtable.Row{Key: r.key, EventTime: r.at, Values: make([]expression.Value, len(r.spec.Columns))}
			}
			i = len(changed)
			at[r.key] = i
			changed = append(changed, kept)
		}
		row := &changed[i]
		if r.at < row.EventTime {
			continue
		}
		row.EventTime, row.ExpiresAt = r.at, 0
		for k, column := range r.columns {
			row.Values[column] = r.values[k]
		}
	}
	return changed, nil
}
