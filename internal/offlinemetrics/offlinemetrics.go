// Package offlinemetrics is a kit: how good a model is on events of the past. Ranking, classification, regression and drift,
// in float64, each by the definition that its comment gives. Everything is a pure function of its arguments: the order of
// users and the way in which they were split into shards change no bit. It never makes a prediction and never decides whether
// a model is good enough.
package offlinemetrics

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/freshet-ml/freshet"
)

// Interval is the mean of a metric over users, with the bounds between which 95 % of the bootstrap resamples lie.
type Interval struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Resamples is how often Bootstrap draws.
const Resamples = 1000

// Bootstrap resamples values, one for each user, Resamples times with a generator that seed starts: the same seed gives the
// same interval. Without values all is NaN.
func Bootstrap(values []float64, seed uint64) Interval {
	if len(values) == 0 {
		return Interval{math.NaN(), math.NaN(), math.NaN()}
	}
	random := rand.New(rand.NewPCG(seed, 0))
	means := make([]float64, Resamples)
	for i := range means {
		sum := 0.0
		for range values {
			sum += values[random.IntN(len(values))]
		}
		means[i] = sum / float64(len(values))
	}
	slices.Sort(means)
	const tail = Resamples * 25 / 1000
	return Interval{mean(values), means[tail], means[Resamples-1-tail]}
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// sameLength refuses lists that cannot be the two sides of one set of rows.
func sameLength(a, b []float64, what string) error {
	if len(a) != len(b) || len(a) == 0 {
		return freshet.Errorf(freshet.InvalidArgument, "%s: expected as many labels as predictions and at least one, got %d and %d", what, len(a), len(b))
	}
	return nil
}
