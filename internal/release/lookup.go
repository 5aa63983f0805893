package release

import (
	"slices"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/project"
	"github.com/freshet-ml/freshet/internal/table"
)

// Lookup brings columns of a table into the frame of a pipeline.
type Lookup struct {
	Table   *table.Table // nil for a push table: its rows are found elsewhere and Given
	Spec    *table.Spec
	base    int   // slot of the first column; the others follow
	columns []int // of Table
}

func newLookup(t *table.Table, spec *table.Spec, use project.TableUse) Lookup {
	l := Lookup{Table: t, Spec: spec, base: use.Base, columns: make([]int, len(use.Columns))}
	for i, name := range use.Columns {
		l.columns[i] = slices.IndexFunc(spec.Columns, func(c table.Column) bool { return c.Name == name })
	}
	return l
}

// Find fills the slots with the row of key, with nulls if there is none. The table is one of a file.
func (l Lookup) Find(key freshet.Key, slots []expression.Value) {
	if row, ok := l.Table.Find(key); ok {
		l.Row(row, slots)
		return
	}
	l.None(slots)
}

// None fills the slots with nulls.
func (l Lookup) None(slots []expression.Value) { clear(slots[l.base : l.base+len(l.columns)]) }

// Row fills the slots with a row by its number.
func (l Lookup) Row(row int, slots []expression.Value) {
	for i, column := range l.columns {
		slots[l.base+i] = l.Table.Value(row, column)
	}
}

// Given fills the slots with a row that is not in the table: one value for each column of the table.
func (l Lookup) Given(values, slots []expression.Value) {
	for i, column := range l.columns {
		slots[l.base+i] = values[column]
	}
}

// ViewUses are views whose features stand in the frame of a pipeline, read together for one entity.
type ViewUses struct {
	Views []*feature.View
	uses  []project.ViewUse
}

func (v *ViewUses) add(use project.ViewUse) {
	v.Views, v.uses = append(v.Views, use.View), append(v.uses, use)
}

// Fill puts values, all features of the views in their order, into their slots.
func (v ViewUses) Fill(values, slots []expression.Value) {
	for _, u := range v.uses {
		n := copy(slots[u.Base:u.Base+u.Width], values)
		values = values[n:]
	}
}
