package skopsmodel

import (
	"slices"
	"strconv"
	"strings"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// estimator reads the linear model at the end.
func (m *model) estimator(o object, width int) error {
	if !known(o.node) || isTransformer(o.node) {
		return unread(o.node)
	}
	if err := m.weights(o, width); err != nil {
		return err
	}
	height := len(m.rows)
	switch {
	case slices.Contains(classifiers, o.Class):
		return m.classifier(o)
	case slices.Contains(logRegressors, o.Class):
		m.link = exponential
	default:
		m.link = identity
	}
	m.signature.Outputs = modelruntime.OutputNames(height)
	if height > 1 {
		for i := range m.signature.Outputs {
			m.signature.Outputs[i] = "target_" + strconv.Itoa(i)
		}
	}
	return nil
}

// weights reads coef_, one row or one for each output, and intercept_, which may be one number for all.
func (m *model) weights(o object, width int) error {
	coefficients, shape, err := o.numbers("coef_")
	if err != nil {
		return err
	}
	if len(shape) < 1 || len(shape) > 2 || shape[len(shape)-1] != width || len(coefficients) == 0 {
		return o.at(invalid("coef_ has the shape %v: expected one number, in one or more rows, for each of %d columns", shape, width))
	}
	for row := range slices.Chunk(coefficients, width) {
		m.rows = append(m.rows, row)
	}
	intercept, _, err := o.numbers("intercept_")
	if err != nil {
		return err
	}
	if len(intercept) != 1 && len(intercept) != len(m.rows) {
		return o.at(invalid("intercept_ has %d numbers and coef_ %d rows", len(intercept), len(m.rows)))
	}
	for k := range m.rows {
		m.intercept = append(m.intercept, intercept[k%len(intercept)])
	}
	return nil
}

func (m *model) classifier(o object) error {
	labels, err := o.texts("classes_")
	if err != nil {
		return err
	}
	height := len(m.rows)
	if len(labels) < 2 || len(labels) == 2 && height != 1 || len(labels) > 2 && height != len(labels) {
		return o.at(invalid("classes_ has %d labels and coef_ %d rows", len(labels), height))
	}
	if m.link, err = o.probabilities(len(labels)); err != nil {
		return err
	}
	if height == 1 {
		m.signature.Outputs = modelruntime.OutputNames(1)
		return nil
	}
	seen := make(map[string]bool)
	for _, label := range labels {
		if seen[label] {
			return o.at(invalid("classes_ has %.60q twice", label))
		}
		seen[label] = true
		m.signature.Outputs = append(m.signature.Outputs, "class_"+label)
	}
	return nil
}

// probabilities is what predict_proba makes of the scores.
func (o object) probabilities(classes int) (link, error) {
	if o.Class == "SGDClassifier" {
		loss, err := o.scalar("loss", "")
		if err != nil {
			return nil, err
		}
		if loss = strings.Trim(loss, `"`); loss != "log_loss" && loss != "log" {
			return nil, o.at(freshet.Errorf(freshet.Unsupported, "loss %.40q gives no probabilities: train SGDClassifier with loss=\"log_loss\"", loss))
		}
		if classes == 2 {
			return sigmoid, nil
		}
		return oneAgainstRest, nil
	}
	// The argument multi_class ended with scikit-learn 1.8; solver liblinear knows one class against the rest only.
	kind, err := o.scalar("multi_class", `"auto"`)
	if err != nil {
		return nil, err
	}
	solver, err := o.scalar("solver", `"lbfgs"`)
	if err != nil {
		return nil, err
	}
	switch kind {
	case `"multinomial"`:
		if classes == 2 {
			return softmaxOfTwo, nil
		}
		return modelruntime.Softmax, nil
	case `"auto"`, `"deprecated"`, `"warn"`, `"ovr"`:
		if classes == 2 {
			return sigmoid, nil
		}
		if kind == `"ovr"` || kind == `"warn"` || solver == `"liblinear"` {
			return oneAgainstRest, nil
		}
		return modelruntime.Softmax, nil
	}
	return nil, o.at(freshet.Errorf(freshet.Unsupported, "multi_class %.40s is not known", kind))
}
