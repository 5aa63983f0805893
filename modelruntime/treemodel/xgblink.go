package treemodel

import (
	"math"

	freshet "github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/modelruntime"
)

// xgbObjective is what an objective of XGBoost means for an answer. The base score of a file is an answer; margin turns it
// into a sum.
type xgbObjective struct {
	margin func(base float64) float64
	link   link
	index  bool // the answer is the number of the class with the largest sum
}

var xgbObjectives = map[string]xgbObjective{
	"reg:squarederror":     {asItIs, identity, false},
	"reg:linear":           {asItIs, identity, false}, // what reg:squarederror was called before version 1
	"reg:squaredlogerror":  {asItIs, identity, false},
	"reg:pseudohubererror": {asItIs, identity, false},
	"reg:absoluteerror":    {asItIs, identity, false},
	"reg:quantileerror":    {asItIs, identity, false},
	"rank:pairwise":        {asItIs, identity, false},
	"rank:ndcg":            {asItIs, identity, false},
	"rank:map":             {asItIs, identity, false},
	"binary:logitraw":      {asItIs, identity, false},
	"binary:hinge":         {asItIs, hinge, false},
	"binary:logistic":      {logit, sigmoidSingle, false},
	"reg:logistic":         {logit, sigmoidSingle, false},
	"count:poisson":        {math.Log, exponentialSingle, false},
	"reg:gamma":            {math.Log, exponentialSingle, false},
	"reg:tweedie":          {math.Log, exponentialSingle, false},
	"survival:cox":         {math.Log, exponentialSingle, false},
	"multi:softprob":       {asItIs, softmaxSingle, false},
	"multi:softmax":        {asItIs, largest, true},
}

func findObjective(name string) (xgbObjective, error) {
	o, ok := xgbObjectives[name]
	if ok {
		return o, nil
	}
	if name == "" {
		return o, invalid("objective: it has none, so its answers cannot be computed")
	}
	return o, freshet.Errorf(freshet.Unsupported, "objective %.60q is not known, so its answers cannot be computed", name)
}

func asItIs(base float64) float64 { return base }

// logit in the steps of the library, each rounded to float32.
func logit(base float64) float64 { return -math.Log(float64(float32(1/base) - 1)) }

// Answers are rounded to float32: the library's are.

func single(v float64) float64 { return float64(float32(v)) }

func hinge(scores []float64) {
	for i, s := range scores {
		scores[i] = 0
		if s > 0 {
			scores[i] = 1
		}
	}
}

// sigmoidSingle never gives 0: the library keeps the exponential below the largest float32.
func sigmoidSingle(scores []float64) {
	for i, s := range scores {
		scores[i] = single(1 / (1 + math.Exp(min(-s, 88.7))))
	}
}

func exponentialSingle(scores []float64) {
	for i, s := range scores {
		scores[i] = single(math.Exp(s))
	}
}

func softmaxSingle(scores []float64) {
	modelruntime.Softmax(scores)
	for i, s := range scores {
		scores[i] = single(s)
	}
}

// largest puts the index of the first largest score into the first.
func largest(scores []float64) {
	index := 0
	for i, s := range scores {
		if s > scores[index] {
			index = i
		}
	}
	scores[0] = float64(index)
}
