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
	Table   *table.Table
	base    int   // slot of the first column; the others follow
	columns []int // of Table
}

func newLookup(t *table.Table, use project.TableUse) Lookup {
	l := Lookup{Table: t, base: use.Base, columns: make([]int, len(use.Columns))}
	for i, name := range use.Columns {
		l.columns[i] = slices.IndexFunc(t.Columns(), func(c table.Column) bool { return c.Name == name })
	}
	return l
}

// Find fills the slots with the row of key, with nulls if there is none.
func (l Lookup) Find(key freshet.Key, slots []expression.Value) {
	if row, ok := l.Table.Find(key); ok {
		l.Row(row, slots)
		return
	}
	clear(slots[l.base : l.base+len(l.columns)])
}

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
