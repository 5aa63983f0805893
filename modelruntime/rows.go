package modelruntime

import (
	"strconv"

	freshet "github.com/freshet-ml/freshet"
)

// Rows is how many rows inputs and outputs hold for a model of signature s. Returns InvalidArgument if one of them is no
// whole number of rows or if they differ; runtimes call it first in Predict.
func (s Signature) Rows(inputs, outputs []float64) (int, error) {
	rows := len(outputs) / len(s.Outputs)
	if len(outputs)%len(s.Outputs) != 0 || len(inputs) != rows*len(s.Inputs) {
		return 0, freshet.Errorf(freshet.InvalidArgument,
			"%d input values and room for %d outputs: expected %d and %d for each row", len(inputs), len(outputs), len(s.Inputs), len(s.Outputs))
	}
	return rows, nil
}

// OutputNames is what the n outputs of a model are called that does not name them: "score", or "class_0", "class_1", …
func OutputNames(n int) []string {
	if n == 1 {
		return []string{"score"}
	}
	names := make([]string, n)
	for i := range names {
		names[i] = "class_" + strconv.Itoa(i)
	}
	return names
}
