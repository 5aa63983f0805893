package deployment

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/internal/offlinemetrics"
	"github.com/freshet-ml/freshet/internal/release"
)

// Outcome is how one prediction went.
type Outcome struct {
	Release  freshet.ReleaseID
	Pipeline freshet.PipelineName
	Key      freshet.Key // of the entity
	Took     time.Duration
	GivenUp  bool // by whoever asked: all that is known is that it took that long
	Failed   bool
	Why      string // it failed
	Fallback bool   // the pipeline's fallback has answered
	// Names and Inputs are what the model was given for its best answer; a missing value is NaN. They are only looked at.
	Names  []string
	Inputs []float64
	Score  float64 // of the best answer; NaN if there is none
}

// OutcomeOf is the outcome of a request to a release, which has ended with a prediction or an error.
func OutcomeOf(rel freshet.ReleaseID, req release.Request, made freshet.Prediction, err error, took time.Duration) Outcome {
	o := Outcome{
		Release: rel, Pipeline: req.Pipeline, Key: req.Entity.Key, Took: took, Failed: err != nil, Fallback: made.Fallback, Score: math.NaN(),
	}
	if err != nil {
		o.Why = err.Error()
	}
	if len(made.Items) > 0 {
		o.Score = made.Items[0].Score
	}
	if e := made.Explanation; e != nil && len(e.Inputs) > 0 {
		o.Names, o.Inputs = e.Names, e.Inputs[0]
	}
	return o
}

// Limits are how many predictions each side needs before it is judged, and how far the new release may be from the live one.
type Limits struct {
	Predictions int     // for errors, missing values and constant answers
	Users       int     // different ones, for missing values, scores and constant answers
	Timed       int     // for latency; 0: it is not judged
	Scored      int     // for the distribution of scores
	Errors      float64 // more failures, as a share
	Missing     float64 // more missing values of an input, as a share
	Slower      float64 // times the 99th percentile of the live release …
	SlowerBy    time.Duration
	PSI         float64
}

// BakeLimits judge a canary.
var BakeLimits = Limits{
	Predictions: 100, Users: 30, Timed: 300, Scored: 300, Errors: 0.01, Missing: 0.02, Slower: 1.5, SlowerBy: 20 * time.Millisecond, PSI: offlinemetrics.PSIAlarm,
}

// SampleLimits judge a release on users that both have answered, one after the other.
var SampleLimits = Limits{Predictions: 30, Users: 30, Scored: 100, Errors: 0.01, Missing: 0.02, PSI: offlinemetrics.PSIAlarm}

// minFailures is how many predictions must have failed before their share says anything.
const minFailures = 3

// Verdict is what a trial has shown so far.
type Verdict struct {
	Breach Guard  // "" if nothing is wrong
	Detail string // what is wrong, or what was compared
}

// Trial compares two releases over the same time. It may be used concurrently.
type Trial struct {
	mu         sync.Mutex
	accept     []Guard
	live, next *arm
}

// NewTrial begins a trial of release next beside live; what accept names is not looked at.
func NewTrial(live, next freshet.ReleaseID, accept []Guard) *Trial {
	return &Trial{accept: accept, live: newArm(live), next: newArm(next)}
}

// Add counts an outcome of either release; others are passed over.
func (t *Trial) Add(o Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch o.Release {
	case t.live.id:
		t.live.add(o)
	case t.next.id:
		t.next.add(o)
	}
}

// Bounds of what an arm keeps.
const (
	maxTimes  = 8192
	maxScores = 4096 // of a pipeline
	maxUsers  = 4096
)

// arm is one side of a trial.
type arm struct {
	id              freshet.ReleaseID
	n, failed, fell int
	why             string    // the first has failed
	times           reservoir // milliseconds
	users           map[uint64]struct{}
	scores          map[freshet.PipelineName]*reservoir
	inputs          map[input]*given
}

// input is an input of the model of a pipeline.
type input struct {
	pipeline freshet.PipelineName
	name     string
}

// given counts how often an input had a value.
type given struct{ n, missing int }

func newArm(id freshet.ReleaseID) *arm {
	return &arm{id: id, users: map[uint64]struct{}{}, scores: map[freshet.PipelineName]*reservoir{}, inputs: map[input]*given{}}
}

var seed = maphash.MakeSeed()

func (a *arm) add(o Outcome) {
	a.times.add(float64(o.Took)/1e6, maxTimes)
	if o.GivenUp {
		return
	}
	a.n++
	if len(a.users) < maxUsers {
		a.users[maphash.String(seed, string(o.Key))] = struct{}{}
	}
	if o.Failed {
		a.failed++
		a.why = cmp.Or(a.why, o.Why)
		return
	}
	if o.Fallback {
		a.fell++
		return
	}
	for i, v := range o.Inputs {
		at := input{o.Pipeline, o.Names[i]}
		g := a.inputs[at]
		if g == nil {
			g = &given{}
			a.inputs[at] = g
		}
		g.n++
		if math.IsNaN(v) {
			g.missing++
		}
	}
	if math.IsNaN(o.Score) {
		return
	}
	r := a.scores[o.Pipeline]
	if r == nil {
		r = &reservoir{}
		a.scores[o.Pipeline] = r
	}
	r.add(o.Score, maxScores)
}

