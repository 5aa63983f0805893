package treemodel

// node is a split or a leaf. A row has been turned into slots first (slots.go) in which nothing is missing, so that one
// comparison decides every split, numerical or categorical, and the walk needs no branch.
type node struct {
	// threshold of a split: slot ≤ threshold goes to child, all else, NaN included, to child+1. Of a leaf: its value.
	threshold float64
	slot      uint32 // 0 for a leaf: slot 0 is −Inf in every row, so a leaf always goes to its child, which is itself
	child     uint32 // index into ensemble.nodes; the other child is the next one
}

// ensemble is a list of trees over one array of nodes.
type ensemble struct {
	nodes   []node
	roots   []uint32 // of each tree
	classes int      // tree t adds to class t mod classes
	slots   slots
	linear  *linearLeaves // nil if all leaves are constants

	// XGBoost: sums are in float32, begin at base, and tree t adds to class[t].
	base  []float64
	class []int32
}

// The rows of a block and a tree should fit into the first-level cache together.
const (
	blockFloats  = 2048
	maxBlockRows = 64
)

// blockRows is how many rows sum should be given at once: a multiple of four.
func (e *ensemble) blockRows() int {
	return max(4, min(maxBlockRows, blockFloats/e.slots.count&^3))
}

// sum sets outputs, classes values for each row, to the sums of the leaves that the rows reach. x has room for the slots of
// all rows.
func (e *ensemble) sum(inputs, outputs, x []float64, rows int) {
	e.slots.fill(inputs, x, rows)
	if e.slots.single {
		e.sumSingle(outputs, x, rows)
		return
	}
	clear(outputs)
	if e.linear != nil {
		e.sumLinear(inputs, outputs, x, rows)
		return
	}
	width, fours := e.slots.count, rows&^3
	e.sumFourRows(outputs, x, fours)
	for row := fours; row < rows; row++ {
		e.sumRow(outputs[row*e.classes:(row+1)*e.classes], x[row*width:(row+1)*width])
	}
}
