package orchestration

import (
	"cmp"
	"math"
	"slices"
)

// rank gives the indexes of the top best rows that have an answer: by score, equal ones by the model's own order and then by
// id, so that the order never depends on chance.
func (f *frame) rank(width, top int) []int {
	f.order = f.order[:0]
	for i := range f.ids {
		if math.IsNaN(f.outputs[i*width]) {
			continue // the model knows nothing of it
		}
		if len(f.order) < top {
			f.order = append(f.order, i)
			if len(f.order) == top {
				for at := top/2 - 1; at >= 0; at-- {
					f.sink(at, width)
				}
			}
			continue
		}
		if top > 0 && f.compare(i, f.order[0], width) < 0 {
			f.order[0] = i
			f.sink(0, width)
		}
	}
	slices.SortFunc(f.order, func(a, b int) int { return f.compare(a, b, width) })
	return f.order
}

// compare is negative if row a goes before row b.
func (f *frame) compare(a, b, width int) int {
	if x, y := f.outputs[a*width], f.outputs[b*width]; x != y {
		return cmp.Compare(y, x)
	}
	if j, n := f.p.Ties, len(f.p.Plan.Inputs); j >= 0 {
		if c := cmp.Compare(f.inputs[a*n+j], f.inputs[b*n+j]); c != 0 {
			return c
		}
	}
	return cmp.Compare(f.ids[a], f.ids[b])
}

// sink restores the heap below at: the worst of the rows in it is at the top, where the next better one takes its place. A
// catalog is thus not sorted for its best few.
func (f *frame) sink(at, width int) {
	for {
		worst := at
		for child := 2*at + 1; child <= 2*at+2 && child < len(f.order); child++ {
			if f.compare(f.order[child], f.order[worst], width) > 0 {
				worst = child
			}
		}
		if worst == at {
			return
		}
		f.order[at], f.order[worst] = f.order[worst], f.order[at]
		at = worst
	}
}
