package onnxmodel

// linearModel is what LinearRegressor and LinearClassifier share: out[k] = intercept[k] + Σ coefficient[k][j]·x[j], in
// float32, j ascending.
type linearModel struct {
	coefficients, intercepts []float32
	targets                  int
}

// linear reads the input and the coefficients of a model of that many targets.
func (c *call) linear(targets int) (in *tensor, converted bind, l linearModel, err error) {
	if in, converted, err = c.floatInput(0); err != nil {
		return
	}
	l.targets = targets
	if l.coefficients, err = c.floats("coefficients"); err != nil {
		return
	}
	if l.intercepts, err = c.floats("intercepts"); err != nil {
		return
	}
	columns := columnsOf(in)
	if targets < 1 || len(l.coefficients)/columns != targets || len(l.coefficients)%columns != 0 {
		err = invalid("coefficients has %d numbers for %d columns and %d targets", len(l.coefficients), columns, targets)
		return
	}
	if l.intercepts == nil {
		l.intercepts = make([]float32, targets)
	}
	if len(l.intercepts) != targets {
		err = invalid("intercepts has %d numbers for %d targets", len(l.intercepts), targets)
		return
	}
	err = c.spend(0, 0, in.count*targets)
	return
}

// score sets z to the scores of x.
func (l *linearModel) score(z, x []float32) {
	dots(z, x, l.coefficients, len(x))
	for k, v := range l.intercepts {
		z[k] += v
	}
}

func linearRegressor(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	targets, err := c.intAttr("targets", 1)
	if err != nil {
		return nil, err
	}
	transform, err := c.postTransform()
	if err != nil {
		return nil, err
	}
	in, converted, l, err := c.linear(int(targets))
	if err != nil {
		return nil, err
	}
	columns := columnsOf(in)
	out, err := c.output(0, typeFloat, []int{in.count / columns, l.targets})
	if err != nil {
		return nil, err
	}
	step := func(m *machine) func() {
		x, y, z := values[float32](m, in), values[float32](m, out), make([]float64, l.targets)
		return func() {
			for i := range in.count / columns {
				scores := y[i*l.targets : (i+1)*l.targets]
				l.score(scores, x[i*columns:(i+1)*columns])
				transform.apply(scores, z)
			}
		}
	}
	return inOrder(converted, step), nil
}

// linearClassifier gives a label and the scores of all classes. One target for two classes is the score of the second.
func linearClassifier(c *call) (bind, error) {
	if err := c.count(1, 1); err != nil {
		return nil, err
	}
	names, numbers, err := c.labels("classlabels_strings", "classlabels_ints")
	if err != nil {
		return nil, err
	}
	if _, err := c.intAttr("multi_class", 0); err != nil { // says how it was trained
		return nil, err
	}
	transform, err := c.postTransform()
	if err != nil {
		return nil, err
	}
	classes := len(names) + len(numbers)
	targets := classes
	if a := c.node.attribute("intercepts"); a != nil && len(a.floats) == 1 && classes == 2 {
		targets = 1
	}
	in, converted, l, err := c.linear(targets)
	if err != nil {
		return nil, err
	}
	columns := columnsOf(in)
	rows := in.count / columns
	out, err := c.output(1, typeFloat, []int{rows, classes})
	if err != nil {
		return nil, err
	}
	label, err := c.labelOutput(rows, numbers)
	if err != nil {
		return nil, err
	}
	if targets != classes && transform == "PROBIT" {
		return nil, unsupported("post_transform PROBIT of a single score for two classes is not read")
	}
	step := func(m *machine) func() {
		x, y, z := values[float32](m, in), values[float32](m, out), make([]float64, classes)
		var labels []int64
		if label != nil {
			labels = values[int64](m, label)
		}
		return func() {
			for i := range rows {
				scores := y[i*classes : (i+1)*classes]
				l.score(scores[:l.targets], x[i*columns:(i+1)*columns])
				winner := largest(scores[:l.targets])
				if l.targets != classes {
					winner = int(bit(scores[0] > 0))
					transform.pair(scores, true)
				} else {
					transform.apply(scores, z)
				}
				if labels != nil {
					labels[i] = numbers[winner]
				}
			}
		}
	}
	return inOrder(converted, step), nil
}

func largest(scores []float32) int {
	best := 0
	for k, v := range scores {
		if v > scores[best] {
			best = k
		}
	}
	return best
}

// labelOutput declares output 0 of a classifier; nil if the labels are texts, which are not computed.
func (c *call) labelOutput(rows int, numbers []int64) (*tensor, error) {
	if numbers == nil {
		_, err := c.output(0, typeString, []int{rows})
		return nil, err
	}
	return c.output(0, typeInt64, []int{rows})
}
