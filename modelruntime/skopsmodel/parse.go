package skopsmodel

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// maxWidth bounds the number of features and of classes.
const maxWidth = 1 << 20

func parse(file []byte) (modelruntime.Model, error) {
	a, err := openArchive(file)
	if err != nil {
		return nil, err
	}
	text, err := a.read(schemaName)
	if err != nil {
		return nil, err
	}
	root, err := parseNode(text)
	if err != nil {
		return nil, err
	}
	if root.Protocol < 0 || root.Protocol > 2 {
		return nil, freshet.Errorf(freshet.Unsupported, "skops protocol %d is not known: up to 2 is read", root.Protocol)
	}
	steps, err := a.steps(root)
	if err != nil {
		return nil, err
	}
	m, err := build(steps)
	if err != nil {
		return nil, err
	}
	if err := a.checkArrays(text); err != nil {
		return nil, err
	}
	return m, nil
}

// steps are the objects of a pipeline, or the one object that there is.
func (a *archive) steps(root node) ([]object, error) {
	if root.name() != "sklearn.pipeline.Pipeline" {
		o, err := a.object(root)
		if err != nil {
			return nil, refuse(root, err)
		}
		return []object{o}, nil
	}
	pipeline, err := a.object(root)
	if err != nil {
		return nil, err
	}
	if text, err := pipeline.scalar("transform_input", "null"); err != nil || text != "null" {
		return nil, pipeline.at(freshet.Errorf(freshet.Unsupported, "transform_input is set, which is not read"))
	}
	list, ok, err := pipeline.attribute("steps")
	if err == nil && !ok {
		err = invalid("steps: there are none")
	}
	var tuples []node
	if err == nil {
		tuples, err = list.list()
	}
	if err != nil {
		return nil, pipeline.at(err)
	}
	var steps []object
	for i, tuple := range tuples {
		pair, err := tuple.list()
		if err != nil || len(pair) != 2 {
			return nil, pipeline.at(invalid("steps[%d]: expected a name and an object", i))
		}
		if text, err := pair[1].scalar(); err == nil && (text == `"passthrough"` || text == "null") {
			continue
		}
		o, err := a.object(pair[1])
		if err != nil {
			return nil, pipeline.at(refuse(pair[1], err))
		}
		steps = append(steps, o)
	}
	if len(steps) == 0 {
		return nil, pipeline.at(invalid("steps: there are none"))
	}
	return steps, nil
}

// refuse says of a node that is no plain object that its class is not read, where err says no more.
func refuse(n node, err error) error {
	if freshet.CodeOf(err) == freshet.Unsupported {
		return unread(n)
	}
	return err
}

// unread is the refusal of a class.
func unread(n node) error {
	if strings.HasPrefix(n.Module, "lightgbm.") {
		return freshet.Errorf(freshet.Unsupported, "%.60s of a scikit-learn wrapper is not read; log its booster: mlflow.lightgbm.log_model(model.booster_, …)", n.Class)
	}
	return freshet.Errorf(freshet.Unsupported, "class %.100q is not read: of scikit-learn linear and logistic models, scalers, SimpleImputer and pipelines of these are; "+
		"convert the model to ONNX instead (skl2onnx)", n.name())
}

func build(objects []object) (modelruntime.Model, error) {
	first, last := objects[0], objects[len(objects)-1]
	names, width, err := columns(first)
	if err != nil {
		return nil, err
	}
	m := &model{}
	required := true
	for _, o := range objects[:len(objects)-1] {
		s, err := o.step(width)
		if err != nil {
			return nil, err
		}
		if _, imputes := s.(imputer); imputes {
			required = false
		}
		m.steps = append(m.steps, s)
	}
	if err := m.estimator(last, width); err != nil {
		return nil, err
	}
	m.signature.Positional = names == nil
	for i := range width {
		name := "x" + strconv.Itoa(i)
		if names != nil {
			name = names[i]
		}
		m.signature.Inputs = append(m.signature.Inputs, modelruntime.Column{Name: name, Required: required})
	}
	return m, nil
}

// columns are the features that the first step was fitted on; no names if that was an array.
func columns(o object) (names []string, width int, err error) {
	if !known(o.node) {
		return nil, 0, unread(o.node)
	}
	text, err := o.scalar("n_features_in_", "")
	if err != nil {
		return nil, 0, err
	}
	width, err = strconv.Atoi(text)
	if err != nil || width < 1 || width > maxWidth {
		return nil, 0, o.at(invalid("n_features_in_ is %.40q: expected a whole number, 1 … %d", text, maxWidth))
	}
	names, err = o.texts("feature_names_in_")
	if err != nil || names == nil {
		if width > 1<<16 { // no names stand behind the number
			return nil, 0, o.at(freshet.Errorf(freshet.TooLarge, "%d features without names: at most %d are read", width, 1<<16))
		}
		return nil, width, err
	}
	if len(names) != width {
		return nil, 0, o.at(invalid("feature_names_in_ has %d names and n_features_in_ is %d", len(names), width))
	}
	seen := make(map[string]bool, width)
	for _, name := range names {
		if name == "" || seen[name] || !utf8.ValidString(name) {
			return nil, 0, o.at(freshet.FieldErrorf(freshet.InvalidArgument, name, "feature_names_in_ has %.60q: expected names in UTF-8, each once", name))
		}
		seen[name] = true
	}
	return names, width, nil
}

// The classes that are read, by their last name; the module begins with the family.
var (
	regressors = []string{"LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "Lars", "LarsCV",
		"ElasticNet", "ElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV", "MultiTaskElasticNet", "MultiTaskElasticNetCV", "BayesianRidge",
		"ARDRegression", "HuberRegressor", "SGDRegressor", "TheilSenRegressor", "OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV", "QuantileRegressor"}
	logRegressors = []string{"PoissonRegressor", "GammaRegressor"}
	classifiers   = []string{"LogisticRegression", "LogisticRegressionCV", "SGDClassifier"}
	transformers  = []string{"StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"}
)

func known(n node) bool {
	if strings.HasPrefix(n.Module, "sklearn.linear_model.") {
		return slices.Contains(slices.Concat(regressors, logRegressors, classifiers), n.Class)
	}
	return isTransformer(n)
}

func isTransformer(n node) bool {
	return strings.HasPrefix(n.Module, "sklearn.preprocessing.") && slices.Contains(transformers, n.Class) ||
		strings.HasPrefix(n.Module, "sklearn.impute.") && n.Class == "SimpleImputer"
}
