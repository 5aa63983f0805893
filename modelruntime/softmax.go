package modelruntime

import "math"

// Softmax turns the scores of one row's classes into probabilities that sum to 1, in place. The largest score is taken off
// first, so that none overflows. It needs at least one score.
func Softmax(scores []float64) {
	largest := scores[0]
	for _, s := range scores[1:] {
		largest = max(largest, s)
	}
	var sum float64
	for i, s := range scores {
		scores[i] = math.Exp(s - largest)
		sum += scores[i]
	}
	for i := range scores {
		scores[i] /= sum
	}
}
