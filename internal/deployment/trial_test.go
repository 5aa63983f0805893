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

// even is a trial of n predictions a side that differ in nothing: a millisecond each, inputs with a value, scores spread evenly. spoil changes
// those of one side or the other.
func even(n int, spoil func(i int, live, next *Outcome)) *Trial {
	t := NewTrial("r1", "r2", nil)
	for i := range n {
		var arms [2]Outcome
		for j, id := range []freshet.ReleaseID{"r1", "r2"} {
			arms[j] = Outcome{
				Release: id, Pipeline: "today", Key: freshet.Key(fmt.Sprint("u", i%100)), Took: time.Millisecond,
				Names: []string{"a"}, Inputs: []float64{1}, Score: float64(i%100) / 100,
			}
		}
		spoil(i, &arms[0], &arms[1])
		t.Add(arms[0])
		t.Add(arms[1])
	}
	return t
}

// TestVerdictAtTheBounds holds each guardrail to its bound: what lies on it is good, what lies a step beyond is a breach.
func TestVerdictAtTheBounds(t *testing.T) {
	t.Parallel()
	failing := func(live, next int) func(int, *Outcome, *Outcome) {
		return func(i int, a, b *Outcome) { a.Failed, b.Failed = i < live, i < next }
	}
	slow := func(live, next time.Duration) func(int, *Outcome, *Outcome) {
		return func(i int, a, b *Outcome) { a.Took, b.Took = live, next }
	}
	missing := func(live, next int) func(int, *Outcome, *Outcome) {
		return func(i int, a, b *Outcome) {
			if i < live {
				a.Inputs = []float64{math.NaN()}
			}
			if i < next {
				b.Inputs = []float64{math.NaN()}
			}
		}
	}
	// same gives the new release one score but for a few predictions.
	same := func(others int) func(int, *Outcome, *Outcome) {
		return func(i int, _, b *Outcome) {
			if i >= others {
				b.Score = 0.5
			}
		}
	}
	users := func(n int) func(int, *Outcome, *Outcome) {
		return func(i int, a, b *Outcome) {
			a.Key = freshet.Key(fmt.Sprint("u", i%n))
			b.Key, b.Score = a.Key, 0.5
		}
	}
	// moved takes as many hundreds of the new release's scores as said from the lower half to the upper.
	moved := func(hundreds int) func(int, *Outcome, *Outcome) {
		return func(i int, _, b *Outcome) {
			if b.Score < 0.5 && i/100 < hundreds {
				b.Score += 0.5
			}
		}
	}
	const ms = time.Millisecond
	for _, tt := range []struct {
		name   string
		n      int
		spoil  func(i int, live, next *Outcome)
		breach Guard
	}{
		{"1 pp more failures", 1000, failing(20, 30), ""},
		{"1.1 pp more failures", 1000, failing(20, 31), Errors},
		{"99 predictions", 99, failing(0, 40), ""},
		{"100 predictions", 100, failing(0, 40), Errors},
		{"two failures of 100", 100, failing(0, 2), ""},
		{"three failures of 100", 100, failing(0, 3), Errors},
		{"19 that all fail", 19, failing(0, 19), ""},
		{"20 that all fail", 20, failing(0, 20), Errors},
		{"20 of which half fail", 20, failing(0, 10), ""},
		{"20 that all fail on both sides", 20, failing(20, 20), ""},
		{"20 ms more than 1 ms", 300, slow(1*ms, 21*ms), ""},
		{"21 ms more than 1 ms", 300, slow(1*ms, 22*ms), Latency},
		{"21 ms more, of 299", 299, slow(1*ms, 22*ms), ""},
		{"half as long again as 100 ms", 300, slow(100*ms, 150*ms), ""},
		{"more than half as long again as 100 ms", 300, slow(100*ms, 151*ms), Latency},
		{"2 pp more often missing", 1000, missing(10, 30), ""},
		{"2.1 pp more often missing", 1000, missing(10, 31), Missing},
		{"missing, of 99", 99, missing(0, 99), ""},
		{"missing, of 100", 100, missing(0, 100), Missing},
		{"99 % have one score", 1000, same(10), Scores},
		{"99.1 % have one score", 1000, same(9), Constant},
		{"one score of 29 users", 290, users(29), ""},
		{"one score of 30 users", 290, users(30), Constant},
		{"a PSI of 0.245", 4000, moved(19), ""},
		{"a PSI of 0.275", 4000, moved(20), Scores},
	} {
		if v := even(tt.n, tt.spoil).Verdict(BakeLimits); v.Breach != tt.breach {
			t.Errorf("%s: %+v; want %q", tt.name, v, tt.breach)
		}
	}
}
