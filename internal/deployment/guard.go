package deployment

import (
	"slices"
	"strings"

	"github.com/freshet-ml/freshet"
)

// Guard is one of the things that are looked at before a release may serve everybody.
type Guard string

// The guards. Each can be accepted in an Order, when what it looks at is meant to change.
const (
	Errors   Guard = "errors"   // predictions that fail, or that only the fallback could answer
	Latency  Guard = "latency"  // the 99th percentile of the time of a prediction
	Missing  Guard = "missing"  // inputs of the model without a value
	Scores   Guard = "scores"   // the distribution of the scores
	Constant Guard = "constant" // a model that answers the same to everybody
)

// Guards are all guards.
var Guards = []Guard{Errors, Latency, Missing, Scores, Constant}

// CheckGuards returns InvalidArgument for names that are no guards.
func CheckGuards(accept []Guard) error {
	for _, g := range accept {
		if !slices.Contains(Guards, g) {
			names := make([]string, len(Guards))
			for i, g := range Guards {
				names[i] = string(g)
			}
			return freshet.FieldErrorf(freshet.InvalidArgument, "accept", "accept: %.80q is no guardrail; expected some of %s", string(g), strings.Join(names, ", "))
		}
	}
	return nil
}
