package onnxmodel

import "math"

// leaves sets out to the leaf of each tree that a row ends in; slots has room for the slots of a row.
func (f *forest) leaves(row, slots []float64, out []uint32) {
	if f.plain != nil {
		for t, i := range f.roots {
			out[t] = f.plainLeaf(row, i)
		}
		return
	}
	slots[0] = math.Inf(-1)
	for i, s := range f.slots {
		v := row[s.column]
		if v != v && s.nanLeft {
			v = math.Inf(-1)
		}
		slots[i+1] = v
	}
	f.walk(slots, out)
}

// walk goes down four trees at once: the processor waits for one node of each at the same time instead of one after the
// other.
func (f *forest) walk(x []float64, out []uint32) {
	nodes, roots := f.nodes, f.roots
	t := 0
	for ; t+4 <= len(roots); t += 4 {
		a, b, c, d := roots[t], roots[t+1], roots[t+2], roots[t+3]
		for {
			na, nb, nc, nd := &nodes[a], &nodes[b], &nodes[c], &nodes[d]
			if na.slot|nb.slot|nc.slot|nd.slot == 0 {
				break
			}
			a = na.child + right(x[na.slot], na.threshold)
			b = nb.child + right(x[nb.slot], nb.threshold)
			c = nc.child + right(x[nc.slot], nc.threshold)
			d = nd.child + right(x[nd.slot], nd.threshold)
		}
		out[t], out[t+1], out[t+2], out[t+3] = a, b, c, d
	}
	for ; t < len(roots); t++ {
		i := roots[t]
		for n := &nodes[i]; n.slot != 0; n = &nodes[i] {
			i = n.child + right(x[n.slot], n.threshold)
		}
		out[t] = i
	}
}

// right is 0 if x is at most the threshold and 1 otherwise, NaN included; the compiler makes it without a jump.
func right(x, threshold float64) uint32 {
	r := uint32(1)
	if x <= threshold {
		r = 0
	}
	return r
}

func (f *forest) plainLeaf(row []float64, i uint32) uint32 {
	for n := &f.plain[i]; n.mode != "LEAF"; n = &f.plain[i] {
		i = n.no
		if x := row[n.column]; n.holds(x) || n.tracks && x != x {
			i = n.yes
		}
	}
	return i
}

func (n *plainNode) holds(x float64) bool {
	switch n.mode {
	case "BRANCH_LEQ":
		return x <= n.value
	case "BRANCH_LT":
		return x < n.value
	case "BRANCH_GTE":
		return x >= n.value
	case "BRANCH_GT":
		return x > n.value
	case "BRANCH_EQ":
		return x == n.value
	}
	return x != n.value
}

// sum adds up what the leaves give each target, in tree order, in float64.
func (f *forest) sum(leaves []uint32, totals []float64) {
	clear(totals)
	if f.spans == nil {
		var total float64
		for _, i := range leaves {
			total += f.nodes[i].threshold
		}
		totals[0] = total
		return
	}
	for _, i := range leaves {
		s := f.spans[i]
		for _, w := range f.weights[s.from:s.to] {
			totals[w.target] += w.value
		}
	}
}

// most sets totals to the largest (sign 1) or smallest (sign −1) that a leaf gives each target; 0 if none gives it
// anything.
func (f *forest) most(leaves []uint32, totals []float64, sign float64) {
	for i := range totals {
		totals[i] = math.NaN()
	}
	take := func(target uint32, v float64) {
		if t := &totals[target]; *t != *t || v*sign > *t*sign {
			*t = v
		}
	}
	for _, i := range leaves {
		if f.spans == nil {
			take(0, f.nodes[i].threshold)
			continue
		}
		s := f.spans[i]
		for _, w := range f.weights[s.from:s.to] {
			take(w.target, w.value)
		}
	}
	for i, v := range totals {
		if v != v {
			totals[i] = 0
		}
	}
}
