package offlinemetrics

import (
	"cmp"
	"math"
	"slices"

	"github.com/freshet-ml/freshet"
)

// AUC is the probability that a row of label 1 has a larger score than one of label 0, ties counting one half; computed from
// midranks. Labels are 0 or 1. InvalidArgument if there is one class only: there is no such probability then.
func AUC(labels, scores []float64) (float64, error) {
	if err := sameLength(labels, scores, "auc"); err != nil {
		return 0, err
	}
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	ranks, positive := 0.0, 0.0
	for i := 0; i < len(order); {
		tied := i + 1
		for tied < len(order) && scores[order[tied]] == scores[order[i]] {
			tied++
		}
		middle := float64(i+1+tied) / 2
		for ; i < tied; i++ {
			if labels[order[i]] != 0 {
				ranks += middle
				positive++
			}
		}
	}
	negative := float64(len(labels)) - positive
	if positive == 0 || negative == 0 {
		return 0, freshet.Errorf(freshet.InvalidArgument, "auc: all %d rows are of one class; it needs both", len(labels))
	}
	return (ranks - positive*(positive+1)/2) / (positive * negative), nil
}

// LogLoss is −mean(y ln p + (1 − y) ln(1 − p)), p clipped to [1e-15, 1 − 1e-15].
func LogLoss(labels, probabilities []float64) (float64, error) {
	if err := sameLength(labels, probabilities, "logloss"); err != nil {
		return 0, err
	}
	sum := 0.0
	for i, y := range labels {
		p := max(1e-15, min(probabilities[i], 1-1e-15))
		sum -= y*math.Log(p) + (1-y)*math.Log1p(-p)
	}
	return sum / float64(len(labels)), nil
}

// Brier is mean (p − y)².
func Brier(labels, probabilities []float64) (float64, error) {
	if err := sameLength(labels, probabilities, "brier"); err != nil {
		return 0, err
	}
	return meanOf(labels, probabilities, func(e float64) float64 { return e * e }), nil
}

// ECE is the expected calibration error over that many bins of equal width in [0, 1], the last one closed:
// Σ |mean y − mean p| · rows of the bin ÷ rows.
func ECE(labels, probabilities []float64, bins int) (float64, error) {
	if err := sameLength(labels, probabilities, "ece"); err != nil {
		return 0, err
	}
	y, p := make([]float64, bins), make([]float64, bins)
	for i, probability := range probabilities {
		bin := max(0, min(int(probability*float64(bins)), bins-1))
		y[bin] += labels[i]
		p[bin] += probability
	}
	sum := 0.0
	for bin := range bins {
		sum += math.Abs(y[bin] - p[bin])
	}
	return sum / float64(len(labels)), nil
}
