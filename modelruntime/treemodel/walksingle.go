package treemodel

// sumSingle is sum for XGBoost: all in float32, from the base margin on, in tree order, so that a sum has the bits of the
// library's.
func (e *ensemble) sumSingle(outputs, x []float64, rows int) {
	for row := range rows {
		copy(outputs[row*e.classes:], e.base)
	}
	width, fours := e.slots.count, rows&^3
	e.sumFourRowsSingle(outputs, x, fours)
	for row := fours; row < rows; row++ {
		e.sumRowSingle(outputs[row*e.classes:(row+1)*e.classes], x[row*width:(row+1)*width])
	}
}

// addSingle adds in float32. Two float32 have no sum in float64 that rounding once more would take elsewhere.
func addSingle(sum, value float64) float64 { return float64(float32(sum + value)) }

func (e *ensemble) sumRowSingle(output, x []float64) {
	nodes, class := e.nodes, e.class
	t := 0
	for ; t+4 <= len(e.roots); t += 4 {
		a, b, c, d := e.fourLeaves(t, x)
		output[class[t]] = addSingle(output[class[t]], nodes[a].threshold)
		output[class[t+1]] = addSingle(output[class[t+1]], nodes[b].threshold)
		output[class[t+2]] = addSingle(output[class[t+2]], nodes[c].threshold)
		output[class[t+3]] = addSingle(output[class[t+3]], nodes[d].threshold)
	}
	for ; t < len(e.roots); t++ {
		output[class[t]] = addSingle(output[class[t]], nodes[e.leaf(t, x)].threshold)
	}
}

// fourLeaves are the nodes at which row x ends in trees t … t+3.
func (e *ensemble) fourLeaves(t int, x []float64) (a, b, c, d uint32) {
	nodes := e.nodes
	a, b, c, d = e.roots[t], e.roots[t+1], e.roots[t+2], e.roots[t+3]
	for {
		na, nb, nc, nd := &nodes[a], &nodes[b], &nodes[c], &nodes[d]
		if na.slot|nb.slot|nc.slot|nd.slot == 0 {
			return a, b, c, d
		}
		a = na.child + right(x[na.slot], na.threshold)
		b = nb.child + right(x[nb.slot], nb.threshold)
		c = nc.child + right(x[nc.slot], nc.threshold)
		d = nd.child + right(x[nd.slot], nd.threshold)
	}
}

func (e *ensemble) sumFourRowsSingle(outputs, x []float64, rows int) {
	nodes, classes, width := e.nodes, e.classes, e.slots.count
	for t, root := range e.roots {
		class := int(e.class[t])
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
			o[0] = addSingle(o[0], nodes[a].threshold)
			o[classes] = addSingle(o[classes], nodes[b].threshold)
			o[2*classes] = addSingle(o[2*classes], nodes[c].threshold)
			o[3*classes] = addSingle(o[3*classes], nodes[d].threshold)
		}
	}
}
