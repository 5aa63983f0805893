package treemodel

import (
	"bytes"
	"io/fs"
	"strings"

	"github.com/freshet-ml/freshet/modelruntime"
)

// XGBoost is the runtime of models that XGBoost saved as JSON or UBJSON (save_model, MLflow's xgboost flavor; versions 1 to
// 3): trees, DART, random forests and linear boosters. It answers what Booster.predict answers, all in float32 as the
// library does it, with all trees of the file. It has no state.
type XGBoost struct{}

var (
	_ modelruntime.Runtime     = XGBoost{}
	_ modelruntime.ClassOpener = XGBoost{}
)

// Name is "xgboost".
func (XGBoost) Name() string { return "xgboost" }

// Recognizes knows JSON by the key learner among its first bytes, and UBJSON by an object whose first key has a length.
func (XGBoost) Recognizes(head []byte) bool { return isUBJSON(head) || isLearnerJSON(head) }

// Open reads a model with all its trees, as xgboost.Booster does. Returns Unsupported for an objective, booster, version or
// key that is not known, InvalidArgument with the place for what is broken.
func (XGBoost) Open(dir fs.FS, name string) (modelruntime.Model, error) {
	return openXGBoost(dir, name, boosterClass)
}

// OpenAs is Open for the Python class that an MLflow flavor names: the wrappers for scikit-learn stop at the best iteration
// if training was stopped early. Returns Unsupported for other classes if it makes a difference.
func (XGBoost) OpenAs(dir fs.FS, name, class string) (modelruntime.Model, error) {
	return openXGBoost(dir, name, class)
}

const (
	boosterClass   = "xgboost.core.Booster"
	wrapperClasses = "xgboost.sklearn."
)

func openXGBoost(dir fs.FS, name, class string) (modelruntime.Model, error) {
	file, err := modelruntime.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	return parseXGBoost(file, class)
}

func parseXGBoost(file []byte, class string) (modelruntime.Model, error) {
	var s source = newUBJSON(file)
	if !isUBJSON(file) {
		s = newJSON(file)
	}
	d := &document{}
	if err := d.read(s); err != nil {
		return nil, err
	}
	return d.model(class)
}

const byteOrderMark = "\ufeff"

func isLearnerJSON(head []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(head, byteOrderMark+" \t\r\n"), []byte("{")) && bytes.Contains(head, []byte(`"learner"`))
}

// isUBJSON looks for an object whose first key has a length marker; in JSON a quotation mark or white space follows.
func isUBJSON(head []byte) bool {
	return len(head) >= 2 && head[0] == '{' && strings.IndexByte("iUIlL", head[1]) >= 0
}
