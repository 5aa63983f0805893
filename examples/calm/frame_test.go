package calm_test

import (
	"math"
	"slices"
	"testing"

	"github.com/freshet-ml/freshet"
	"github.com/freshet-ml/freshet/feature"
	"github.com/freshet-ml/freshet/feature/expression"
	"github.com/freshet-ml/freshet/internal/release"
)

// values reads all features of a view about an entity at a moment.
type values func(v *feature.View, e freshet.Entity, at freshet.Timestamp) []expression.Value

// computed takes the values from the events.
func computed(t *testing.T, h histories) values {
	scratches := map[freshet.ViewID]*feature.Scratch{}
	return func(v *feature.View, e freshet.Entity, at freshet.Timestamp) []expression.Value {
		s := scratches[v.ID()]
		if s == nil {
			s = v.NewScratch()
			scratches[v.ID()] = s
		}
		out, err := v.Compute(s, h[e], at, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// frame makes the model's inputs by the plan of a pipeline, as internal/orchestration does.
type frame struct {
	rel   *release.Opened
	p     *release.Pipeline
	read  values
	user  freshet.Entity
	at    freshet.Timestamp
	slots []expression.Value
}

func newFrame(rel *release.Opened, p *release.Pipeline, read values, user freshet.Key, at freshet.Timestamp) *frame {
	f := &frame{rel: rel, p: p, read: read, user: freshet.Entity{Kind: "user", Key: user}, at: at, slots: make([]expression.Value, p.Plan.Slots)}
	f.slots[p.Plan.Now] = expression.Value{Kind: expression.Time, Num: float64(at)}
	f.views(p.EntityViews, f.user)
	for _, l := range p.EntityLookups {
		l.Find(user, f.slots)
	}
	return f
}

// inputs are the model's columns for one title.
func (f *frame) inputs(t *testing.T, content freshet.Key) []float64 {
	t.Helper()
	row, ok := f.p.Ranked.Find(content)
	if !ok {
		t.Fatalf("%s is not in the catalog", content)
	}
	f.p.Candidate.Row(row, f.slots)
	f.views(f.p.CandidateViews, freshet.Entity{Kind: "content", Key: content})
	for _, l := range f.p.CandidateLookups {
		l.Find(content, f.slots)
	}
	inputs := make([]float64, len(f.p.Plan.Inputs))
	for i, in := range f.p.Plan.Inputs {
		x, ok := in.Program.Number(f.slots)
		if !ok {
			x = math.NaN()
		}
		inputs[i] = x
	}
	return inputs
}

func (f *frame) views(uses release.ViewUses, e freshet.Entity) {
	var all []expression.Value
	for _, v := range uses.Views {
		all = append(all, f.read(v, e, f.at)...)
	}
	uses.Fill(all, f.slots)
}

// sameNumber compares with a relative difference; a missing value equals a missing value only. Below 1e-6 the
// difference may be absolute: the reference adds up floats, where a slope of zero comes out as about 1e-17.
func sameNumber(got, want, tolerance float64) bool {
	if math.IsNaN(got) || math.IsNaN(want) {
		return math.IsNaN(got) && math.IsNaN(want)
	}
	return math.Abs(got-want) <= tolerance*max(1e-6, math.Abs(want))
}

// sameValue compares bit for bit.
func sameValue(a, b expression.Value) bool {
	sameFloat := func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) }
	return a.Kind == b.Kind && sameFloat(a.Num, b.Num) && a.Str == b.Str &&
		slices.EqualFunc(a.List, b.List, sameValue) && slices.EqualFunc(a.Vec, b.Vec, sameFloat)
}
