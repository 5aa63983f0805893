package treemodel

// sumRow adds up the leaves of one row. Four trees are walked at once: the processor waits for one node of each at the same
// time instead of one after the other.
func (e *ensemble) sumRow(output, x []float64) {
	nodes, class := e.nodes, 0
	t := 0
	for ; t+4 <= len(e.roots); t += 4 {
		a, b, c, d := e.roots[t], e.roots[t+1], e.roots[t+2], e.roots[t+3]
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
		// In tree order, as the library adds.
		class = e.add(output, class, nodes[a].threshold)
		class = e.add(output, class, nodes[b].threshold)
		class = e.add(output, class, nodes[c].threshold)
		class = e.add(output, class, nodes[d].threshold)
	}
	for ; t < len(e.roots); t++ {
		class = e.add(output, class, nodes[e.leaf(t, x)].threshold)
	}
}

func (e *ensemble) add(output []float64, class int, value float64) (next int) {
	output[class] += value
	if class++; class == len(output) {
		return 0
	}
	return class
}

// sumFourRows is sumRow for a number of rows that four divides: one tree after the other, four rows at once.
func (e *ensemble) sumFourRows(outputs, x []float64, rows int) {
	nodes, classes, width := e.nodes, e.classes, e.slots.count
	for t, root := range e.roots {
		class := t % classes
		for row := 0; row < rows; row += 4 {
			at := row * width
			xa, xb, xc, xd := x[at:at+width], x[at+width:at+2*width], x[at+2*width:at+3*width], x[at+3*width:at+4*width]
			a, b, c, d := root, root, root, root
			for {
				na, nb, nc, nd := &nodes[a], &nodes[b], &nodes[c], &nodes[d]
				if na.slot|nb.slot|nc.slot|nd.slot == 0 {
					break
				}
				a = na.child + right(xa[na.slot], na.threshold)
				b = nb.child + right(xb[nb.slot], nb.threshold)
				c = nc.child + right(xc[nc.slot], nc.threshold)
				d = nd.child + right(xd[nd.slot], nd.threshold)
			}
			o := outputs[row*classes+class:]
			o[0] += nodes[a].threshold
			o[classes] += nodes[b].threshold
			o[2*classes] += nodes[c].threshold
			o[3*classes] += nodes[d].threshold
		}
	}
}

// leaf is the node at which row x ends in tree t.
func (e *ensemble) leaf(t int, x []float64) uint32 {
	i := e.roots[t]
	for n := &e.nodes[i]; n.slot != 0; n = &e.nodes[i] {
		i = n.child + right(x[n.slot], n.threshold)
	}
	return i
}

// right is 0 if x is at most the threshold and 1 otherwise, NaN included; the compiler makes it without a jump.
func right(x, threshold float64) uint32 {
	r := uint32(1)
	if x <= threshold {
		r = 0
	}
	return r
}
