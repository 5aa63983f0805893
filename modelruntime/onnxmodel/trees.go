package onnxmodel

// maxTargets bounds the outputs of an ensemble of trees.
const maxTargets = 1 << 16

// ensemble is what the two tree operators share.
type ensemble struct {
	in        *tensor
	converted bind
	forest    *forest
	rows      int
}

func (c *call) ensemble(a *treeAttributes) (*ensemble, error) {
	in, err := c.input(0, numeric)
	if err != nil {
		return nil, err
	}
	e := &ensemble{in: in}
	if in.kind.whole() { // ONNX Runtime compares integers as float32
		if e.in, e.converted, err = c.floatInput(0); err != nil {
			return nil, err
		}
	}
	columns := columnsOf(in)
	e.rows = in.count / columns
	if e.forest, err = plant(a, columns); err != nil {
		return nil, err
	}
	return e, c.spend(0, 0, e.rows*len(e.forest.roots))
}

// each is the step that gives finish the leaves of each row.
func (e *ensemble) each(finish func(m *machine) func(row int, leaves []uint32)) bind {
	step := treeSteps[float32]
	if e.in.kind == typeDouble {
		step = treeSteps[float64]
	}
	return inOrder(e.converted, step(e, finish))
}

func treeSteps[T float32 | float64](e *ensemble, finish func(m *machine) func(row int, leaves []uint32)) bind {
	return func(m *machine) func() {
		x, f := values[T](m, e.in), e.forest
		row, slots, leaves := make([]float64, f.columns), make([]float64, len(f.slots)+1), make([]uint32, len(f.roots))
		last := finish(m)
		return func() {
			for i := range e.rows {
				for j, v := range x[i*f.columns : (i+1)*f.columns] {
					row[j] = float64(v)
				}
				f.leaves(row, slots, leaves)
				last(i, leaves)
			}
		}
	}
}

func treeRegressor(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	targets, err := c.intAttr("n_targets", 1)
	if err != nil {
		return nil, err
	}
	if targets < 1 || targets > maxTargets {
		return nil, invalid("n_targets is %d: expected 1 to %d", targets, maxTargets)
	}
	aggregate, err := c.textAttr("aggregate_function", "SUM", "AVERAGE", "MIN", "MAX")
	if err != nil {
		return nil, err
	}
	transform, err := c.postTransform()
	if err != nil {
		return nil, err
	}
	a, err := c.treeAttributes("target")
	if err != nil {
		return nil, err
	}
	n := int(targets)
	if err := a.checkTargets(n); err != nil {
		return nil, err
	}
	if len(a.base) != 0 && len(a.base) != n {
		return nil, invalid("base_values has %d numbers for n_targets %d", len(a.base), n)
	}
	e, err := c.ensemble(a)
	if err != nil {
		return nil, err
	}
	out, err := c.output(0, typeFloat, []int{e.rows, n})
	if err != nil {
		return nil, err
	}
	return e.each(func(m *machine) func(row int, leaves []uint32) {
		y, totals := values[float32](m, out), make([]float64, n)
		return func(row int, leaves []uint32) {
			scores := y[row*n : (row+1)*n]
			e.aggregate(aggregate, leaves, totals)
			for k, v := range totals {
				if len(a.base) > 0 {
					v += a.base[k]
				}
				scores[k] = float32(v)
			}
			transform.apply(scores, totals)
		}
	}), nil
}

func (e *ensemble) aggregate(function string, leaves []uint32, totals []float64) {
	switch function {
	case "MIN":
		e.forest.most(leaves, totals, -1)
	case "MAX":
		e.forest.most(leaves, totals, 1)
	default:
		e.forest.sum(leaves, totals)
	}
	if function == "AVERAGE" {
		for k := range totals {
			totals[k] /= float64(len(e.forest.roots))
		}
	}
}

// treeClassifier gives a label and the scores of all classes. If two classes have weights for the first id only, they are
// scores of the second class.
func treeClassifier(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	names, numbers, err := c.labels("classlabels_strings", "classlabels_int64s")
	if err != nil {
		return nil, err
	}
	transform, err := c.postTransform()
	if err != nil {
		return nil, err
	}
	a, err := c.treeAttributes("class")
	if err != nil {
		return nil, err
	}
	k := classifier{classes: len(names) + len(numbers), labels: numbers, transform: transform, base: a.base}
	if k.classes > maxTargets {
		return nil, invalid("%d class labels: at most %d are read", k.classes, maxTargets)
	}
	if err := a.checkTargets(k.classes); err != nil {
		return nil, err
	}
	if err := k.understand(a); err != nil {
		return nil, err
	}
	e, err := c.ensemble(a)
	if err != nil {
		return nil, err
	}
	out, err := c.output(1, typeFloat, []int{e.rows, k.classes})
	if err != nil {
		return nil, err
	}
	label, err := c.labelOutput(e.rows, numbers)
	if err != nil {
		return nil, err
	}
	return e.each(func(m *machine) func(row int, leaves []uint32) {
		y, totals := values[float32](m, out), make([]float64, k.classes)
		var labels []int64
		if label != nil {
			labels = values[int64](m, label)
		}
		return func(row int, leaves []uint32) {
			e.forest.sum(leaves, totals)
			winner := k.finish(y[row*k.classes:(row+1)*k.classes], totals)
			if labels != nil {
				labels[row] = k.labels[winner]
			}
		}
	}), nil
}

// classifier is how the sums of the leaves become scores and a label.
type classifier struct {
	classes   int
	labels    []int64
	transform postTransform
	base      []float64
	single    bool    // of two classes the first id has all weights: they are scores of the second class
	threshold float64 // of two classes: above it the second is the label
	positive  bool    // no weight is negative: scores are probabilities
}

// understand tells the cases of two classes apart, as ONNX Runtime does, and refuses those in which it answers what nobody
// can have meant.
func (k *classifier) understand(a *treeAttributes) error {
	var used [2]bool
	k.positive = true
	for i, id := range a.weightIDs {
		if id < 2 {
			used[id] = true
		}
		k.positive = k.positive && a.weights[i] >= 0
	}
	if k.classes != 2 {
		if len(k.base) != 0 && len(k.base) != k.classes {
			return invalid("base_values has %d numbers for %d classes", len(k.base), k.classes)
		}
		return nil
	}
	k.single = !used[1]
	if used[0] != used[1] && k.positive {
		k.threshold = 0.5
	}
	if len(k.base) > 1 || len(k.base) == 1 && !k.single {
		return unsupported("base_values of two classes are read only as one number beside weights that are all of class id 0")
	}
	if k.single && k.transform == "PROBIT" {
		return unsupported("post_transform PROBIT of a single score for two classes is not read")
	}
	return nil
}

// finish sets scores and says which class has won.
func (k *classifier) finish(scores []float32, totals []float64) (winner int) {
	for i, v := range k.base {
		totals[i] += v
	}
	for i, v := range totals {
		scores[i] = float32(v)
	}
	if k.classes != 2 {
		winner = largest(scores)
		k.transform.apply(scores, totals)
		return winner
	}
	if k.single {
		winner = int(bit(totals[0] > k.threshold))
		k.transform.pair(scores, k.positive)
		return winner
	}
	winner = int(bit(totals[1] > k.threshold))
	k.transform.apply(scores, totals)
	return winner
}
