package treemodel

import (
	"math"
	"strconv"
	"strings"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// link turns the sums of one row, one per class, into the answer, in place.
type link func(scores []float64)

func identity([]float64) {}

func exponential(scores []float64) { scores[0] = math.Exp(scores[0]) }

func signedSquare(scores []float64) { scores[0] = math.Copysign(scores[0]*scores[0], scores[0]) }

func logOnePlusExp(scores []float64) { scores[0] = math.Log1p(math.Exp(scores[0])) }

func sigmoid(steepness float64) link {
	return func(scores []float64) {
		for i, s := range scores {
			scores[i] = 1 / (1 + math.Exp(-steepness*s))
		}
	}
}

// parseObjective reads the objective line, such as "binary sigmoid:1.5", for a model of that many classes. No objective
// at all is what a custom one leaves in the file: the answer is the sum, as the library's is.
func parseObjective(line string, classes int) (link, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return identity, nil
	}
	o := objective{name: words[0], classes: 1, sigmoid: 1}
	if err := o.parameters(words[1:]); err != nil {
		return nil, err
	}
	if o.classes != classes {
		return nil, freshet.Errorf(freshet.InvalidArgument, "objective %s is about %d classes and num_class says %d", o.name, o.classes, classes)
	}
	switch o.name {
	case "regression":
		if o.sqrt {
			return signedSquare, nil
		}
		return identity, nil
	case "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg":
		return identity, nil
	case "poisson", "gamma", "tweedie":
		return exponential, nil
	case "binary", "multiclassova":
		return sigmoid(o.sigmoid), nil
	case "cross_entropy":
		return sigmoid(1), nil
	case "cross_entropy_lambda":
		return logOnePlusExp, nil
	case "multiclass":
		return modelruntime.Softmax, nil
	}
	return nil, freshet.Errorf(freshet.Unsupported, "objective %.60q is not known, so its answers cannot be computed", o.name)
}

// objective is the objective line in parts.
type objective struct {
	name    string
	sqrt    bool
	sigmoid float64
	classes int
}

// parameters reads "sqrt", "sigmoid:S" and "num_class:N", each only where the objective has it.
func (o *objective) parameters(words []string) error {
	multiclass := o.name == "multiclass" || o.name == "multiclassova"
	for _, word := range words {
		name, value, _ := strings.Cut(word, ":")
		var err error
		switch {
		case word == "sqrt" && o.name == "regression":
			o.sqrt = true
		case name == "sigmoid" && (o.name == "binary" || o.name == "multiclassova"):
			o.sigmoid, err = strconv.ParseFloat(value, 64)
			if err != nil || !(o.sigmoid > 0) || math.IsInf(o.sigmoid, 0) {
				return freshet.Errorf(freshet.InvalidArgument, "objective %s: sigmoid is %.40q: expected a number above 0", o.name, value)
			}
		case name == "num_class" && multiclass:
			o.classes, err = strconv.Atoi(value)
			if err != nil {
				return freshet.Errorf(freshet.InvalidArgument, "objective %s: num_class is %.40q: expected a whole number", o.name, value)
			}
		default:
			return freshet.Errorf(freshet.Unsupported, "objective %.60q has the parameter %.60q, which is not known", o.name, word)
		}
	}
	return nil
}
