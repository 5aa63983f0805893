package modelruntime

import (
	"io/fs"
	"slices"
	"strings"

	freshet "github.com/freshet-ml/freshet"
)

const (
	mlmodelName     = "MLmodel"
	maxMLmodelBytes = 1 << 20
)

// openMLflow opens an MLflow model directory: the flavor says which file, the file's content which runtime, the signature
// which columns.
func openMLflow(dir fs.FS, runtimes []Runtime) (Model, error) {
	text, err := readFile(dir, mlmodelName, maxMLmodelBytes)
	if err != nil {
		return nil, err
	}
	ml, err := parseMLmodel(text)
	if err != nil {
		return nil, freshet.Errorf("", "%s: %w", mlmodelName, err)
	}
	columns, err := parseSignature(ml.inputs)
	if err != nil {
		return nil, freshet.Errorf("", "%s: signature.inputs: %w", mlmodelName, err)
	}
	found, err := ml.modelFile(dir, runtimes)
	if err != nil {
		return nil, err
	}
	m, err := found.open(dir)
	if err != nil {
		return nil, err
	}
	if columns == nil {
		return m, nil
	}
	signed, err := sign(m, columns)
	if err != nil {
		m.Close()
		return nil, freshet.Errorf("", "%s: signature.inputs: %w", mlmodelName, err)
	}
	return signed, nil
}

// mlmodel is what is read of an MLmodel file.
type mlmodel struct {
	flavors []flavor // in ascending order of their names
	inputs  string   // JSON; "" without a signature
}

// flavor is one way of loading the model.
type flavor struct {
	name  string
	data  string // the model's file; "" if the flavor names none that can be read without Python
	class string // model_class: what Python loads the file as; "" if it does not say
}

// modelFile is the file of the first flavor whose file a runtime recognises; the error is about the first flavor.
func (ml mlmodel) modelFile(dir fs.FS, runtimes []Runtime) (modelFile, error) {
	var first error
	for _, f := range ml.flavors {
		found, err := f.modelFile(dir, runtimes)
		if err == nil {
			return found, nil
		}
		if first == nil {
			first = err
		}
	}
	return modelFile{}, first
}

func (f flavor) modelFile(dir fs.FS, runtimes []Runtime) (modelFile, error) {
	if f.data == "" {
		return modelFile{}, freshet.Errorf(freshet.Unsupported, "%s: flavor %s is not read: log the model with MLflow's lightgbm or xgboost flavor as a Booster, or with its sklearn (skops) or onnx flavor; "+
			"factors and item-to-item tables are a folder or file of their own, without MLmodel", mlmodelName, f.name)
	}
	if !fs.ValidPath(f.data) {
		return modelFile{}, freshet.Errorf("", "%s: flavor %s: %w", mlmodelName, f.name, outside(f.data))
	}
	head, err := readHead(dir, f.data)
	if err != nil {
		return modelFile{}, freshet.Errorf(faultOf(err), "%s: flavor %s: %w", mlmodelName, f.name, err)
	}
	if r := recognize(head, runtimes); r != nil {
		return modelFile{f.data, r, f.class}, nil
	}
	if known, ok := foreignFormat(head); ok {
		return modelFile{}, freshet.Errorf(freshet.Unsupported, "%s: %s", f.data, f.refusal(known))
	}
	return modelFile{}, freshet.Errorf("", "flavor %s: %w", f.name, unrecognized(f.data, head, runtimes))
}

// faultOf is the code of an error about a file that MLmodel names: if it is not there, the artifact is broken; it is not the
// artifact that was not found.
func faultOf(err error) freshet.Code {
	if code := freshet.CodeOf(err); code != freshet.NotFound {
		return code
	}
	return freshet.InvalidArgument
}

// refusal says what to do about a file that is known but not read, in the words of the library that wrote it.
func (f flavor) refusal(known foreign) string {
	if f.name == "lightgbm" && known.python {
		return known.what + " of a scikit-learn wrapper: it is not read; log its booster: mlflow.lightgbm.log_model(model.booster_, …)"
	}
	return known.refusal()
}

// ignoredFlavors only say how Python loads what another flavor describes.
var ignoredFlavors = []string{"python_function", "r_function"}

// flavorsOf puts the flavors that may name a file first and drops python_function unless it is alone.
func flavorsOf(all []flavor) []flavor {
	slices.SortFunc(all, func(a, b flavor) int { return strings.Compare(a.name, b.name) })
	own := slices.DeleteFunc(slices.Clone(all), func(f flavor) bool { return slices.Contains(ignoredFlavors, f.name) })
	if len(own) > 0 {
		return own
	}
	for i := range all {
		all[i].data = "" // it would be loaded by Python code
	}
	return all
}