// bad is the share of predictions that failed or fell back.
func (a *arm) bad() float64 { return float64(a.failed+a.fell) / float64(max(1, a.n)) }

// reservoir keeps a fair sample of the values that it was given.
type reservoir struct {
	values []float64
	n      int
}

func (r *reservoir) add(v float64, limit int) {
	r.n++
	if len(r.values) < limit {
		r.values = append(r.values, v)
		return
	}
	if i := rand.IntN(r.n); i < limit {
		r.values[i] = v
	}
}

// p99 is the 99th percentile.
func (r *reservoir) p99() float64 {
	if len(r.values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(r.values))
	return sorted[min(len(sorted)-1, len(sorted)*99/100)]
}

// Verdict judges what was seen so far.
func (t *Trial) Verdict(l Limits) Verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	var compared []string
	for _, look := range []struct {
		guard Guard
		judge func(Limits) (breach, detail string)
	}{{Errors, t.errors}, {Latency, t.latency}, {Missing, t.missing}, {Constant, t.constant}, {Scores, t.scores}} {
		if slices.Contains(t.accept, look.guard) {
			compared = append(compared, string(look.guard)+" accepted")
			continue
		}
		breach, detail := look.judge(l)
		if breach != "" {
			return Verdict{look.guard, breach}
		}
		if detail != "" {
			compared = append(compared, detail)
		}
	}
	return Verdict{Detail: strings.Join(compared, ", ")}
}

func (t *Trial) errors(l Limits) (breach, detail string) {
	a, b := t.live, t.next
	text := fmt.Sprintf("failed or fallback %.1f %% of %d, before %.1f %% of %d", 100*b.bad(), b.n, 100*a.bad(), a.n)
	enough := b.n >= l.Predictions && a.n >= l.Predictions
	// One that fails most of the time need not be waited for.
	hopeless := b.n >= 20 && b.bad() > 0.5+a.bad()
	if b.failed+b.fell >= minFailures && (hopeless || enough && b.bad() > a.bad()+l.Errors) {
		if b.why != "" {
			text += "; the first failed with: " + b.why
		}
		return text, ""
	}
	if !enough {
		return "", fmt.Sprintf("too few predictions for a verdict (%d and %d of %d)", b.n, a.n, l.Predictions)
	}
	return "", text
}

func (t *Trial) latency(l Limits) (breach, detail string) {
	a, b := t.live.times, t.next.times
	if l.Timed == 0 || a.n < l.Timed || b.n < l.Timed {
		return "", ""
	}
	was, is := a.p99(), b.p99()
	text := fmt.Sprintf("p99 %.3g ms, before %.3g ms", is, was)
	if is > max(was*l.Slower, was+float64(l.SlowerBy)/1e6) {
		return text, ""
	}
	return "", text
}

// enough tells whether both sides have seen enough different users.
func (t *Trial) enough(l Limits) bool {
	return t.next.n >= l.Predictions && t.live.n >= l.Predictions && len(t.next.users) >= l.Users && len(t.live.users) >= l.Users
}

func (t *Trial) missing(l Limits) (breach, detail string) {
	if !t.enough(l) {
		return "", ""
	}
	worst, more := input{}, math.Inf(-1)
	for at, g := range t.next.inputs {
		was, known := t.live.inputs[at]
		before := 0.0
		switch {
		case known:
			before = was.share()
		case g.share() < 0.98:
			continue // new: there is nothing to hold it against, as long as somebody has it
		}
		if d := g.share() - before; g.n >= l.Predictions && (d > more || d == more && at.name < worst.name) {
			worst, more = at, d
		}
	}
	if more > l.Missing {
		return fmt.Sprintf("pipeline %s: input %s is missing %.1f pp more often", worst.pipeline, worst.name, 100*more), ""
	}
	if len(t.next.inputs) == 0 {
		return "", ""
	}
	return "", "no input is missing more often"
}

func (g *given) share() float64 { return float64(g.missing) / float64(max(1, g.n)) }

func (t *Trial) constant(l Limits) (breach, detail string) {
	if !t.enough(l) {
		return "", ""
	}
	for _, name := range slices.Sorted(maps.Keys(t.next.scores)) {
		now, was := t.next.scores[name], t.live.scores[name]
		if len(now.values) < l.Predictions || !offlinemetrics.Constant(now.values) || was != nil && offlinemetrics.Constant(was.values) {
			continue
		}
		return fmt.Sprintf("pipeline %s: the score is the same for everybody (%v)", name, cmp.Or(now.values[0], 0)), ""
	}
	return "", ""
}

func (t *Trial) scores(l Limits) (breach, detail string) {
	if !t.enough(l) {
		return "", ""
	}
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(t.next.scores)) {
		now, was := t.next.scores[name], t.live.scores[name]
		if was == nil || len(now.values) < l.Scored || len(was.values) < l.Scored {
			continue
		}
		bounds := offlinemetrics.Bins(was.values, 10)
		psi := offlinemetrics.PSI(offlinemetrics.Shares(was.values, bounds), offlinemetrics.Shares(now.values, bounds))
		text := fmt.Sprintf("pipeline %s: PSI of the scores %.2f", name, psi)
		if psi > l.PSI {
			return text, ""
		}
		texts = append(texts, text)
	}
	return "", strings.Join(texts, ", ")
}
