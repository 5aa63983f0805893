package skopsmodel

import (
	"encoding/json"
	"slices"

	freshet "github.com/freshet-ml/freshet"
)

// affine is (x − subtract) / divide · multiply + add, each where it is not nil, then clipped.
type affine struct {
	subtract, divide, multiply, add []float64
	clip                            []float64 // lowest and highest; nil: not clipped
}

func (s affine) apply(x []float64) {
	for i, v := range x {
		if s.subtract != nil {
			v -= s.subtract[i]
		}
		if s.divide != nil {
			v /= s.divide[i]
		}
		if s.multiply != nil {
			v = float64(v * s.multiply[i])
		}
		if s.add != nil {
			v += s.add[i]
		}
		if s.clip != nil {
			v = min(max(v, s.clip[0]), s.clip[1])
		}
		x[i] = v
	}
}

// imputer puts a number in the place of each missing value.
type imputer []float64

func (s imputer) apply(x []float64) {
	for i, v := range x {
		if v != v {
			x[i] = s[i]
		}
	}
}

// step reads a transformer of width columns.
func (o object) step(width int) (step, error) {
	if !isTransformer(o.node) {
		return nil, unread(o.node)
	}
	switch o.Class {
	case "SimpleImputer":
		return o.imputer(width)
	case "MinMaxScaler":
		return o.minMax(width)
	case "MaxAbsScaler":
		divide, err := o.vector("scale_", width)
		return affine{divide: divide}, err
	case "RobustScaler":
		return o.standard(width, "with_centering", "center_", "with_scaling")
	}
	return o.standard(width, "with_mean", "mean_", "with_std")
}

// vector is one number for each column.
func (o object) vector(name string, width int) ([]float64, error) {
	values, shape, err := o.numbers(name)
	if err == nil && (len(shape) != 1 || len(values) != width) {
		err = o.at(invalid("%s has the shape %v: expected one number for each of %d columns", name, shape, width))
	}
	return values, err
}

func (o object) standard(width int, subtracts, center, divides string) (s affine, err error) {
	with, err := o.flag(subtracts, true)
	if err == nil && with {
		s.subtract, err = o.vector(center, width)
	}
	if err != nil {
		return s, err
	}
	with, err = o.flag(divides, true)
	if err == nil && with {
		s.divide, err = o.vector("scale_", width)
	}
	if err == nil && slices.Contains(s.divide, 0) {
		err = o.at(invalid("scale_ has a 0: nothing can be divided by it"))
	}
	return s, err
}

func (o object) minMax(width int) (s affine, err error) {
	if s.multiply, err = o.vector("scale_", width); err != nil {
		return s, err
	}
	if s.add, err = o.vector("min_", width); err != nil {
		return s, err
	}
	clip, err := o.flag("clip", false)
	if err != nil || !clip {
		return s, err
	}
	n, _, err := o.attribute("feature_range")
	if err != nil {
		return s, err
	}
	words, err := n.listOfTexts()
	if err != nil || len(words) != 2 {
		return s, o.at(invalid("feature_range: expected two numbers"))
	}
	s.clip = make([]float64, 2)
	for i, w := range words {
		if json.Unmarshal([]byte(w), &s.clip[i]) != nil {
			return s, o.at(invalid("feature_range: %.40q is no number", w))
		}
	}
	return s, nil
}

func (o object) imputer(width int) (step, error) {
	if missing, err := o.scalar("missing_values", "NaN"); err != nil || missing != "NaN" {
		return nil, o.at(freshet.Errorf(freshet.Unsupported, "missing_values is %.40q: only NaN is read", missing))
	}
	if indicator, err := o.flag("add_indicator", false); err != nil || indicator {
		return nil, o.at(freshet.Errorf(freshet.Unsupported, "add_indicator adds columns, which is not read"))
	}
	values, err := o.vector("statistics_", width) // NaN, for a column that was always missing, is refused there
	return imputer(values), err
}
