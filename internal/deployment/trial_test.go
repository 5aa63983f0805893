package deployment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/freshet-ml/freshet"
)

// fed is a trial of n predictions a side for as many users as asked; spoil changes those of the new release.
func fed(n, users int, accept []Guard, spoil func(i int, o *Outcome)) *Trial {
	t := NewTrial("r1", "r2", accept)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		for _, id := range []freshet.ReleaseID{"r1", "r2"} {
			o := Outcome{
				Release: id, Pipeline: "today", Key: freshet.Key(fmt.Sprintf("u%d", i%users)), Took: time.Duration(1+rng.IntN(10)) * time.Millisecond,
				Names: []string{"a", "b"}, Inputs: []float64{1, 2}, Score: rng.Float64(),
			}
			if i%50 == 0 {
				o.Inputs[1] = math.NaN() // some users have no b
			}
			if id == "r2" {
				spoil(i, &o)
			}
			t.Add(o)
		}
	}
	return t
}

// TestVerdict has bad releases found out, each by the guardrail that is for it, and good ones left alone.
func TestVerdict(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for _, tt := range []struct {
		name     string
		n, users int
		accept   []Guard
		spoil    func(i int, o *Outcome)
		breach   Guard
		detail   string
	}{
		{"good", 1000, 100, nil, func(int, *Outcome) {}, "", "PSI of the scores 0.0"},
		{"failing", 1000, 100, nil, func(i int, o *Outcome) { o.Failed = i%50 == 0 }, Errors, "failed or fallback 2.0 % of 1000, before 0.0 %"},
		{"failing within the bound", 1000, 100, nil, func(i int, o *Outcome) { o.Failed = i%200 == 0 }, "", ""},
		{"falling back", 1000, 100, nil, func(i int, o *Outcome) { o.Fallback = i%20 == 0 }, Errors, "failed or fallback 5.0 %"},
		{"failing always, before there are many", 25, 5, nil, func(i int, o *Outcome) { o.Failed, o.Why = true, "no file" }, Errors, "100.0 % of 25, before 0.0 % of 25; the first failed with: no file"},
		{"failing once", 25, 5, nil, func(i int, o *Outcome) { o.Failed = i == 3 }, "", "too few predictions for a verdict (25 and 25 of 100)"},
		{"slow", 1000, 100, nil, func(i int, o *Outcome) { o.Took += 50 * time.Millisecond }, Latency, "p99 60 ms, before 10 ms"},
		{"so slow that everybody goes away", 1000, 100, nil, func(i int, o *Outcome) { o.Took, o.GivenUp, o.Failed = 50*time.Millisecond, true, true }, Latency, "p99 50 ms, before 10 ms"},
		{"given up now and then", 1000, 100, nil, func(i int, o *Outcome) { o.GivenUp, o.Failed = i%10 == 0, true }, Errors, "of 900, before 0.0 % of 1000"},
		{"slow within the bound", 1000, 100, nil, func(i int, o *Outcome) { o.Took += 15 * time.Millisecond }, "", ""},
		{"slow, accepted", 1000, 100, []Guard{Latency}, func(i int, o *Outcome) { o.Took += 50 * time.Millisecond }, "", "latency accepted"},
		{"an input missing", 1000, 100, nil, func(i int, o *Outcome) { o.Inputs = []float64{nan, 2} }, Missing, "input a is missing 100.0 pp more often"},
		{"an input missing a little more", 1000, 100, nil, func(i int, o *Outcome) {
			if i%30 == 1 {
				o.Inputs[0] = nan
			}
		}, Missing, "input a is missing 3.4 pp"},
		{"a new input that nobody has", 1000, 100, nil, func(i int, o *Outcome) { o.Names, o.Inputs = []string{"a", "c"}, []float64{1, nan} }, Missing, "input c"},
		{"a new input that some have", 1000, 100, nil, func(i int, o *Outcome) {
			o.Names, o.Inputs = []string{"a", "c"}, []float64{1, nan}
			if i%2 == 0 {
				o.Inputs[1] = 1
			}
		}, "", ""},
		{"constant", 1000, 100, nil, func(i int, o *Outcome) { o.Score = 0.5 }, Constant, "the score is the same for everybody (0.5)"},
		{"constant for the few users there are", 1000, 3, nil, func(i int, o *Outcome) { o.Score = 0.5 }, "", ""},
		{"shifted", 1000, 100, nil, func(i int, o *Outcome) { o.Score = o.Score/2 + 0.5 }, Scores, "PSI of the scores"},
		{"shifted, meant", 1000, 100, []Guard{Scores}, func(i int, o *Outcome) { o.Score = o.Score/2 + 0.5 }, "", "scores accepted"},
		{"shifted, too few", 200, 100, nil, func(i int, o *Outcome) { o.Score = o.Score/2 + 0.5 }, "", ""},
		{"without scores", 1000, 100, nil, func(i int, o *Outcome) { o.Score = nan }, "", ""},
	} {
		v := fed(tt.n, tt.users, tt.accept, tt.spoil).Verdict(BakeLimits)
		if v.Breach != tt.breach || !strings.Contains(v.Detail, tt.detail) {
			t.Errorf("%s: %+v; want %q with %q", tt.name, v, tt.breach, tt.detail)
		}
	}
}

// TestTrialIsBounded expects that a long bake keeps no more than a short one.
func TestTrialIsBounded(t *testing.T) {
	t.Parallel()
	trial := NewTrial("r1", "r2", nil)
	for i := range 20_000 {
		trial.Add(Outcome{Release: "r2", Pipeline: "p", Key: freshet.Key(fmt.Sprint(i)), Took: time.Duration(i), Score: float64(i)})
	}
	trial.Add(Outcome{Release: "r7"})
	a := trial.next
	if a.n != 20_000 || len(a.times.values) != maxTimes || len(a.users) != maxUsers || len(a.scores["p"].values) != maxScores {
		t.Errorf("it keeps %d times, %d users, %d scores of %d", len(a.times.values), len(a.users), len(a.scores["p"].values), a.n)
	}
	high := 0
	for _, v := range a.scores["p"].values {
		if v >= 10_000 {
			high++
		}
	}
	if share := float64(high) / maxScores; share < 0.4 || share > 0.6 {
		t.Errorf("%.2f of the sample are of the second half", share)
	}
}
