package offlinemetrics

import "math"

// RMSE is the root of the mean squared error.
func RMSE(labels, predictions []float64) (float64, error) {
	if err := sameLength(labels, predictions, "rmse"); err != nil {
		return 0, err
	}
	return math.Sqrt(meanOf(labels, predictions, func(e float64) float64 { return e * e })), nil
}

// MAE is the mean absolute error.
func MAE(labels, predictions []float64) (float64, error) {
	if err := sameLength(labels, predictions, "mae"); err != nil {
		return 0, err
	}
	return meanOf(labels, predictions, math.Abs), nil
}

// R2 is 1 − squared errors ÷ squared distances from the mean label. If all labels are equal it is 1 for perfect predictions,
// else 0.
func R2(labels, predictions []float64) (float64, error) {
	if err := sameLength(labels, predictions, "r2"); err != nil {
		return 0, err
	}
	center, total := mean(labels), 0.0
	for _, y := range labels {
		total += (y - center) * (y - center)
	}
	residual := meanOf(labels, predictions, func(e float64) float64 { return e * e }) * float64(len(labels))
	switch {
	case total > 0:
		return 1 - residual/total, nil
	case residual == 0:
		return 1, nil
	}
	return 0, nil
}

func meanOf(labels, predictions []float64, loss func(float64) float64) float64 {
	sum := 0.0
	for i, y := range labels {
		sum += loss(predictions[i] - y)
	}
	return sum / float64(len(labels))
}
